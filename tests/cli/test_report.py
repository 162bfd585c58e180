"""`liverdx report` writes again what `liverdx analyze` wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import PlanError
from tests.support.cli import RUN
from tests.support.paths import one
from tests.support.reports import text_of


@pytest.mark.slow
def test_command_writes_a_report_again(tmp_path: Path, small_slide: Path, tiny_file: Path) -> None:
    out, again = tmp_path / "o", tmp_path / "again"
    arguments = ["analyze", str(small_slide), "-o", str(out), "-m", str(tiny_file)]
    first = RUN.invoke(app, [*arguments, "--pdf", "--top", "2", "--map-kind", "tiles"])
    assert first.exit_code == 0, first.output
    assert "foci" in first.output
    page = one(out, "small.tiny-*.html")
    assert page.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    table = page.with_suffix(".csv")
    result = one(out, "small.tiny-*.liverdx.zarr")
    base = ["report", str(result), "-m", str(tiny_file), "-o", str(again), "--top", "2"]
    second = RUN.invoke(app, [*base, "--map-kind", "tiles"])
    assert second.exit_code == 0, second.output
    # Beside the result or one folder up lies the slide, so that all is as at first.
    assert (again / page.name).read_text() == page.read_text()
    assert (again / table.name).read_text() == table.read_text()
    hidden = RUN.invoke(app, [*base, "--pseudonymize", "--slide", str(small_slide)])
    assert hidden.exit_code == 0, hidden.output
    (code,) = again.glob("????????.tiny-*.html")
    assert "small" not in text_of(code)
    other = tmp_path / "other.tif"
    other.write_bytes(small_slide.read_bytes() + b"\0" * 9)
    refused = RUN.invoke(app, [*base, "--slide", str(other)])
    assert isinstance(refused.exception, PlanError)
    assert "not the slide of this result" in str(refused.exception)
    torn = result / "tiles" / "c" / "0" / "0" / "0"
    torn.write_bytes(torn.read_bytes()[:-9])
    partly = RUN.invoke(app, base)
    assert partly.exit_code == 0, partly.output
    assert "20 tiles are damaged and left out; analyze the slide again" in partly.output
    mended = RUN.invoke(app, arguments)
    assert "20 tiles of the stored result are damaged and analyzed again" in mended.output
    assert "damaged" not in RUN.invoke(app, base).output
    refused = RUN.invoke(app, ["report", str(result), "-m", "liver-steatosis"])
    assert "made with another file" in str(refused.exception)
    small_slide.unlink()
    bare = RUN.invoke(app, base)
    assert bare.exit_code == 0, bare.output
    assert "slide   not found" in bare.output
