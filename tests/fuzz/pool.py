"""Workers that may hang, eat memory or die: each is watched, and another takes its place."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_liverdx.core.errors import LiverDxError
from tests.fuzz.kinds import Case

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

__all__ = ["Limits", "Outcome", "judge", "run_cases"]

_LOOK = 0.02
_RENEWED = 400
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Limits:
    """What a case may take.

    Attributes
    ----------
    seconds : float
        Of the processor; on the clock, where others work too, five times that.
    memory : float
        Bytes of the whole process, libraries included.
    """

    seconds: float = 20.0
    memory: float = 1.5 * 2**30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case.

    Attributes
    ----------
    case : Case
    verdict : str
        ``clean``, ``own`` (an error of ours), ``foreign``, ``hang``, ``memory`` or ``crash``.
    told : str
        The error, or where it was raised.
    """

    case: Case
    verdict: str
    told: str = ""


def judge(case: Case, seeds: Path, folder: Path) -> Outcome:
    """Use a damaged file in an empty folder; whatever warns, fails."""
    path = case.write(seeds, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tally = case.use(path)
    except LiverDxError as error:
        return Outcome(case, "own", str(error))
    except Exception as error:  # noqa: BLE001 - that there is none is what is tested
        return Outcome(case, "foreign", f"{_place(error)} {type(error).__name__}: {error}"[:600])
    return Outcome(case, "own" if tally.errors else "clean", "; ".join(tally.errors)[:600])


def _place(error: Exception) -> str:
    """The deepest line of ours under an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "napari_liverdx" in f.filename or "fuzz" in f.filename]
    frame = own[-1] if own else frames[-1]
    return f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}:{frame.lineno}"


def _work(pipe: Connection, seeds: Path, keep: Path | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    pipe.send(folder)
    while (case := pipe.recv()) is not None:
        place = folder / "case"
        place.mkdir()
        pipe.send(judge(case, seeds, place))
        shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Worker:
    process: ForkProcess
    pipe: Connection
    folder: Path
    case: Case | None = None
    started: float = 0.0
    processor: float = 0.0
    done: int = 0
    most: float = field(default=0.0)

    def start(self, case: Case) -> None:
        self.case, self.started = case, time.monotonic()
        self.processor = _used(self.process.pid)[0]
        self.pipe.send(case)

    def excess(self, limits: Limits) -> str:
        """What is too much about it, if anything."""
        processor, memory = _used(self.process.pid)
        self.most = max(self.most, memory)
        if memory > limits.memory:
            return "memory"
        clock = time.monotonic() - self.started
        late = processor - self.processor > limits.seconds or clock > 5 * limits.seconds
        return "hang" if late else ""

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _used(pid: int | None) -> tuple[float, float]:
    """Seconds of the processor and bytes of memory of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK, int(fields[21]) * _PAGE
    except (OSError, IndexError):
        return 0.0, 0.0


def _hire(seeds: Path) -> _Worker:
    context = get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, seeds, None), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours, ours.recv())


def run_cases(
    cases: Sequence[Case], seeds: Path, workers: int = 1, limits: Limits | None = None
) -> Iterator[Outcome]:
    """Judge cases in processes of their own.

    Parameters
    ----------
    cases : sequence of Case
        What to judge.
    seeds : Path
        Folder of the sound files.
    workers : int
        Processes at a time.
    limits : Limits, optional
        Of time and memory.

    Yields
    ------
    Outcome
        In the order in which they end.
    """
    limits = limits or Limits()
    waiting: list[Any] = list(reversed(cases))
    crew = [_hire(seeds) for _ in range(min(workers, len(cases)))]
    try:
        while waiting or any(w.case for w in crew):
            for i, worker in enumerate(crew):
                if worker.case is None and waiting:
                    if worker.done >= _RENEWED:
                        worker.end()
                        crew[i] = worker = _hire(seeds)
                    worker.start(waiting.pop())
            wait([w.pipe for w in crew if w.case], timeout=_LOOK)
            for i, worker in enumerate(crew):
                if worker.case is None:
                    continue
                found = _look(worker, limits)
                if found is not None:
                    yield found
                    if found.verdict in ("hang", "memory", "crash"):
                        worker.end()
                        crew[i] = _hire(seeds)
    finally:
        for worker in crew:
            worker.end()


def _look(worker: _Worker, limits: Limits) -> Outcome | None:
    case = worker.case
    assert case is not None
    excess = worker.excess(limits)
    try:
        if worker.pipe.poll():
            found: Outcome = worker.pipe.recv()
        elif not worker.process.is_alive():
            raise EOFError
        elif excess:
            found = Outcome(case, excess, f"{worker.most / 2**20:.0f} MB")
        else:
            return None
    except (EOFError, ConnectionError):
        worker.process.join()
        found = Outcome(case, "crash", f"the process ended with {worker.process.exitcode}")
    worker.case, worker.done = None, worker.done + 1
    return found
