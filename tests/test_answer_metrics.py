"""One answer for everything, and numbers copied from the prompt: by brute force over pairs, and by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.core.records import Completion, Problem
from rlvr.training.answer_metrics import echo, repetition


def batch(golds, answers):
    """Completions of len(golds) problems, prompt-major."""
    problems = [Problem(str(i), [{"role": "user", "content": f"Is it {g}?"}], g) for i, g in enumerate(golds)]
    size = len(answers) // len(golds)
    return [Completion(problems[i // size], "", a, correct=a == golds[i // size]) for i, a in enumerate(answers)]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_repetition_is_the_share_of_equal_pairs(data):
    groups, size = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    golds = data.draw(st.lists(st.sampled_from("abc"), min_size=groups, max_size=groups))
    cells = st.sampled_from(["a", "b", "c", None])
    answers = data.draw(st.lists(cells, min_size=groups * size, max_size=groups * size))
    pairs = [
        answers[i] is not None and answers[i] == answers[j]
        for i in range(len(answers))
        for j in range(len(answers))
        if golds[i // size] != golds[j // size]
    ]
    found = repetition(batch(golds, answers), size)
    assert math.isnan(found) if not pairs else found == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_repetition_knows_right_answers_from_a_favourite_one():
    golds = ["4", "6", "9"]
    assert repetition(batch(golds, ["4", "4", "6", "6", "9", "9"]), 2) == 0.0  # all agree, each with its own problem
    assert repetition(batch(golds, ["7"] * 6), 2) == pytest.approx(1.0)
    assert repetition(batch(golds, ["7", "4", "7", "6", "7", "9"]), 2) == pytest.approx(0.25)  # share 1/2, squared
    assert math.isnan(repetition(batch(["4", "4"], ["4", "4"]), 1))  # equal golds: equal answers are right


def test_repetition_takes_answers_that_are_no_text():
    gold = [{"target": 5, "numbers": [2, 3]}, {"numbers": [2, 4], "target": 6}]
    assert repetition(batch(gold, ["2 + 3", "2 + 3"]), 1) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("prompt", "answer", "copied"),
    [
        ("What is 12 + 34?", "34", True), ("What is 12 + 34?", " 12 ", True), ("What is 12 + 34?", "3", False),
        ("x - 5 = -12. What is x?", "-12", True), ("Half of 1.5 is?", "1.5", True), ("Half of 1.5 is?", "5", False),
        ("What is 12 + 34?", "46", False), ("What is 12 + 34?", None, False), ("No number.", "0", False),
    ],
)  # fmt: skip
def test_echo_is_a_wrong_number_of_the_prompt(prompt, answer, copied):
    problem = Problem("a", [{"role": "system", "content": "46"}, {"role": "user", "content": prompt}], "0")
    assert echo([Completion(problem, "", answer, correct=False)]) == float(copied)
    assert echo([Completion(problem, "", answer, correct=True)]) == 0.0  # right answers are no echo
    assert echo([Completion(problem, "", answer, correct=None)]) == 0.0  # nor are those that nobody could judge
