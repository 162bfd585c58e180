"""Split-conformal prediction: which error rate, and from which scores."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.models.card import ModelCard

__all__ = ["ConformalScores", "calibrate_conformal", "conformal_quantiles", "stored_scores"]

_RATES = tuple(round(0.005 * i, 3) for i in range(1, 101))


class ConformalScores(BaseModel):
    """Quantiles of calibration scores, for every error rate from 0.5 % to 50 %.

    Attributes
    ----------
    groups, samples : int
        Patients or slides, and tiles or subtiles, that they come from.
    rates : tuple of float
        Error rates, ascending.
    quantiles : tuple of float or None
        Score for each of them; None where so few groups promise nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    groups: int = Field(ge=0)
    samples: int = Field(ge=0)
    rates: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=1)
    quantiles: tuple[Annotated[float, Field(ge=0, le=1.01)] | None, ...]

    @model_validator(mode="after")
    def _are_pairs(self) -> ConformalScores:
        if len(self.quantiles) != len(self.rates) or list(self.rates) != sorted(self.rates):
            raise ValueError("one quantile belongs to each rate, and rates ascend")
        return self

    def quantile(self, error_rate: float) -> float:
        """Return the score for an error rate; infinity where too few groups guarantee it.

        Raises
        ------
        PlanError
            If the rate is not between the smallest and the largest one stored.
        """
        if not self.rates[0] <= error_rate <= self.rates[-1]:
            raise PlanError(
                f"error rate {error_rate:g}: give a value between {self.rates[0]:g} and "
                f"{self.rates[-1]:g}, for example 0.1"
            )
        # The next smaller stored rate: never more errors than asked for.
        index = int(np.searchsorted(self.rates, error_rate + 1e-9, side="right")) - 1
        value = self.quantiles[index]
        return math.inf if value is None else value


def calibrate_conformal(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.intp],
    groups: NDArray[np.str_],
) -> ConformalScores:
    """Compute calibration scores of held-out samples that come in groups.

    The score is 1 minus the probability of the true class (Sadinle et al. 2019,
    arXiv:1609.00451). Tiles of one patient are not exchangeable with those of another, patients
    are: every group has the same weight, shared by its samples, and a new group takes one more
    (hierarchical conformal prediction, Lee et al. 2023, arXiv:2306.06342). A sample drawn from a
    new group of the same population then lies in its prediction set with the chosen probability
    or more.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Calibrated probabilities.
    labels : ndarray of int, shape (n,)
        True classes.
    groups : ndarray of str, shape (n,)
        Patients or slides.
    """
    scores = 1 - probabilities[np.arange(len(labels)), labels].astype(np.float64)
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / (sizes[inverse] * (len(sizes) + 1))
    order = np.argsort(scores)
    reached = np.cumsum(weights[order])
    quantiles: list[float | None] = []
    for rate in _RATES:
        at = int(np.searchsorted(reached, 1 - rate - 1e-12))
        # Rounded up: a set may grow by it, never shrink.
        quantiles.append(math.ceil(scores[order[at]] * 1e6) / 1e6 if at < len(scores) else None)
    return ConformalScores(
        groups=len(sizes), samples=len(labels), rates=_RATES, quantiles=tuple(quantiles)
    )


def conformal_quantiles(card: ModelCard, error_rate: float | None) -> Quantiles:
    """Return the quantiles of a model's scores; none where no error rate was chosen.

    Models without a dense map of their own use the tile's for both.

    Parameters
    ----------
    card : ModelCard
        Card of the model.
    error_rate : float or None
        How often the true class may be missing from a set.

    Raises
    ------
    PlanError
        If the model holds no calibration scores, or the rate is out of range.
    """
    if error_rate is None:
        return Quantiles()
    scores = stored_scores(card)
    tile, subtile = scores.get("tile"), scores.get("cell")
    if tile is None:
        raise PlanError(
            f"model {card.name} holds no calibration scores, so that no error rate can be "
            f"guaranteed; leave --error-rate out, or add them with 'liverdx ood fit'"
        )
    return Quantiles((subtile or tile).quantile(error_rate), tile.quantile(error_rate))


def stored_scores(card: ModelCard) -> dict[str, ConformalScores]:
    """Return the calibration scores on a card, under ``tile`` and ``cell``, as stored at first.

    Raises
    ------
    ValidationError
        If what is stored is none.
    """
    known: dict[str, Any] = {k: v for k, v in card.conformal.items() if k in ("tile", "cell") and v}
    return {key: ConformalScores.model_validate(value) for key, value in known.items()}
