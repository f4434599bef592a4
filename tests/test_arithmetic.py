"""The arithmetic ladder beyond what every set must do: which equations of a working are judged, and every level."""

import re
import time

import pytest

from rlvr.core import specs

arithmetic = specs.import_file("data", "arithmetic")
SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize(
    ("working", "verdict"),
    [
        ("12+34=46, 46-7=39", True), ("12 + 34 = 46. 46 - 7 = 39.", True), ("-5+7=2", True), ("46, -5+7=3", False),
        ("34*20=680, 34*7=238, 680+238=919", False), ("so 12+34=46=46", True), ("(3*4=12)", True), ("12+34=-46", False),
        # a true longer sum must not be read as a false short one: these hold no equation of the judged form
        ("12+34-7=39", None), ("12 + 34 - 7 = 39", None), ("10 -5+3=8", None), ("2*(3+4)=14", None), ("10/5+3=5", None),
        ("2×3+4=10", None), ("34*27=34*20", None), ("34*27=34 * 20", None), ("1.5+2=3.5", None), ("1,234+5=1,239", None),
        ("12345678901234+1=12345678901235", None), ("2^3+1=9", None), ("a3+4=9", None), ("٣+4=8", None), ("", None),
        # in a chain, the last link stands alone
        ("34*27=34*20+34*7=680+238=918", True), ("34*27=34*20+34*7=680+238=919", False),
    ],
)  # fmt: skip
def test_which_steps_are_judged(working, verdict):
    assert arithmetic.steps_ok(working) is verdict


@pytest.mark.parametrize("mode", ["open", "mod", "choice"])
def test_every_gold_working_passes_its_own_judge(mode):
    for p in arithmetic.load("train", 300, 0, levels=arithmetic.LEVELS, mode=mode):
        assert arithmetic.steps_ok(arithmetic.solution(p)) is True, p


@pytest.mark.parametrize("level", range(10))
def test_a_wrong_step_is_found_at_every_level(level):
    for p in arithmetic.load("train", 20, 1, levels=(level,)):
        left, _, value = arithmetic.solution(p).rpartition("=")
        assert arithmetic.steps_ok(f"{left}={int(value) + 1}") is False


@pytest.mark.parametrize(
    "text", ["1" * 3_000_000, "1+1=2," * 300_000, "1 " * 1_000_000, "-" * 3_000_000, "1+" * 1_000_000]
)
def test_steps_ok_takes_linear_time(text):
    """Under a second each if linear; a quadratic scan of a million characters would take hours."""
    start = time.process_time()
    arithmetic.steps_ok(text)
    assert time.process_time() - start < 5.0


def test_every_level_has_problems_in_every_split():
    for split in ("train", "validation", "test"):
        problems = arithmetic.load(split, 20, 0, levels=arithmetic.LEVELS)
        assert [p.task for p in problems] == [f"arithmetic/L{i % 10}" for i in range(20)]
        assert len({p.id for p in problems}) == 20


def test_ids_stay_unique_where_a_small_level_repeats_its_problems():
    problems = arithmetic.load("validation", 100, 0, levels=(0,))  # 3 of the 45 sums, in both orders, are validation's
    assert len({p.id for p in problems}) == 100
    assert len({p.meta["expression"] for p in problems}) == 6


@pytest.mark.parametrize("level", range(10))
def test_no_problem_of_one_split_is_a_reordered_one_of_another(level):
    def key(expression):  # independent of the module: the value of each term, sorted
        signed = re.sub(r" ([+-]) ", r" \1", expression).split(" ")
        words = " ".join(signed).replace(" * ", "*").split(" ")
        return tuple(sorted((w.startswith("-"), tuple(sorted(w.lstrip("+-").split("*")))) for w in words))

    seen = {s: {key(p.meta["expression"]) for p in arithmetic.load(s, 300, 1, levels=(level,))} for s in SPLITS}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


def test_two_signs_are_no_integer():
    assert arithmetic.verify("+5", "5") and arithmetic.verify("-5", "-5")
    assert not arithmetic.verify("+-5", "-5")
    assert not arithmetic.verify("--5", "5")
