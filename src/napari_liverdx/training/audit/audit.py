"""An audit of labeled pictures before anything is learned: leaks, conflicts, short cuts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.audit.fingerprints import (
    MAX_PAIRS,
    Fingerprints,
    NearPair,
    fingerprint,
    near_pairs,
)
from napari_liverdx.training.audit.report import (
    AuditProgress,
    AuditReport,
    Finding,
    Severity,
    refuse_leaks,
)
from napari_liverdx.training.audit.shortcuts import Probe, probe_labels
from napari_liverdx.training.data.base import TileDataset
from napari_liverdx.training.data.splits import grouped_folds

__all__ = [
    "AuditProgress",
    "AuditReport",
    "Finding",
    "audit",
    "audit_parts",
    "audit_steps",
    "check_leaks",
    "refuse_leaks",
]

COPY = 0.99
"""Correlation from which two pictures are the same one stored differently, not two alike."""

_SHOWN = 5


def audit(samples: TileDataset, parts: Mapping[str, NDArray[np.intp]] | None = None) -> AuditReport:
    """Run `audit_steps` to its end.

    Raises
    ------
    DataError
        If a picture cannot be read, a sample is in two parts, or scikit-learn is missing.
    """
    for step in audit_steps(samples, parts):
        if isinstance(step, AuditReport):
            return step
    raise AssertionError("an audit ends with its report")


def audit_steps(
    samples: TileDataset, parts: Mapping[str, NDArray[np.intp]] | None = None
) -> Iterator[AuditProgress | AuditReport]:
    """Look for what would make a test deceive.

    Identical pictures (by their pixels), near-identical ones (see `near_pairs`) and groups that
    stand in more than one part are leaks; so are identical pictures with different labels.
    Without parts, likeness across groups is a warning: a split by group would not keep them
    together. Crops and shifted copies are not found.

    Parameters
    ----------
    samples : TileDataset
        The labeled pictures.
    parts : mapping of str to ndarray of int, optional
        For example ``Split.parts``, or the folds of a cross-validation. Samples in no part are
        left out of everything.

    Yields
    ------
    AuditProgress
        While pictures are read and compared.
    AuditReport
        At the end.

    Raises
    ------
    DataError
        If a picture cannot be read, a sample is in two parts, or scikit-learn is missing.
    """
    subject = _Subject.of(samples, parts)
    kept = []
    for done, index in enumerate(subject.index, 1):
        kept.append(fingerprint(samples.picture(int(index))))
        yield AuditProgress("reading images", done / len(subject.index))
    digests, small, sizes, colors = zip(*kept, strict=True)
    prints = Fingerprints(np.array(digests), np.stack(small), np.array(sizes), np.stack(colors))
    near: list[NearPair] = []
    for step in near_pairs(prints):
        if isinstance(step, NearPair):
            near.append(step)
        else:
            yield AuditProgress("comparing images", step)
    identical = _identical(prints)
    probes = probe_labels(prints, subject.labels, subject.groups, subject.sources)
    alike = np.array([(p.first, p.second) for p in near], np.intp).reshape(-1, 2)
    copied = np.array([p.correlation >= COPY for p in near], bool)
    findings = [
        *_conflicts(subject, np.concatenate([identical, alike[copied]]), alike[~copied]),
        *_copies(subject, identical[~prints.flat[identical[:, 0]]], "identical"),
        *_copies(subject, alike, "near-identical"),
        *_groups(subject),
        *(_short_cut(p) for p in probes if p.predicts),
    ]
    if len(near) == MAX_PAIRS:
        findings.append(
            Finding(
                "too many pairs",
                "warning",
                f"the search ended at {MAX_PAIRS} near-identical pairs; there are more",
            )
        )
    order = ("error", "warning", "note")
    yield AuditReport(
        tuple(sorted(findings, key=lambda f: order.index(f.severity))),
        tuple(probes),
        subject.index[identical],
        subject.index[alike],
        int(prints.flat.sum()),
        len(subject.index),
    )


def audit_parts(
    samples: TileDataset, second: NDArray[np.intp], folds: int, seed: int
) -> dict[str, NDArray[np.intp]] | None:
    """Return the parts that an audit compares: the stated split, or else grouped folds.

    Parameters
    ----------
    samples : TileDataset
        The labeled pictures.
    second : ndarray of int
        Samples that are only tested on; a part of their own.
    folds : int
        Grouped folds where the data state no split; 0 for none.
    seed : int
        Random seed of the folds.

    Returns
    -------
    dict of str to ndarray of int, or None
        Indices by the name of the part; None without parts.

    Raises
    ------
    DataError
        If there are too few groups for the folds, or scikit-learn is missing.
    """
    rest = np.setdiff1d(np.arange(len(samples)), second)
    stated = samples.splits[rest]
    if (stated != "").any():
        parts = {str(name) or "no split": rest[stated == name] for name in np.unique(stated)}
    elif folds:
        tested = [part for _, part in grouped_folds(samples, rest, folds, seed)]
        parts = {f"fold {number}": part for number, part in enumerate(tested, 1)}
    else:
        return None
    return parts | ({"second source": second} if len(second) else {})


def check_leaks(
    samples: TileDataset, parts: Mapping[str, NDArray[np.intp]], *, allow_leaks: bool = False
) -> Iterator[Finding]:
    """Audit the data before they are learned from, and refuse what leaks.

    Parameters
    ----------
    samples : TileDataset
        The labeled pictures.
    parts : mapping of str to ndarray of int
        See `audit_steps`.
    allow_leaks : bool
        Whether to go on if the data leak.

    Yields
    ------
    Finding
        Errors and warnings, no mere notes.

    Raises
    ------
    DataError
        If the data leak and that is not allowed.
    """
    report = audit(samples, parts)
    yield from (f for f in report.findings if f.severity != "note")
    refuse_leaks(report, allow_leaks)


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """The samples under audit; ``part`` is the number of each one's part, all 0 without parts."""

    index: NDArray[np.intp]
    names: list[str]
    labels: NDArray[np.intp]
    classes: tuple[str, ...]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    part: NDArray[np.intp]
    part_names: tuple[str, ...]

    @classmethod
    def of(cls, samples: TileDataset, parts: Mapping[str, NDArray[np.intp]] | None) -> _Subject:
        owner = np.full(len(samples), -1 if parts else 0)
        for number, (name, members) in enumerate((parts or {}).items()):
            if (owner[members] >= 0).any():
                twice = samples.names[int(members[owner[members] >= 0][0])]
                raise DataError(f"{twice} stands in {name} and in another part of the split")
            owner[members] = number
        index = np.flatnonzero(owner >= 0)
        if not len(index):
            raise DataError("there is no sample to audit")
        return cls(
            index,
            [samples.names[i] for i in index],
            samples.labels[index],
            samples.classes or tuple(f"class {i}" for i in range(samples.labels.max() + 1)),
            samples.groups[index],
            samples.sources[index],
            owner[index],
            tuple(parts or ()),
        )

    def say(self, first: int, second: int) -> str:
        """Describe two samples with their parts, for people."""
        if not self.part_names:
            return f"{self.names[first]} and {self.names[second]}"
        parts = (self.part_names[self.part[i]] for i in (first, second))
        one, other = parts
        return f"{self.names[first]} ({one}) and {self.names[second]} ({other})"

    def pairs(self, pairs: NDArray[np.intp]) -> tuple[tuple[str, ...], ...]:
        return tuple((self.names[i], self.names[j]) for i, j in pairs)


