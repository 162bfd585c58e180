"""Other packages, installed as an installer leaves them: modules and a ``dist-info`` folder."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path


def install_package(
    folder: Path, name: str, source: str, entry_points: Mapping[str, Mapping[str, str]]
) -> None:
    """Install a package of one module into a folder of the module search path.

    Parameters
    ----------
    folder : Path
        On ``sys.path``.
    name : str
        Of the package and of its module.
    source : str
        The module.
    entry_points : mapping
        From group to names and what they stand for.
    """
    (folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
