"""Inverse rewrites: one solution each, by brute force; workings that lead to it; the split of the original."""

import re

import pytest

from rlvr.core import specs

inverse, arithmetic = (specs.import_file("data", name) for name in ("inverse", "arithmetic"))
LEVELS = arithmetic.LEVELS
SPLITS = ("train", "validation", "test")


def left_side(problem):
    """The equation's left side as a function of x, and its right side: read off the prompt, nothing else."""
    left, right = re.fullmatch(r"(.+) = (-?[0-9]+)\. What is x\?", problem.prompt[0]["content"]).groups()
    code = compile(left, "prompt", "eval")
    return lambda x: eval(code, {"x": x}), int(right)


@pytest.mark.parametrize("level", LEVELS)
def test_the_answer_is_the_only_solution_by_brute_force(level):
    top = {8: 1000, 9: 100_000}.get(level, 100)  # x has at most this many values
    for problem in inverse.load("train", 2 if level == 9 else 60, 0, levels=(level,)):
        f, value = left_side(problem)
        assert [x for x in range(-top, 2 * top) if f(x) == value] == [int(problem.answer)]


@pytest.mark.parametrize("level", LEVELS)
def test_and_the_only_one_among_all_numbers(level):
    """f(x) = f(0) + s x with s != 0 has one root of f(x) = value, wherever it lies."""
    for problem in inverse.load("test", 100, 1, levels=(level,)):
        f, value = left_side(problem)
        slope = f(1) - f(0)
        assert slope != 0 and f(-7) == f(0) - 7 * slope and f(10**9) == f(0) + 10**9 * slope
        assert f(0) + slope * int(problem.answer) == value


@pytest.mark.parametrize("level", LEVELS)
def test_every_working_is_true_and_reaches_the_answer(level):
    for problem in inverse.load("train", 150, 2, levels=(level,)):
        working = inverse.solution(problem)
        assert inverse.steps_ok(working) is True
        assert problem.answer in re.findall("[0-9]+", working)


def test_workings_by_hand():
    """24 - x + 5 = 12: 24 + 5 = 29, 29 - 12 = 17. And a negative value: 5 - x = -3 gives 5 + 3."""

    def working(expression, operand, value):
        meta = {"expression": expression, "operand": operand, "value": value}
        return inverse.solution(inverse.Problem("", [], "", meta=meta))

    assert working("24 - 17 + 5", 1, 12) == "24+5=29, 29-12=17"
    assert working("5 - 8", 1, -3) == "5+3=8"
    assert working("5 - 8", 0, -3) == "-3+8=5"
    assert working("12 * 9 + 40", 2, 148) == "12*9=108, 148-108=40"
    assert working("12 * 9 + 40", 0, 148) == "148-40=108, 9*10=90, 108-90=18, 9*2=18, 18-18=0, 10+2=12"
    assert working("12 * 9", 1, 108) == "12*9=108, 108-108=0"


def test_an_expression_is_of_one_split_in_both_sets_together():
    """Forwards or backwards, in any order of its terms, at every level and for other seeds."""

    def keys(module, split):
        problems = [p for seed in (0, 1) for p in module.load(split, 400, seed, levels=LEVELS)]
        return {arithmetic.canonical(p.meta["expression"]) for p in problems}

    seen = {split: keys(inverse, split) | keys(arithmetic, split) for split in SPLITS}
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert not seen[one] & seen[other]


def test_it_turns_round_the_same_problem_of_arithmetic():
    for there, here in zip(arithmetic.load("test", 40, 3), inverse.load("test", 40, 3), strict=True):
        assert here.meta["expression"] == there.meta["expression"]
        assert here.id == f"inverse-v1/{there.id}" and here.task == there.task.replace("arithmetic", "inverse")
        f, value = left_side(here)
        assert value == int(there.answer) == f(int(here.answer))


def test_every_operand_is_asked_for():
    asked = {p.meta["operand"] for p in inverse.load("train", 200, 0, levels=(4,))}
    assert asked == set(range(5))


def test_the_hardest_level_hides_a_number_of_five_digits():
    assert {len(p.answer) for p in inverse.load("train", 50, 0, levels=(9,))} == {5}
