"""What an audit of labeled pictures found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import DataError, ResultError
from napari_liverdx.training.audit.shortcuts import Probe

__all__ = ["AuditProgress", "AuditReport", "Finding", "Severity", "refuse_leaks", "write_audit"]

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class AuditProgress:
    """Where an audit stands.

    Attributes
    ----------
    what : str
        For people.
    share : float
        Of this step, 0 to 1.
    """

    what: str
    share: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes
    ----------
    kind : str
        ``"identical pictures"``, ``"near-identical pictures"``, ``"shared groups"``,
        ``"conflicting labels"``, ``"no groups"``, ``"short cut"`` or ``"too many pairs"``.
    severity : {"error", "warning", "note"}
        Errors make a test worthless.
    message : str
        In plain words, with what to do.
    names : tuple of tuple of str
        The pictures (pairs) or groups concerned, all of them.
    """

    kind: str
    severity: Severity
    message: str
    names: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AuditReport:
    """What an audit found.

    Attributes
    ----------
    findings : tuple of Finding
        Errors first.
    probes : tuple of Probe
        What predicts the label by itself, and how well.
    identical, near : ndarray of int, shape (m, 2)
        Pairs of samples; of m identical ones, the first with each other one.
    flat : int
        Pictures without content, which are not compared for likeness.
    samples : int
    """

    findings: tuple[Finding, ...]
    probes: tuple[Probe, ...]
    identical: NDArray[np.intp]
    near: NDArray[np.intp]
    flat: int
    samples: int

    @property
    def is_leaky(self) -> bool:
        """Whether training and testing on these data would deceive."""
        return any(f.severity == "error" for f in self.findings)

    @property
    def pairs(self) -> NDArray[np.intp]:
        """Identical and near-identical pairs, shape (m, 2); see `joined_groups`."""
        return np.concatenate([self.identical, self.near])

    def as_json(self) -> dict[str, Any]:
        """Return the report in plain types."""
        return {
            "samples": self.samples,
            "leaky": self.is_leaky,
            "flat": self.flat,
            "findings": [asdict(f) for f in self.findings],
            "probes": [
                {
                    "name": p.name,
                    "balanced_accuracy": p.balanced_accuracy.model_dump(),
                    "chance": p.chance,
                    "predicts": p.predicts,
                }
                for p in self.probes
            ],
        }


def refuse_leaks(report: AuditReport, allow: bool = False) -> None:
    """Stop if the data leak, unless told otherwise.

    Raises
    ------
    DataError
        That names the first leaks and how to go on.
    """
    if allow or not report.is_leaky:
        return
    first = [f for f in report.findings if f.severity == "error"]
    told = "; ".join(f.message for f in first[:3])
    raise DataError(
        f"{told}. Test metrics would be over-optimistic; 'liverdx data audit' shows all, "
        "'liverdx data split' makes a clean split, --allow-leaks goes on all the same"
    )


def write_audit(path: Path, report: AuditReport) -> None:
    """Write all findings as JSON.

    Raises
    ------
    ResultError
        If the file cannot be written.
    """
    try:
        with atomic_write(path, make_folder=True) as partial:
            text = json.dumps(report.as_json(), indent=1) + "\n"
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultError(f"{path}: cannot be written ({error.strerror})") from error
