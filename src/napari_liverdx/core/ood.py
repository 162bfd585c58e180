"""Does a slide look like what the model was trained on?

Each tile has a score, 1 where the limit for a single tile lies; this module makes a statement
about a slide from the scores of its tiles. How tiles get their scores is in `models.ood`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, gammaln

__all__ = ["NO_STATISTICS", "OodAssessment", "OodCount", "OodRule", "OodState", "assess_ood"]

NO_STATISTICS = (
    "this model has no reference statistics; similarity to the training data was not assessed"
)

_MANY = 2000


class OodState(StrEnum):
    """What can be said of a slide."""

    UNKNOWN = "unknown"
    IN_DISTRIBUTION = "familiar"
    BORDERLINE = "unusual"
    OUT_OF_DISTRIBUTION = "foreign"

    @property
    def sentence(self) -> str:
        """The state in words."""
        return _SENTENCES[self]


_SENTENCES = {
    OodState.UNKNOWN: "no tile was compared with the training data yet",
    OodState.IN_DISTRIBUTION: "in distribution: this slide looks like the training data",
    OodState.BORDERLINE: "borderline: this slide is unusual compared with the training data",
    OodState.OUT_OF_DISTRIBUTION: "out of distribution: this slide differs from the training data",
}


@dataclass(frozen=True, slots=True)
class OodRule:
    """How many tiles of a slide may lie outside.

    Attributes
    ----------
    rate : float
        Share of tiles outside to expect on slides like the training data.
    overlap : float or None
        How alike tiles of one specimen are: the overdispersion of a beta-binomial distribution,
        0 (independent) to 1 (all or none). None where no held-out specimens were seen: then
        Markov's inequality is all there is, and a slide is unusual from 5, foreign from 10 times
        the expected share (at most one slide in 5, one in 10).
    """

    rate: float = 0.05
    overlap: float | None = None

    def usual(self, tiles: int, confidence: float) -> int:
        """Return the most tiles outside among ``tiles`` that slides like the training data have.

        Parameters
        ----------
        tiles : int
            Number of tiles scored.
        confidence : float
            Share of such slides that have no more.
        """
        if self.overlap is None:
            return int(np.floor(tiles * min(1.0, self.rate / (1 - confidence))))
        strength = 1 / max(self.overlap, 1e-3) - 1
        a, b = self.rate * strength, (1 - self.rate) * strength
        if tiles > _MANY:
            shares = np.linspace(0, 1, _MANY + 1)
            return int(np.ceil(tiles * shares[np.argmax(betainc(a, b, shares) >= confidence)]))
        k = np.arange(tiles + 1, dtype=np.float64)
        choose = gammaln(tiles + 1) - gammaln(k + 1) - gammaln(tiles - k + 1)
        mass = np.exp(choose + betaln(k + a, tiles - k + b) - betaln(a, b))
        return int(np.argmax(np.cumsum(mass) >= min(confidence, mass.sum() * (1 - 1e-9))))

    def judge(self, outside: int, tiles: int) -> OodState:
        """Return the state of a slide of which ``outside`` of ``tiles`` tiles lie outside."""
        if not tiles:
            return OodState.UNKNOWN
        far, odd = (0.9, 0.8) if self.overlap is None else (0.99, 0.95)
        if 2 * outside > tiles and outside > self.usual(tiles, far):
            return OodState.OUT_OF_DISTRIBUTION
        return OodState.BORDERLINE if outside > self.usual(tiles, odd) else OodState.IN_DISTRIBUTION


@dataclass(frozen=True, slots=True)
class OodAssessment:
    """What the tiles of a slide say.

    Attributes
    ----------
    tiles, outside : int
        Tiles that have a score, and those whose score is above 1.
    rate : float
        Share of tiles outside to expect.
    state : OodState
    """

    tiles: int
    outside: int
    rate: float
    state: OodState

    @property
    def share(self) -> float:
        """Share of tiles outside; NaN without tiles."""
        return self.outside / self.tiles if self.tiles else float("nan")

    @property
    def numbers(self) -> str:
        """The figures behind the state, in words."""
        if not self.tiles:
            return ""
        return (
            f"{self.outside:,} of {self.tiles:,} tiles ({100 * self.share:.0f} %) lie outside, "
            f"{100 * self.rate:.0f} % or fewer are expected on average"
        )

    def __str__(self) -> str:
        return f"{self.state.sentence} ({self.numbers})" if self.tiles else self.state.sentence


@dataclass(frozen=True, slots=True)
class OodCount:
    """How many tiles of a slide were scored so far, and how many of them lie outside.

    Attributes
    ----------
    tiles, outside : int
        As in `OodAssessment`.
    """

    tiles: int = 0
    outside: int = 0

    def plus(self, scores: NDArray[np.floating]) -> OodCount:
        """Return the count with further tiles; NaN where a tile has no score."""
        known = np.isfinite(scores)
        outside = int((scores[known] > 1).sum())
        return OodCount(self.tiles + int(known.sum()), self.outside + outside)

    def assess(self, rule: OodRule) -> OodAssessment:
        """Return the statement about the slide by a model's rule."""
        state = rule.judge(self.outside, self.tiles)
        return OodAssessment(self.tiles, self.outside, rule.rate, state)


def assess_ood(scores: NDArray[np.floating], rule: OodRule) -> OodAssessment:
    """Assess whether a slide resembles the training data.

    Parameters
    ----------
    scores : ndarray of float, any shape
        One for each tile; NaN where a tile has none.
    rule : OodRule
        Of the model.
    """
    return OodCount().plus(scores).assess(rule)
