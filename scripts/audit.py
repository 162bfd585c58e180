"""Look up known weaknesses of everything that is installed beside this program.

Usage: python scripts/audit.py [--must | --tell]

Without a network it says so and ends well: nobody shall need one to check a change. With --must
that is a failure; with --tell weaknesses are named and are none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any
from urllib.request import urlopen

_SECONDS = 180
_ADVISORIES = "https://pypi.org/pypi/zarr/json"
"""Where advisories come from, of a package that is surely there."""


def audit() -> list[dict[str, Any]]:
    """Ask for the advisories of each installed package; empty where nobody answers."""
    try:
        urlopen(_ADVISORIES, timeout=5).close()
    except OSError:
        return []
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format", "json"]
    try:
        asked = subprocess.run(  # noqa: S603 - no words of others
            [*command, "--progress-spinner", "off", "--timeout", "10"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        return list(json.loads(asked.stdout)["dependencies"])
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return []


def main(*, must: bool, tell: bool) -> int:
    """Print what is known; 1 where there is a weakness, or nobody answers who must."""
    packages = audit()
    known = [p for p in packages if "vulns" in p]
    weak = [p for p in known if p["vulns"]]
    for package in weak:
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            sys.stdout.write(
                f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}\n"
            )
    if not known:
        sys.stdout.write("audit: the advisories cannot be reached; nothing was looked up\n")
        return int(must)
    sys.stdout.write(f"audit: {len(weak)} of {len(known)} packages have known weaknesses\n")
    if len(known) < len(packages):
        sys.stdout.write(f"audit: {len(packages) - len(known)} others are not in the index\n")
    return int(bool(weak) and not tell)


if __name__ == "__main__":
    raise SystemExit(main(must="--must" in sys.argv[1:], tell="--tell" in sys.argv[1:]))
