"""What reports say."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import pytest

from napari_liverdx.results.findings import Findings, measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.store import ResultStore
from tests.support.results import SQUARE


def findings(
    store: ResultStore, map_kind: MapKind = MapKind.SUBTILES, cut: float = 0.5
) -> Findings:
    settings = MeasureSettings({"fat": cut}, map_kind=map_kind)
    return measure_result(store, settings, regions=[("Field <A> & B", SQUARE)])


def text_of(page: Path) -> str:
    """What a page says, without markup and pictures."""
    content = page.read_text(encoding="utf-8")
    content = re.sub(r"<style>.*?</style>|data:image/[^\"]*", " ", content, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", content))


def pdf_text(path: Path, *options: str) -> str:
    """What a PDF says, by poppler; skips without it."""
    try:
        done = subprocess.run(
            ["pdftotext", *options, str(path), "-"], capture_output=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("pdftotext is not on this machine")
    return done.stdout.decode()
