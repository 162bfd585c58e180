"""Damaged files of every kind end in a picture or in an error of ours, in time and in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.kinds import Case
from tests.support.paths import REPOSITORY

TRIALS = 300
SEED = 1


WATCHED = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are forked, and watched through /proc"
)


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", "--sound", *options]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@WATCHED
@pytest.mark.slow
@pytest.mark.budget(120, "starts programs that load torch, three hundred trials")
def test_damaged_files_are_told_and_nothing_else_happens() -> None:
    """Other seeds, and ten thousand trials: ``make fuzz``."""
    # Bombs take long to make.
    done = fuzz("--count", str(TRIALS), "--seed", str(SEED), "--without", "bomb")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{TRIALS} trials" in done.stdout


def test_a_case_is_the_same_every_time(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds" / "table"
    seeds.mkdir(parents=True)
    (seeds / "a.csv").write_text("path,mpp\na.svs,0.5\nb.svs,\n" * 5)
    written = []
    for i in range(20):
        made = [tmp_path / f"{i}{turn}" for turn in "ab"]
        for folder in made:
            folder.mkdir()
        first, second = (Case("table", 7, i).write(seeds.parent, f).read_bytes() for f in made)
        assert first == second
        written.append(first)
    assert len(set(written)) > 10
    assert Case.parse(str(Case("table", 7, 3))) == Case("table", 7, 3)


@WATCHED
@pytest.mark.slow
def test_what_misbehaves_is_caught() -> None:
    """Each in a process of its own, so that the next case finds a sound one."""
    told = fuzz("--kinds", "mischief", "--count", "0", "--seconds", "1", "--memory", "1300")
    assert told.returncode == 1
    found = [line.split()[1] for line in told.stdout.splitlines() if line.startswith("mischief:")]
    assert found == ["crash:", "memory:", "foreign:", "hang:"]
