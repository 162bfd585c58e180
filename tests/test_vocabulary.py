"""What people read uses the field's words; docs/glossary.md holds each term once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

SOURCE = REPOSITORY / "src" / "napari_liverdx"
DOCUMENTS = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "docs" / "models").glob("*.md")),
]

PRIVATE_WORDS = {
    r"taught|teach(es|ing|er)?\b(?! yourself)": "fine-tune, annotate, train",
    r"lessons?": "fine-tuning",
    r"tiles? called|called tiles?|slide calls?|tile calls?": "predicted class, prediction",
    r"not sure|unsure": "uncertain",
    r"sought|being sought": "detected",
    r"hand(ed|ing)? on": "export",
    r"suspicious": "highest probability",
    r"slide contexts?": "slide-level (MIL) model",
    r"data leaks?\b(?!age)": "data leakage",
    r"looks like what|knows? such slides": "in distribution, out of distribution",
    r"patch(es)?": "tile",
}
"""Words of our own, and what the field says instead."""

# A cell is a biological cell; these are, or are cells of other things under their full name.
CELL = re.compile(
    r"(biological|ballooned\)|Kupffer|inflammatory|tumor|cancer|liver|swollen|recurrent) cells?"
    r"|hepatocellular|\ba cell\b.{0,40}biological|\*\*cell\*\*",
    re.IGNORECASE,
)


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each string of a module that a person may read."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
            and " " in node.value.strip()
        ):
            yield node.lineno, node.value


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a document outside of code blocks and inline code."""
    inside = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            yield number, re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)


def private_words(texts: Iterator[tuple[int, str]]) -> list[str]:
    """Return what is said in words of our own, with its line."""
    found = []
    for line, text in texts:
        for words, better in PRIVATE_WORDS.items():
            if match := re.search(rf"\b(?:{words})\b", text, re.IGNORECASE):
                found.append(f"line {line}: {match.group()!r} in {text!r}; say {better}")
        if re.search(r"\bcells?\b", CELL.sub("", text), re.IGNORECASE):
            found.append(f"line {line}: 'cell' in {text!r}; say map pixel")
    return found


MODULES = [p.relative_to(SOURCE) for p in sorted(SOURCE.rglob("*.py"))]


@pytest.mark.parametrize("package", sorted({m.parts[0] for m in MODULES if len(m.parts) > 1}))
def test_texts_of_a_package_use_the_fields_words(package: str) -> None:
    told = {
        str(module): words
        for module in MODULES
        if module.parts[0] == package and (words := private_words(texts_of(SOURCE / module)))
    }
    assert not told


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_documents_use_the_fields_words(path: Path) -> None:
    assert not private_words(prose_of(path))


def test_a_private_word_is_found() -> None:
    lines = iter([(1, "What the model was taught"), (2, "biological cells"), (3, "two cells")])
    assert [text.partition(":")[0] for text in private_words(lines)] == ["line 1", "line 3"]


def test_the_glossary_holds_each_term_once() -> None:
    text = (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*([^*]+)\*\*", text, re.MULTILINE)
    terms = [term.strip() for row in rows for term in row.split(", ")]
    assert len(terms) == len(set(terms))
    assert {"map pixel", "tile", "focus", "uncertain", "pseudonymize", "prediction set"} <= set(
        terms
    )
