"""Every finding's page opens with one verdict, and the README's table says the same."""

import importlib.util
import re

import pytest

from tests.conftest import REPO

PAGES = sorted((REPO / "docs" / "findings").glob("*.md"))
SPEC = importlib.util.spec_from_file_location("verdict", REPO / "scripts" / "findings" / "finding" / "verdict.py")
assert SPEC is not None and SPEC.loader is not None
verdict = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(verdict)


def words_of(said: str) -> dict[str, str]:
    """Return the word of each claim in a verdict; a single word stands for the page's whole claim."""
    if said in verdict.WORDS:
        return {"": said}
    groups = [group.partition(": ") for group in said.split("; ")]
    return {name: word for word, _, names in groups for name in names.split(", ")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_opens_with_one_verdict(page):
    """The verdict stands under the title, spelled as verdict.py spells it; a title claims nothing by itself."""
    text = page.read_text(encoding="utf-8")
    title, empty, line = text.splitlines()[:3]
    assert title.startswith("# ") and not re.search("reproduced|held|shown|testable", title)
    assert empty == "" and text.count("**Verdict:") == 1
    found = re.fullmatch(r"\*\*Verdict: (.+)\.\*\*", line)
    assert found, f"{page.name}: no verdict under the title, but {line!r}"
    assert verdict.spell(words_of(found[1])) == found[1]
    if found[1] == "not testable here":
        assert "What was wrong with the design:" in text.splitlines()[3]


def test_readme_says_what_the_pages_say():
    """README's table has a row for every page, with the page's verdict."""
    table = re.findall(
        r"^\| \[[^]]+\]\(docs/findings/(\w+)\.md\) \([^)]+\) \| ([^|]+) \|",
        (REPO / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    said = {p.stem: p.read_text(encoding="utf-8").splitlines()[2][len("**Verdict: ") : -len(".**")] for p in PAGES}
    assert len(table) == len(PAGES) and dict(table) == said


def test_the_three_words_and_no_others():
    """A verdict that is none of the three words is refused, and mixed ones are listed claim by claim."""
    assert verdict.spell({"a": True, "b": True}) == "held"
    assert verdict.spell({"a": False, "b": True, "c": "not testable here"}) == (
        "held: b; not held: a; not testable here: c"
    )
    with pytest.raises(ValueError, match="partly"):
        verdict.spell({"a": "partly"})
