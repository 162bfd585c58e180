"""Kill the program's long works at random steps towards the disk and see whether they recover.

Then tear each file of a result, as a power cut does, and see whether that is noticed and mended.
Run as ``python -m benchmarks.reliability``; prints a Markdown table, and fails if any trial does.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.kill_jobs import JOBS, Job, write_inputs
from tests.support.killing import run_killed, steps_of
from tests.support.torn import files_of, torn_and_mended, ways_of, whole_result


@dataclass
class Trials:
    """What came of the kills of one work."""

    steps: int = 0
    killed: int = 0
    same: int = 0
    seconds: float = 0.0


def try_work(job: Job, inputs: Path, folder: Path, kills: int, seed: list[int]) -> Trials:
    """Kill a work at so many random steps, each time in a folder of its own, and let it end.

    Every other kill is counted over steps that change what folders hold: of the rest there are
    many more.
    """
    rng, whole, found = np.random.default_rng(seed), folder / "whole", Trials()
    start = time.perf_counter()
    total = {
        content: steps_of(job.work, inputs, folder / f"{name}", content=content)
        for content, name in ((True, "again"), (False, "whole"))
    }
    found.steps = total[True]
    trial = 0
    while found.killed < kills:
        content = trial % 2 == 0
        step = int(rng.integers(1, total[content]))
        place = folder / f"{trial}"
        trial += 1
        if not run_killed(job.work, inputs, place, step, content=content):
            continue
        found.killed += 1
        try:
            job.shown(place, whole)
            run_killed(job.work, inputs, place, 0)
            job.same(place, whole)
            found.same += 1
        except AssertionError:
            sys.stderr.write(f"{place}, step {step}:" + "\n")
            traceback.print_exc(limit=-3)
    found.seconds = time.perf_counter() - start
    return found


def try_torn(folder: Path, places: int, seed: int) -> tuple[int, int]:
    """Tear each file of a result in each way at random bytes; returns trials and good ones."""
    rng, whole = np.random.default_rng([seed, 99]), whole_result(folder)
    trials = good = 0
    path = folder / "torn.liverdx.zarr"
    for file in files_of(whole):
        data = (whole.path / file).read_bytes()
        for tear in ways_of(file):
            for at in rng.integers(0, len(data), places):
                shutil.copytree(whole.path, path)
                (path / file).write_bytes(tear(data, int(at)))
                trials += 1
                try:
                    torn_and_mended(path, whole)
                    good += 1
                except AssertionError:
                    sys.stderr.write(f"{file}, {tear.__name__} at byte {at}:\n")
                    traceback.print_exc(limit=-3)
                shutil.rmtree(path)
    return trials, good


def main() -> int:
    """Run the trials that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="in all, over all works")
    parser.add_argument("--places", type=int, default=3, help="at which each file is torn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("works", nargs="*", help=f"of {', '.join(JOBS)}; all by default")
    given = parser.parse_args()
    given.works = given.works or list(JOBS)
    if unknown := set(given.works) - set(JOBS):
        parser.error(f"no work called {', '.join(sorted(unknown))}")
    shares = np.diff(np.linspace(0, given.kills, len(given.works) + 1).round().astype(int))
    sys.stdout.write(
        "| work | steps | killed | recovered, identical | seconds |\n|---|---|---|---|---|\n"
    )
    good = True
    with tempfile.TemporaryDirectory() as root:
        inputs = Path(root, "inputs")
        write_inputs(inputs)
        for number, (name, kills) in enumerate(zip(given.works, shares, strict=True)):
            seed = [given.seed, number]
            t = try_work(JOBS[name], inputs, Path(root, name), int(kills), seed)
            sys.stdout.write(f"| {name} | {t.steps} | {t.killed} | {t.same} | {t.seconds:.0f} |\n")
            sys.stdout.flush()
            good = good and t.same == t.killed
        Path(root, "torn").mkdir()
        trials, mended = try_torn(Path(root, "torn"), given.places, given.seed)
        sys.stdout.write(f"\n{trials} torn files, {mended} noticed and mended\n")
    good = good and mended == trials
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
