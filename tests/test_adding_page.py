"""The files that docs/adding.md shows do what it says of them."""

import re

import pytest

from rlvr import Completion, Problem, Rollouts, build, load_problems, load_terms
from rlvr.problems.check import check
from rlvr.problems.copies import paid_copies
from tests.conftest import REPO


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """Write every file that the page names and shows to a folder of its own, and go there."""
    text = (REPO / "docs/adding.md").read_text(encoding="utf-8")
    files = re.findall(r"^`\./(\w+\.py)`.*?```python\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in files] == ["polite.py", "optimist.py", "parity.py"]
    for name, code in files:
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_the_reward_term(shown):
    (term,) = load_terms({'./polite.py:polite(word="thanks")': 0.1})
    problem = Problem("1", [{"role": "user", "content": "2 + 2?"}], "4")
    said = [Completion(problem, text, "4", None, True, True, 3, False) for text in ("4, thanks", "4")]
    assert [term(c) for c in said] == [1.0, 0.0]


def test_the_advantage_transform(shown):
    signal = build("dr_grpo, ./optimist.py(bonus=0.2)")(Rollouts.of([[1.0, 0.0]]))
    assert signal.adv.tolist() == [[pytest.approx(0.7), -0.5]]


def test_the_problem_set(shown):
    assert [p.answer for p in load_problems("./parity.py", "train", 2, seed=0)] == ["even", "odd"]
    assert check("./parity.py", ("train", "test"), 20, 0) == paid_copies("./parity.py", ("train",), 20, 0) == []
