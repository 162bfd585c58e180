"""The recurrent operator over a grid."""

from __future__ import annotations

import pytest
import torch

from napari_liverdx.models.architectures.recurrent_grid import RecurrentContext


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_every_cell_sees_every_other(kind: str) -> None:
    torch.manual_seed(0)
    context = RecurrentContext(3, 4, kind)
    grid = torch.randn(1, 3, 5, 6, requires_grad=True)
    for row, col in ((0, 0), (4, 5), (2, 3)):
        (gradient,) = torch.autograd.grad(context(grid)[0, :, row, col].sum(), grid)
        assert (gradient.abs().sum(1) > 0).all()


def test_masked_cells_carry_no_signal() -> None:
    torch.manual_seed(0)
    context = RecurrentContext(3, 4)
    mask = torch.rand(2, 5, 6) > 0.4
    grid = torch.randn(2, 3, 5, 6)
    noisy = torch.where(mask[:, None], grid, torch.randn_like(grid) * 100)
    assert torch.equal(context(grid, mask), context(noisy, mask))
    assert (context(grid, mask)[~mask[:, None].expand(-1, 8, -1, -1)] == 0).all()


def test_unknown_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown"):
        RecurrentContext(3, 4, "elman")
