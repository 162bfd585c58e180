"""Attention that pools a grid to one vector."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["AttentionPool"]


class AttentionPool(nn.Module):
    """Gated attention pooling of a grid to one vector (Ilse et al. 2018, arXiv:1802.04712)."""

    def __init__(self, channels: int, hidden: int = 64) -> None:
        super().__init__()
        self.value = nn.Conv2d(channels, hidden, 1)
        self.gate = nn.Conv2d(channels, hidden, 1)
        self.score = nn.Conv2d(hidden, 1, 1)

    def weights(self, grid: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return each subtile's weight, (n, rows, columns); they sum to 1 over ``mask``."""
        score: Tensor = self.score(self.value(grid).tanh() * self.gate(grid).sigmoid())[:, 0]
        if mask is not None:
            score = score.masked_fill(~mask, float("-inf"))
        return score.flatten(1).softmax(dim=1).view_as(score)

    def forward(self, grid: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool ``grid``, shape (n, channels, rows, columns), to (n, channels)."""
        weight = self.weights(grid, mask).flatten(1)[:, None]
        return (grid.flatten(2) * weight).sum(dim=2)
