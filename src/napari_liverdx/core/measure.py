"""From probabilities and thresholds to areas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.classes import ClassKind, ClassScheme
from napari_liverdx.core.uncertain import NOT_SURE, NOT_SURE_TITLE, not_sure

__all__ = ["DEFAULT_THRESHOLD", "ClassMeasure", "measure"]

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class ClassMeasure:
    """What was found of one class.

    Attributes
    ----------
    name, title : str
        The class.
    threshold : float or None
        Probability from which a cell counts; None where the class takes the cells in which it is
        the most probable (background and normal classes).
    area_mm2 : float
        Area that counts, in mm².
    percent : float
        That area as a percentage of the analysed tissue; NaN without tissue.
    mean_probability : float
        Mean probability over all analysed tissue; NaN without tissue and for "not sure".
    """

    name: str
    title: str
    threshold: float | None
    area_mm2: float
    percent: float
    mean_probability: float


def measure(
    probabilities: NDArray[np.float32],
    tissue: NDArray[np.bool_],
    scheme: ClassScheme,
    *,
    cell_area_um2: float,
    thresholds: Mapping[str, float] | None = None,
    quantile: float | None = None,
) -> tuple[ClassMeasure, ...]:
    """Measure every class on a probability map.

    A pathological class counts where its probability reaches its threshold; thresholds are
    independent, so two such classes may both count a cell. A cell that no pathological class
    counts goes to the most probable of the others.

    Parameters
    ----------
    probabilities : ndarray of float, shape (classes, rows, columns)
        Values in 0 to 1.
    tissue : ndarray of bool, shape (rows, columns)
        Cells that were analysed and lie on tissue.
    scheme : ClassScheme
        Classes, in the order of the first axis.
    cell_area_um2 : float
        Area of one cell in µm².
    thresholds : mapping of str to float, optional
        Per pathological class; 0.5 where absent.
    quantile : float, optional
        Of the calibration scores for the chosen error rate: cells whose prediction set does not
        hold exactly one class then form a last row of their own, and no class counts them.

    Returns
    -------
    tuple of ClassMeasure
        In the order of the scheme; "not sure" last where it was asked for.
    """
    values = probabilities[:, tissue]
    total = values.shape[1]
    given = thresholds or {}
    cuts = {i: float(given.get(scheme[i].name, DEFAULT_THRESHOLD)) for i in scheme.pathological}
    unsure = np.zeros(total, np.bool_) if quantile is None else not_sure(values, quantile)
    counted = {i: (values[i] >= cut) & ~unsure for i, cut in cuts.items()}
    taken = np.zeros(total, dtype=np.bool_)
    for hits in counted.values():
        taken |= hits
    others = [i for i, c in enumerate(scheme) if c.kind is not ClassKind.PATHOLOGICAL]
    if others and total:
        best = np.asarray(others)[np.argmax(values[others], axis=0)]
        counted |= {i: (best == i) & ~taken & ~unsure for i in others}
    rows = []
    for i, tissue_class in enumerate(scheme):
        cells = int(np.count_nonzero(counted[i])) if i in counted else 0
        rows.append(
            ClassMeasure(
                tissue_class.name,
                tissue_class.title,
                cuts.get(i),
                cells * cell_area_um2 / 1e6,
                100 * cells / total if total else float("nan"),
                float(values[i].mean(dtype=np.float64)) if total else float("nan"),
            )
        )
    if quantile is not None:
        cells = int(np.count_nonzero(unsure))
        share = 100 * cells / total if total else float("nan")
        area = cells * cell_area_um2 / 1e6
        rows.append(ClassMeasure(NOT_SURE, NOT_SURE_TITLE, None, area, share, float("nan")))
    return tuple(rows)
