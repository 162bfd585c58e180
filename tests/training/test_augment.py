"""Augmentation."""

from __future__ import annotations

import torch

from napari_liverdx.training.augment import dihedral, jitter_stain


def test_augmentation_is_the_same_for_the_same_seed() -> None:
    tiles = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    a, b = (
        jitter_stain(
            dihedral([tiles], torch.Generator().manual_seed(3))[0],
            torch.Generator().manual_seed(4),
        )
        for _ in range(2)
    )
    assert torch.equal(a, b)


def test_stain_jitter_changes_tissue_and_keeps_glass() -> None:
    generator = torch.Generator().manual_seed(0)
    tissue = torch.full((8, 3, 16, 16), 0, dtype=torch.uint8)
    tissue[:] = torch.tensor([200, 120, 170], dtype=torch.uint8).view(1, 3, 1, 1)
    changed = jitter_stain(tissue, generator)
    assert changed.shape == tissue.shape
    assert changed.std(0).mean() > 0.01
    assert 0 <= changed.min() <= changed.max() <= 1
    glass = jitter_stain(torch.full((8, 3, 16, 16), 243, dtype=torch.uint8), generator)
    assert (glass.amax(1) - glass.amin(1)).max() < 0.06
    still = jitter_stain(tissue, generator, sigma=0, bias=0)
    # Light still varies: a common factor for each tile, give or take the contrast.
    ratio = still / (tissue.float() / 255)
    assert ratio.std(dim=(1, 2, 3)).max() < 0.05


def test_tiles_and_cells_turn_together() -> None:
    generator = torch.Generator().manual_seed(0)
    subtiles = torch.rand(16, 1, 4, 4)
    tiles = subtiles.repeat_interleave(8, 2).repeat_interleave(8, 3)
    turned, small = dihedral([tiles, subtiles], generator)
    assert torch.equal(turned[:, :, ::8, ::8], small)
    assert not torch.equal(small, subtiles)
