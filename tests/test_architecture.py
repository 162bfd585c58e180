"""The layout holds: no circles, small folders, modules and functions, one name for one thing."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.paths import REPOSITORY

SOURCE = REPOSITORY / "src" / "napari_liverdx"
TESTS = REPOSITORY / "tests"
PACKAGES = sorted(p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists())

REPEATED = {"register"}
"""What each module of a package has by design: `cli` modules register their commands."""

QT_HOST = "napari_liverdx.widgets.parts.qt_host"
"""What Qt does for the controllers."""

GROUND = ("_files", "_ids", "_registry", "_text", "_v010", "_version")
"""Modules free to all, in spite of their names."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(root: Path = SOURCE) -> list[Path]:
    return sorted(root.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# -- imports --


def imported(path: Path) -> Iterator[str]:
    """Modules that a module imports anywhere, for type checkers too."""
    known = names_of_modules()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name:
                yield name


@cache
def names_of_modules() -> frozenset[str]:
    return frozenset(module_name(p) for p in modules())


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            group = stack[at:]
            del stack[at:]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_no_modules_import_each_other() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for path in modules():
        name = module_name(path)
        graph[name] |= {other for other in imported(path) if other != name}
    assert circles(graph) == []


QT = ("qtpy", "superqt", "napari.qt", "napari._qt", "PySide6", "PyQt6")
CONTROL = ("controller", "host", "ticket", "workers", "reopen", "ood_probe", "review_card")
"""Ends of the names of modules in `widgets` that hold logic, not looks."""


def imports_at_run_time(path: Path) -> Iterator[str]:
    """Names of modules imported with a module: none within functions, none for type checkers."""
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_controllers_know_no_qt() -> None:
    """Nor does what they import: they are tested without a window."""
    controllers = [p for p in modules(SOURCE / "widgets") if p.stem.endswith(CONTROL)]
    waiting, seen, found = {module_name(p) for p in controllers} - {QT_HOST}, set(), []
    assert len(waiting) > 10
    while waiting:
        name = waiting.pop()
        seen.add(name)
        path = SOURCE.parent.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for target in imports_at_run_time(path):
            if target.startswith(QT):
                found.append(f"{name}: {target}")
            while target and target not in names_of_modules():
                target = target.rpartition(".")[0]
            if target and target not in seen:
                waiting.add(target)
    assert found == []


# -- sizes --


def beyond(limit: int, sizes: dict[str, int]) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if size > limit}


def test_no_folder_holds_more_than_15_modules() -> None:
    counts = Counter(p.parent for p in modules() if p.name != "__init__.py")
    assert beyond(15, {str(f.relative_to(SOURCE)): n for f, n in counts.items()}) == {}


def test_no_module_is_longer_than_400_lines() -> None:
    sizes = {
        str(p.relative_to(SOURCE)): len(p.read_text(encoding="utf-8").splitlines())
        for p in modules()
    }
    assert beyond(400, sizes) == {}


def test_no_test_module_is_longer_than_400_lines() -> None:
    sizes = {
        str(p.relative_to(TESTS)): len(p.read_text(encoding="utf-8").splitlines())
        for p in modules(TESTS)
    }
    assert beyond(400, sizes) == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines with code: no docstrings, comments and blank lines."""
    said: set[int] = set()
    for node in ast.walk(function):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                said |= set(range(node.lineno, node.end_lineno + 1))
    first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    return sum(
        number not in said
        and bool(lines[number - 1].strip())
        and not lines[number - 1].lstrip().startswith("#")
        for number in range(first, function.end_lineno + 1)
    )


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and code lines of each function, those in classes as ``Class.name``."""
    lines = path.read_text(encoding="utf-8").splitlines()

    def within(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + child.name, code_lines(child, lines)
            elif isinstance(child, ast.ClassDef):
                yield from within(child, f"{prefix}{child.name}.")

    yield from within(tree(path), "")


def test_no_function_is_longer_than_60_lines() -> None:
    sizes = {
        f"{p.relative_to(SOURCE)}:{name}": count for p in modules() for name, count in functions(p)
    }
    assert beyond(60, sizes) == {}


# -- names --


def public_names(path: Path) -> Iterator[str]:
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def test_no_public_name_stands_twice_in_a_layer() -> None:
    found = set()
    for package in PACKAGES:
        homes: dict[str, list[str]] = defaultdict(list)
        for path in modules(SOURCE / package):
            for name in public_names(path):
                homes[name].append(path.stem)
        found |= {
            f"{package}: {n} in {', '.join(h)}"
            for n, h in homes.items()
            if len(h) > 1 and n not in REPEATED
        }
    assert found == set()


# -- tests --


def test_tests_mirror_the_packages() -> None:
    """``tests/slides/test_open.py`` tests ``slides/open.py``; windows stand in ``tests/gui``."""
    homes = {"gui": None, "fuzz": None, "benchmarks": REPOSITORY / "benchmarks"}
    astray = []
    for path in modules(TESTS):
        folder = path.relative_to(TESTS).parent
        if not path.name.startswith("test_") or folder == Path():
            continue
        home = homes.get(folder.parts[0], SOURCE / folder)
        name = path.stem.removeprefix("test_")
        if home and not (home / f"{name}.py").exists() and not (home / name).is_dir():
            astray.append(str(path.relative_to(TESTS)))
    assert astray == []


def test_tests_use_nothing_private() -> None:
    found = set()
    for path in modules(TESTS):
        where = path.relative_to(TESTS)
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("napari_l"):
                parts = node.module.split(".") + [alias.name for alias in node.names]
                found |= {f"{where}: {p}" for p in parts if p.startswith("_") and p not in GROUND}
            elif isinstance(node, ast.Attribute) and is_private(node) and not is_of_others(node):
                found.add(f"{where}: {node.attr}")
    assert found == set()


def is_private(node: ast.Attribute) -> bool:
    return node.attr.startswith("_") and not node.attr.startswith("__")


def is_of_others(node: ast.Attribute) -> bool:
    """Whether an attribute is Qt's, torch's or napari's own, or a test class' own."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return bool(names & {"self", "window", "dialog", "_forward_hooks", "_forward_pre_hooks"})


def test_nothing_is_imported_from_a_test_module() -> None:
    found = set()
    for path in modules(TESTS):
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ImportFrom):
                continue
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            foreign = [p for p in parts if p.startswith("test_") or p == "conftest"]
            if node.level or (parts[0] == "tests" and foreign):
                found.add(f"{path.relative_to(TESTS)}: {ast.unparse(node)}")
    assert found == set()
