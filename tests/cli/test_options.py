"""What files, slides and cards are called does nothing to the terminal."""

from __future__ import annotations

import io
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.table import Table

from napari_liverdx.cli.app import app, main
from napari_liverdx.cli.options import Terminal, styled
from tests.support.cli import RUN

EVIL = "\x1b[31m\x1b]0;title\x07[red]b[/] [/] :smile: \x9b2J\u202eC\\"


def control_characters(text: str) -> set[str]:
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cs")} - set("\n")


def test_nothing_that_is_printed_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    terminal.print(EVIL, table, styled((EVIL, "bold red"), EVIL), soft_wrap=True)
    terminal.rule(EVIL)
    with Progress(console=terminal) as bar:
        bar.add_task("")
        bar.console.print(EVIL, soft_wrap=True)
    shown = capsys.readouterr().out
    assert control_characters(shown) == set()
    assert shown.count("[red]b[/] [/] :smile:") >= 4


def test_colors_of_our_own_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    terminal = Terminal()
    monkeypatch.setattr(type(terminal), "is_terminal", True)
    terminal.print(styled((f"a{EVIL}", "red")))
    codes = re.findall(r"\x1b\[[\d;]*m", screen.getvalue())
    assert control_characters(re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue())) == set()
    assert len(codes) in (0, 2)


NAMES = [
    "a\x1b[31m[red]#1.svs",
    "a\nb.svs",
    "Müller [red] 👩‍🔬.svs",
    f"{'n' * 250}.svs"[-250:],
    "=cmd.svs",
]


@pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be given there")
def test_a_list_of_slides_with_any_names(tmp_path: Path, tiny_file: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(b"no slide")
    (folder / "M\udcfcller.svs").write_bytes(b"no slide")
    command = ["batch", str(folder), "--out", str(tmp_path / "out"), "--model", str(tiny_file)]
    outcome = RUN.invoke(app, command)
    assert outcome.exit_code == 1, outcome.output
    assert control_characters(outcome.output) == set()
    assert outcome.output.count("failed") >= len(NAMES)
    for words in ("[31m[red]#1.svs", "a�b.svs", "Müller [red] 👩‍🔬.svs", "M�ller.svs"):
        assert words in outcome.output
    table = (tmp_path / "out" / "cohort.csv").read_text(encoding="utf-8")
    assert "\n'=cmd.svs," in table
    assert re.search(r"^M\S+ller\.svs,", table, re.MULTILINE)


def test_an_error_is_printed_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["liverdx", "slide", "info", str(tmp_path / f"a{EVIL}.svs")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert control_characters(shown) == set()
    assert "[red]b[/] [/] :smile:" in shown
