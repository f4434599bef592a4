"""docs/design.md is true: its tree names every file of rlvr/ and no other, and every path in the docs exists."""

import re

import pytest

from tests.conftest import REPO
from tests.rooms import LAYERS

PAGE = (REPO / "docs/design.md").read_text(encoding="utf-8")


def tree(text: str) -> list[str]:
    """Return the paths of an indented listing: two blanks a level, a name, and what it is after two blanks or more."""
    parents: list[str] = []
    paths = []
    for line in filter(str.strip, text.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth:] = [line.split()[0].rstrip("/")]
        paths.append("/".join(parents))
    return paths


def test_the_tree_is_read_by_its_indentation():
    assert tree("a/  top\n  b/  room\n    c.py  file\n  d.py  file") == ["a", "a/b", "a/b/c.py", "a/d.py"]


def test_the_tree_names_every_file_once_and_no_other():
    named = tree(PAGE.split("## The tree")[1].split("```")[1])
    files = {p.relative_to(REPO) for p in (REPO / "rlvr").rglob("*.py") if "_content" not in p.parts}
    wanted = {p.as_posix() for p in files if p.name != "__init__.py" or len(p.parts) == 2}
    wanted |= {p.parent.as_posix() for p in files}  # a folder's line stands for its __init__.py
    assert sorted(named) == sorted(wanted)


def test_the_layers_are_those_that_hold():
    line = re.search(r"\*\*(core · .*?)\*\*", PAGE, re.DOTALL)
    assert line
    rooms = [re.findall(r"[a-z]+", layer.replace(".py", "")) for layer in line[1].split("·")]
    assert [sorted(layer) for layer in rooms] == [sorted(layer) for layer in LAYERS]


PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_every_path_of_the_repository_that_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(
        r"(?<![\w./-])(?:rlvr|rewards|data|tests|scripts|examples|docs)/[\w./-]*\.(?:py|yaml|md|json)\b", text
    )
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    missing = {name for name in named if not (REPO / name).exists() and not (page.parent / name).exists()}
    missing |= {link for link in links if not (page.parent / link).exists()}
    assert missing == set()
