"""What the tests owe each other: each file runs alone, and on any machine."""

import ast

import pytest

from tests.conftest import REPO

FILES = {path.name: path for path in sorted((REPO / "tests").glob("*.py"))}


def imported(path):
    """Yield the dotted name of every module, and of every name taken from one, that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "tests" if node.level else ""
            module = ".".join(part for part in (package, node.module) if part)
            yield from (f"{module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("name", FILES)
def test_no_test_file_is_imported(name):
    """What two of them need stands in a file without tests (trainers.py, commands.py, ...)."""
    assert [m for m in imported(FILES[name]) if m.startswith("tests.test_")] == []