def _identical(prints: Fingerprints) -> NDArray[np.intp]:
    _, first, inverse = np.unique(prints.digests, return_index=True, return_inverse=True)
    owner = first[inverse]
    copies = np.flatnonzero(owner != np.arange(len(owner)))
    return np.column_stack([owner[copies], copies])


def _listed(told: list[str], total: int) -> str:
    more = total - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _first(subject: _Subject, pairs: NDArray[np.intp]) -> str:
    return _listed([subject.say(int(i), int(j)) for i, j in pairs[:_SHOWN]], len(pairs))


def _conflicts(
    subject: _Subject, copies: NDArray[np.intp], alike: NDArray[np.intp]
) -> Iterator[Finding]:
    kinds: tuple[tuple[str, Severity, NDArray[np.intp], str], ...] = (
        ("the same image", "error", copies, "keep the right one"),
        ("near-identical images", "warning", alike, "check which label is right"),
    )
    for what, severity, pairs, remedy in kinds:
        odd = pairs[subject.labels[pairs[:, 0]] != subject.labels[pairs[:, 1]]]
        if not len(odd):
            continue
        told = [
            f"{subject.names[i]} ({subject.classes[subject.labels[i]]}) and {subject.names[j]} "
            f"({subject.classes[subject.labels[j]]})"
            for i, j in odd[:_SHOWN]
        ]
        yield Finding(
            "conflicting labels",
            severity,
            f"{what} with different labels, {_count(len(odd))}: {_listed(told, len(odd))}; "
            f"{remedy}",
            subject.pairs(odd),
        )


