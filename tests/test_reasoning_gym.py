"""The reasoning-gym extra, in processes of their own: pytest imports data/reasoning_gym.py under the package's name."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

from tests.conftest import REPO

# The package's interface as far as the set uses it: item i comes from seed + i, and iterating adds a random id.
STAND_IN = """
import random, uuid
class Sums:
    def __init__(self, size, seed): self.size, self.seed = size, seed
    def __getitem__(self, i):
        draw = random.Random(self.seed + i)
        a, b = draw.randint(0, 19), draw.randint(0, 19)
        return {"question": f"{a} + {b}?", "answer": str(a + b), "metadata": {"terms": (a, b)}}
    def __iter__(self):
        for i in range(self.size):
            entry = self[i]
            entry["metadata"]["_rgid"] = str(uuid.uuid4())
            yield entry
def create_dataset(name, size, seed):
    if name != "sums": raise ValueError(f"Dataset '{name}' not registered")
    return Sums(size, seed)
def get_score_answer_fn(name):
    return lambda answer, entry: 1.0 if answer == entry["answer"] else 0.5 if entry["answer"] in answer else 0.0
"""
USE = """
from rlvr.problems.check import check
from rlvr.problems.sets import load_problems
spec = "reasoning_gym(dataset='{name}')"
splits = ("train", "validation", "test")
asked = {{s: {{p.prompt[0]["content"] for seed in (0, 1) for p in load_problems(spec, s, {size}, seed)}} for s in splits}}
assert not asked["train"] & asked["test"] and not asked["train"] & asked["validation"]
assert not asked["validation"] & asked["test"]
first = load_problems(spec, "test", 5, 3)
assert len(first) == 5 and first == load_problems(spec, "test", 10, 3)[:5]
assert check(spec, splits, 5, 0) == [], check(spec, splits, 5, 0)
"""


def python(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, env=os.environ | env, capture_output=True, text=True, timeout=120
    )


def installed():
    try:
        return importlib.metadata.version("reasoning-gym")
    except importlib.metadata.PackageNotFoundError:
        return None


def test_without_the_package_the_error_says_what_to_install():
    if installed():
        pytest.skip("SKIPPED: reasoning-gym is installed, so its absence cannot be tried")
    done = python("from rlvr.problems.sets import load_problems; load_problems('reasoning_gym', 'train', 3, 0)")
    assert "DataError: reasoning-gym is not installed. Run: pip install 'rlvr[reasoning-gym]'" in done.stderr


def test_a_generator_of_the_package():
    if not installed():
        pytest.skip("SKIPPED: reasoning-gym is not installed: pip install 'rlvr[reasoning-gym]'")
    done = python(USE.format(name="leg_counting", size=20))
    assert done.returncode == 0, done.stderr


def test_splits_items_and_scores_on_a_stand_in(tmp_path):
    """400 questions in all, far more drawn: without a rule the splits would share nearly every one."""
    (tmp_path / "reasoning_gym.py").write_text(STAND_IN)
    done = python(USE.format(name="sums", size=300), PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    done = python(USE.format(name="none", size=3), PYTHONPATH=str(tmp_path))
    assert "DataError: Cannot create the reasoning-gym dataset 'none'" in done.stderr


def test_partial_credit_is_not_right(tmp_path):
    (tmp_path / "reasoning_gym.py").write_text(STAND_IN)
    code = (
        "from rlvr import content; verify = content.load('data', 'reasoning_gym').verify\n"
        "gold = {'dataset': 'sums', 'entry': {'answer': '7'}}\n"
        "print(verify('7', gold), verify('6 or 7', gold), verify('', gold))"
    )
    assert python(code, PYTHONPATH=str(tmp_path)).stdout.split() == ["True", "False", "False"]
