"""Files written whole or not at all, names that every system takes, and locks."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx._files import (
    LockedError,
    atomic_write,
    bare_name,
    exclusive_lock,
    readable_name,
    remove_leftovers,
    safe_name,
    unique_sibling,
)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@given(st.text(st.characters(codec=None, exclude_categories=[]), min_size=1, max_size=300))
def test_any_name_is_made_one_that_every_system_takes(name: str) -> None:
    safe = safe_name(name)
    assert len(safe.encode()) <= 200
    assert not set(safe) & set('<>:"/\\|?*\0\n\t\x1b\x7f')
    assert safe_name(safe) == safe
    if safe == name:
        return
    assert safe_name(name + "x") != safe


def test_plain_names_stay_as_they_are() -> None:
    for name in ("a", "Doe, Jane 1950.tiny-3c8122", "ünï–çødé 🧫", "sharp#1", "a" * 200, "..b"):
        assert safe_name(name) == name


@pytest.mark.skipif(os.name != "posix", reason="names of bytes are of POSIX systems")
def test_names_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/ni\xf1.tif"))
    assert readable_name(path) == "ni\N{REPLACEMENT CHARACTER}.tif"
    assert readable_name(tmp_path / "niñ 🧫.tif") == "niñ 🧫.tif"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_files_have_the_permissions_the_user_asked_for(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "deep" / "a.txt", make_folder=True) as partial:
            partial.write_text("a")
        with atomic_write(tmp_path / "b") as partial:
            partial.mkdir()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "deep" / "a.txt").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o777 & ~mask


def test_a_link_is_replaced_and_what_it_points_to_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("mine")
    for target in (foreign, tmp_path / "nowhere"):
        link = tmp_path / "link.txt"
        link.symlink_to(target)
        with atomic_write(link) as partial:
            partial.write_text("new")
        assert link.read_text() == "new"
        assert not link.is_symlink()
        link.unlink()
    assert foreign.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nobody can ask whether a program lives")
def test_what_a_dead_program_left_behind_is_removed(tmp_path: Path) -> None:
    mine = unique_sibling(tmp_path / "a")
    host = mine.name.split("-")[1]
    dead = tmp_path / f".liverdx-{host}-{dead_process()}-{'0' * 12}.partial"
    elsewhere = tmp_path / f".liverdx-{'f' * 6}-{dead_process()}-{'0' * 12}.partial"
    users = tmp_path / ".liverdx-notes.partial"
    for path in (mine, elsewhere, users):
        path.write_text("")
    (dead / "c").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, elsewhere, users])


HOLD = """
import sys
from pathlib import Path
from napari_liverdx._files import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_holds_a_lock_is_told_and_a_dead_one_holds_none(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=rf", process {other.pid}, since 20\d\d-"):
            exclusive_lock(path).__enter__()
        other.kill()
        other.wait()
    with exclusive_lock(path):
        assert path.exists()
        with pytest.raises(LockedError, match=f"process {os.getpid()}"):
            exclusive_lock(path).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_no_way_to_a_file_elsewhere(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("mine")
    (tmp_path / "run.lock").symlink_to(foreign)
    (tmp_path / "run.holder").symlink_to(foreign)
    with pytest.raises(OSError, match=r"run\.lock"):
        exclusive_lock(tmp_path / "run.lock").__enter__()
    assert foreign.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("a.svs", "a"),
        ("a.b.ome.tif", "a.b"),
        ("a.ome.zarr.zip", "a"),
        ("1.2.840.10008.7", "1.2.840.10008.7"),
        ("1.2.840.10008.7.dcm", "1.2.840.10008.7"),
        ("case", "case"),
        (".svs", ".svs"),
        ("a.", "a."),
    ],
)
def test_identifiers_have_no_ending(name: str, bare: str) -> None:
    assert bare_name(name) == bare


def test_on_a_disk_without_locks_the_note_of_who_writes_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    path, holder = tmp_path / "run.lock", tmp_path / "run.holder"
    with exclusive_lock(path):
        assert holder.exists()
        with pytest.raises(LockedError, match=f"process {os.getpid()}"):
            exclusive_lock(path).__enter__()
    assert not holder.exists()
    host = socket.gethostname()
    for facts, free in (
        ({"host": host, "process": dead_process(), "since": "2026"}, os.name == "posix"),
        ({"host": "elsewhere", "process": 1, "since": "2026"}, False),
    ):
        holder.write_text(json.dumps(facts))
        if free:
            with exclusive_lock(path):
                pass
        else:
            with pytest.raises(LockedError, match=r"elsewhere.*remove run\.holder"):
                exclusive_lock(path).__enter__()
    holder.write_text("torn")
    with exclusive_lock(path):
        pass
