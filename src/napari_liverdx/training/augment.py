"""Random changes that a tile may undergo without changing what it shows."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["dihedral", "jitter_stain"]

# Optical densities of hematoxylin, eosin and the residual (Ruifrok & Johnston 2001).
_STAINS = torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


def jitter_stain(
    tiles: Tensor, generator: torch.Generator, *, sigma: float = 0.2, bias: float = 0.03
) -> Tensor:
    """Vary the amount of each stain (Tellez et al. 2018, arXiv:1808.05896), then light.

    Parameters
    ----------
    tiles : Tensor, shape (n, 3, h, w), uint8
        RGB.
    generator : torch.Generator
        Source of the random numbers.
    sigma, bias : float
        Range of the factor (1 ± sigma) and of the offset for each stain.

    Returns
    -------
    Tensor, shape (n, 3, h, w), float32
        RGB in 0 to 1.
    """
    n = len(tiles)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    stains = _STAINS / _STAINS.norm(dim=1, keepdim=True)
    density = -torch.log((tiles.float() + 1) / 256)
    factors = 1 + sigma * uniform(n, 3, 1)
    offsets = bias * uniform(n, 3, 1)
    amounts = torch.einsum("ncp,cs->nsp", density.flatten(2), torch.linalg.inv(stains))
    # Glass holds no stain, so an offset must not tint it.
    present = (density.flatten(2).mean(dim=1, keepdim=True) / 0.15).clamp(0, 1)
    amounts = amounts * factors + offsets * present
    changed = torch.einsum("nsp,sc->ncp", amounts, stains).clamp(min=0)
    rgb = torch.exp(-changed).view(tiles.shape)
    contrast = 1 + 0.1 * uniform(n, 1, 1, 1)
    light = 1 + 0.06 * uniform(n, 1, 1, 1)
    return ((rgb - 0.5) * contrast + 0.5).mul(light).clamp(0, 1)


def dihedral(grids: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Flip and turn every sample of several square grids alike.

    Parameters
    ----------
    grids : list of Tensor, shape (n, ..., k, k)
        The first axes agree; k may differ between them.
    generator : torch.Generator
        Source of the random numbers.

    Returns
    -------
    list of Tensor
        Of the same shapes.
    """
    n = len(grids[0])
    turns = torch.randint(0, 4, (n,), generator=generator).tolist()
    flips = torch.randint(0, 2, (n,), generator=generator).tolist()
    return [
        torch.stack(
            [
                torch.rot90(sample.flip(-1) if flip else sample, turn, (-2, -1))
                for sample, turn, flip in zip(grid, turns, flips, strict=True)
            ]
        )
        for grid in grids
    ]