def _count(pairs: int) -> str:
    return "1 pair" if pairs == 1 else f"{pairs} pairs"


def _copies(subject: _Subject, pairs: NDArray[np.intp], what: str) -> Iterator[Finding]:
    """Yield leaks across parts, then what would leak in another split, then mere repetition."""
    i, j = pairs.T
    across = subject.part[i] != subject.part[j]
    strangers = ~across & (subject.groups[i] != subject.groups[j])
    kind = f"{what} images"
    if across.any():
        yield Finding(
            kind,
            "error",
            f"{kind} in different parts, {_count(int(across.sum()))}: "
            f"{_first(subject, pairs[across])}; give them the same group",
            subject.pairs(pairs[across]),
        )
    if strangers.any():
        yield Finding(
            kind,
            "warning",
            f"{kind} in different groups, {_count(int(strangers.sum()))}: "
            f"{_first(subject, pairs[strangers])}; they would leak if a split parted them, so give "
            "them the same group",
            subject.pairs(pairs[strangers]),
        )
    same = ~across & ~strangers
    if same.any():
        yield Finding(
            kind,
            "note",
            f"{kind} within a group, {_count(int(same.sum()))}; no leak, but they count twice",
            subject.pairs(pairs[same]),
        )


def _groups(subject: _Subject) -> Iterator[Finding]:
    for a, b in combinations(range(len(subject.part_names)), 2):
        shared = np.intersect1d(
            subject.groups[subject.part == a], subject.groups[subject.part == b]
        )
        if len(shared):
            told = _listed([f"'{g}'" for g in shared[:_SHOWN]], len(shared))
            yield Finding(
                "shared groups",
                "error",
                f"{len(shared)} groups (patients or slides) stand in {subject.part_names[a]} and "
                f"{subject.part_names[b]}: {told}; a group belongs in one part",
                tuple((str(g),) for g in shared),
            )
    if len(np.unique(subject.groups)) == len(subject.groups) > 1:
        yield Finding(
            "no groups",
            "warning",
            "every image is its own group; if several come from one patient or slide, a split "
            "parts them and the test is too good: state groups by a column or --group-pattern",
        )


def _short_cut(probe: Probe) -> Finding:
    value = probe.balanced_accuracy
    return Finding(
        "short cut",
        "warning",
        f"{probe.name} alone predicts the label with a balanced accuracy of {value.value:.2f} "
        f"(95 % interval {value.low:.2f} to {value.high:.2f}; chance {probe.chance:.2f}): "
        f"{probe.meaning}",
    )
