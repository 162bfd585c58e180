"""Whether something trivial predicts the label: a network would learn that instead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.metrics.bootstrap import grouped_interval
from napari_liverdx.metrics.classification import balanced_accuracy
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.models.card import Interval
from napari_liverdx.training.audit.fingerprints import Fingerprints
from napari_liverdx.training.data.splits import folds_of

__all__ = ["Probe", "probe_labels"]

MARGIN = 0.05
"""A probe counts if the whole interval lies so far above chance."""

_FOLDS = 5
_MEANS = {
    "image size": "images of different classes come from different scanners or were cut "
    "differently; a model can learn the size, so cut and resize all classes alike and compare its "
    "figures with this one",
    "mean color": "brightness or stain tells the classes apart; where that is not what the class "
    "is (as it is for empty glass), the classes come from different laboratories, stains or "
    "scanners, and a model that only learned color reaches this figure",
    "source": "the classes come from different sources; a model that recognizes the laboratory "
    "or scanner reaches this figure, so balance the sources or test on one that was left out",
}


@dataclass(frozen=True, slots=True)
class Probe:
    """How well one trivial property predicts the label.

    Attributes
    ----------
    name : str
    balanced_accuracy : Interval
        Of a logistic regression, grouped cross-validation, bootstrap over groups.
    chance : float
        Balanced accuracy of guessing.
    """

    name: str
    balanced_accuracy: Interval
    chance: float

    @property
    def predicts(self) -> bool:
        """Whether it is clearly better than chance."""
        low = self.balanced_accuracy.low
        return low is not None and low > self.chance + MARGIN

    @property
    def meaning(self) -> str:
        """What it means if it predicts the label, and what to do."""
        return _MEANS[self.name]


def probe_labels(
    prints: Fingerprints,
    labels: NDArray[np.intp],
    groups: NDArray[np.str_],
    sources: NDArray[np.str_],
) -> list[Probe]:
    """Try to predict the labels from size, color and source, each alone.

    Properties in which all pictures agree are left out, and so is everything where there is but
    one class or one group.

    Parameters
    ----------
    prints : Fingerprints
        Of the n pictures.
    labels, groups, sources : ndarray, shape (n,)
        See `TileDataset`.

    Raises
    ------
    DataError
        If scikit-learn is missing.
    """
    n_folds = min(_FOLDS, len(np.unique(groups)))
    if n_folds < 2 or len(np.unique(labels)) < 2:
        return []
    width, height = prints.sizes.T.astype(np.float64)
    _, source = np.unique(sources, return_inverse=True)
    features = {
        "image size": np.log(np.column_stack([width, height, width / height, width * height])),
        "mean color": prints.colors,
        "source": np.eye(source.max() + 1)[source],
    }
    probes = []
    for name, table in features.items():
        if (table == table[0]).all():
            continue
        probabilities = _out_of_fold(table, labels, groups, n_folds)
        interval = grouped_interval(
            balanced_accuracy,
            LabeledPredictions.of(probabilities, labels, groups),
            how=f"{name} alone, {n_folds} grouped folds",
        )
        probes.append(Probe(name, interval, 1 / len(np.unique(labels))))
    return probes


def _out_of_fold(
    table: NDArray[np.float64],
    labels: NDArray[np.intp],
    groups: NDArray[np.str_],
    n_folds: int,
) -> NDArray[np.float64]:
    """Predict probabilities for each sample by a regression that did not see its group."""
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import PolynomialFeatures, StandardScaler
    except ImportError as error:
        raise DataError(
            "auditing data needs scikit-learn; pip install 'napari-liverdx[train]'"
        ) from error
    probabilities = np.zeros((len(labels), int(labels.max()) + 1))
    for rest, part in folds_of(labels, groups, np.arange(len(labels)), n_folds, 0):
        known = np.unique(labels[rest])
        if len(known) < 2:
            probabilities[np.ix_(part, known)] = 1
            continue
        # Squares let a class lie between two others; sizes of scanners often do.
        model = make_pipeline(
            StandardScaler(),
            PolynomialFeatures(2, include_bias=False),
            StandardScaler(),
            LogisticRegression(class_weight="balanced", max_iter=5000),
        )
        model.fit(table[rest], labels[rest])
        probabilities[np.ix_(part, known)] = model.predict_proba(table[part])
    return probabilities
