"""Folders of labeled tiles and a recipe to learn them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from napari_liverdx.slides.slide import Slide


def write_folders(slide: Slide, root: Path) -> None:
    for i in range(24):
        pixels = slide.read_region(0, 1900 + 130 * (i % 6), 500 + 130 * (i // 6), 96, 96)
        name = ("cancer", "normal")[i % 2]
        if name == "cancer":
            pixels = pixels[..., ::-1] // 2
        (root / name).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / name / f"p{i // 2 % 6}_{i}.png")


RECIPE = """
start = "scratch"
[card]
name = "tiny"
title = "Tiny"
summary = "s"
architecture = "cnn-rnn"
mpp = 0.5
tile_size = 64
arguments = { encoder = "mobilenetv3_small_050", hidden = 4, projection = 8 }
[[card.classes]]
name = "normal"
title = "Normal"
color = "#4c9f70"
kind = "normal"
[[card.classes]]
name = "cancer"
title = "Cancer"
color = "#c2255c"
kind = "pathological"
[data]
kind = "folders"
group_pattern = '^(p\\d+)_'
val_folds = 2
[train]
epochs = 2
warmup_epochs = 0
tiles_per_epoch = 24
batch_size = 6
ema_decay = 0.5
patience = 50
"""
