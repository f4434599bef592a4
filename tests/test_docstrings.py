"""The first line of a docstring is a verb and its object, and no docstring needs a word that only this project uses."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import REPO

FILES = [path for folder in ("rlvr", "rewards", "data") for path in sorted((REPO / folder).rglob("*.py"))]
# No verb, or one in the third person: "The ...", "Whether ...", "Reads ..." ("Pass ..." is one).
NO_VERB = re.compile(
    r"(A|An|All|By|Each|Every|From|How|If|In|Its?|No|One|Some|The|Their|What|When|Where|Which|Who|Why|With|Whether)\b"
)
PRIVATE = re.compile(r"\b(seam|fate|lessons?(?!\()|the house|behind)\b|\(own\b", re.IGNORECASE)


def docstrings(tree: ast.Module) -> list[tuple[ast.AST, str, str]]:
    """Return (node, dotted name, docstring) of the module, and of its functions, classes and methods."""
    found: list[tuple[ast.AST, str, str]] = []

    def walk(node: ast.AST, name: str) -> None:
        if doc := ast.get_docstring(node):  # type: ignore[arg-type]
            found.append((node, name, doc))
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                walk(child, f"{name}.{child.name}".lstrip("."))

    walk(tree, "")
    return found


def begins_with_a_verb(line: str) -> bool:
    """Return whether a line begins with a capital word that may be an imperative, and goes on after it."""
    word = re.match(r"[A-Z][a-z]+(?=,? )", line)
    return word is not None and not NO_VERB.match(line) and not re.search(r"[^s]s$", word[0])


@pytest.mark.parametrize(
    "line", ["The sum.", "Whether it is.", "Runs the runs.", "A value.", "P(chosen | x): a choice.", "1 if right."]
)
def test_the_rule_refuses_what_is_no_imperative(line):
    assert not begins_with_a_verb(line)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO)))
def test_functions_and_classes_say_what_they_do(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = {name: doc.splitlines()[0] for node, name, doc in docstrings(tree) if node is not tree}
    assert {name: line for name, line in lines.items() if not begins_with_a_verb(line)} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO)))
def test_no_private_words(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert {name: PRIVATE.findall(doc) for _, name, doc in docstrings(tree) if PRIVATE.search(doc)} == {}
