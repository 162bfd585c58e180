"""Damage files by the thousand: ``python -m tests.fuzz --count 10000 --seed 0``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from multiprocessing import get_context
from pathlib import Path

from tests.fuzz.kinds import KINDS, Case, kind_of_files, sound_cases
from tests.fuzz.pool import Limits, Outcome, run_cases
from tests.fuzz.seeds import write_seeds

_VERDICTS = ("clean", "own", "foreign", "crash", "hang", "memory")
_BAD = _VERDICTS[2:]
_TITLES = ("clean opens", "own errors", "foreign exceptions", "crashes", "hangs", "over-memory")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="trials, shared among the kinds")
    parser.add_argument("--seed", type=int, default=0)
    kinds = ",".join(k for k in KINDS if k != "mischief")
    parser.add_argument("--kinds", default=kinds, help="separated by commas")
    parser.add_argument("--files", type=Path, help="folder of slides to damage in place of ours")
    parser.add_argument("--without", default="", help="kinds that are left out")
    parser.add_argument("--seconds", type=float, default=20, help="from which a case hangs")
    parser.add_argument("--memory", type=float, default=1536, help="MB that a case may take")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for files that came to a bad end")
    parser.add_argument("--case", help="KIND:SEED:NUMBER: this one alone, here, with its traceback")
    parser.add_argument("--sound", action="store_true", help="the files as they are, first")
    parser.add_argument("--quiet", action="store_true", help="no line for each bad end")
    return parser.parse_args()


def _table(counts: dict[str, Counter[str]]) -> str:
    lines = ["| kind | trials | " + " | ".join(_TITLES) + " |", "|---|" + "---:|" * 7]
    total: Counter[str] = sum(counts.values(), Counter())
    for name, found in [*counts.items(), ("**all**", total)]:
        cells = [str(found.total()), *(str(found[v]) for v in _VERDICTS)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _keep(found: Outcome, seeds: Path, folder: Path) -> None:
    place = folder / str(found.case).replace(":", "-")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    found.case.write(seeds, place)
    (place / "outcome.txt").write_text(
        f"{found.verdict}: {found.told}\n\npython -m tests.fuzz --case {found.case}\n",
        encoding="utf-8",
    )


def _alone(case: Case, seeds: Path, keep: Path | None) -> None:
    folder = keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder.mkdir(exist_ok=True)
    path = case.write(seeds, folder)
    sys.stdout.write(f"{path}\n")
    sys.stdout.flush()
    sys.stdout.write("\n".join(case.use(path).errors) + "\n")


def main() -> int:
    """Run, tell, and return how it ended."""
    options = _arguments()
    kinds = [k for k in options.kinds.split(",") if k not in options.without.split(",")]
    if options.files:
        KINDS["files"], kinds = kind_of_files(options.files), ["files"]
    if options.case:
        kinds = [Case.parse(options.case).kind]
    limits = Limits(options.seconds, options.memory * 2**20)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-seeds-") as seeds:
        # In a process of its own: what runs threads must not be forked.
        wanted = {KINDS[name].seeds or name for name in kinds if name != "files"}
        arguments = (Path(seeds), sorted(wanted))
        writer = get_context("fork").Process(target=write_seeds, args=arguments)
        writer.start()
        writer.join()
        if writer.exitcode:
            return 2
        if options.case:
            _alone(Case.parse(options.case), Path(seeds), options.keep)
            return 0
        cases = [
            Case(kinds[i % len(kinds)], options.seed, i // len(kinds)) for i in range(options.count)
        ]
        if options.sound:
            cases = sound_cases(Path(seeds), kinds) + cases
        for found in run_cases(cases, Path(seeds), options.workers, limits):
            counts[found.case.kind][found.verdict] += 1
            if found.case.number < 0 and found.verdict == "own":
                sys.stdout.write(f"{found.case} is sound, but {found.verdict}: {found.told!r}\n")
            if found.verdict in _BAD:
                if not options.quiet:
                    sys.stdout.write(f"{found.case} {found.verdict}: {found.told!r}\n")
                    sys.stdout.flush()
                if options.keep is not None:
                    _keep(found, Path(seeds), options.keep)
    sys.stdout.write(_table({k: counts[k] for k in kinds if k in counts}) + "\n")
    sys.stdout.write(f"{options.count} trials, seed {options.seed}, ")
    sys.stdout.write(f"{time.monotonic() - start:.0f} s on {options.workers} of {os.cpu_count()}\n")
    return int(any(found[v] for found in counts.values() for v in _BAD))


if __name__ == "__main__":
    sys.exit(main())
