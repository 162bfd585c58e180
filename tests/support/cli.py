"""Running commands, in this process and in one of their own."""

from __future__ import annotations

import subprocess
import sys

from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import LiverDxError

RUN = CliRunner()


def liverdx_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The real program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "napari_liverdx", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def refused(*arguments: object) -> str:
    """The message with which a command ends; it must be one of ours."""
    outcome = RUN.invoke(app, [str(a) for a in arguments])
    assert isinstance(outcome.exception, LiverDxError), outcome.output
    return str(outcome.exception)


def run_command(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, [str(a) for a in arguments])
    assert outcome.exit_code == 0, outcome.output + repr(outcome.exception)
    return outcome.output
