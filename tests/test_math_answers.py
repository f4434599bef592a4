"""verifier='math': any form of the gold number is right, units are judged alike, and unsolved work earns nothing."""

import json
import random
import re
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from rlvr.core import specs
from rlvr.problems.math_answers import same_answer
from rlvr.problems.number_forms import read_number
from rlvr.problems.sets import load_problems

jsonl = specs.import_file("data", "jsonl")
NOUNS = """
apples meters dollars eggs people books cookies hours miles years cups minutes students cats kg cm km liters grams
pounds cents pages points days weeks months trees cars feet inches
"""
PHRASES = ("miles per hour", "years old", "square feet", "more apples", "cows and pigs", "km/h", "o'clock", "in total")
UNITS = [*NOUNS.split(), *PHRASES]
FORMS = (
    "{}", " {} ", "{}.", "{}.0", "+{}", "${}", "\\${}", "${}$", "$${}$$", "\\({}\\)", "\\[{}\\]", "**{}**", "*{}*", "`{}`", "({})",
    "\\boxed{{{}}}", "$\\boxed{{{}}}$.", "\\text{{{}}}", "x = {}", "= {}", "#### {}", "Answer: {}", "**Answer: {}**",
    "The answer is {}.", "The final answer is $\\boxed{{{}}}$.", "{}%", "{}\\%", "{} percent", "{}°", "{}^\\circ", "€{}", "{} €", "{}kg",
    "{} m", "{}\\text{{ apples}}", "{} \\text{{ cm}}^2", "{} cm^2", "{}\\,\\mathrm{{kg}}", "**{}** apples", "**{} apples**", "{}元",
)  # fmt: skip
REFUSED = (
    "{} or {other}", "{other} or {}", "{other}, {}", "{}, {other}", "{other} {}", "{} {other}", "${}$ ${other}$", "{}-{other}", "{}!",
    "not sure, maybe {}", "maybe {}", "about {}", "≈ {}", "~{}", "> {}", "< {}", ">= {}", "\\le {}", "x > {}", "not {}",
    "The answer is not {}", "{} is wrong", "{} not", "{other}={}", "{}={}", "1*{}", "{}*1", "{}+0", "0+{}", "{}/1", "2*{}/2", "{}^1",
    "-(-{})", "--{}", "{} squared", "{}²", "{}x", "{} x", "{}π", "{} thousand", "{} million", "{}万", "{} or nineteen", "{} times two",
    "\\boxed{{{other}}}, \\boxed{{{}}}", "\\boxed{{{other}}}\\boxed{{{}}}", "x = {other} or x = {}", "{} apples, not {other}", "[{}]",
    "\\{{{}\\}}", "\\frac{{{}}}{{1}}", "\\sqrt{{{}}}", "{} apples {other}", "So it is {}", "{}:30", "{} minus {other}", "{}..", "{} / 1",
)  # fmt: skip
GOLDS = [str(n) for n in (*range(1, 41), 48, 57, 64, 70, 99, 100, 120, 144, 250, 365, 512, 720, 999, 1000, 1234, 2024, 5000, 15000, 623000, 10**6)]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_number_is_right(form):
    assert [gold for gold in GOLDS if not same_answer(form.format(gold), gold)] == []


def test_units_are_no_lottery():
    """60 golds x all units; apples, hours and miles were right 60 times of 60, dollars, eggs and people never."""
    assert len(GOLDS) == 60
    assert [(g, u) for g in GOLDS for u in UNITS if not same_answer(f"{g} {u}", g)] == []
    assert [(g, u) for g in GOLDS for u in UNITS if same_answer(f"{int(g) + 1} {u}", g)] == []
    assert [(g, u) for g in GOLDS for u in UNITS if not same_answer(g, f"{g} {u}")] == []  # a unit in the gold answer


@pytest.mark.parametrize("form", REFUSED)
def test_two_claims_and_unsolved_work_are_wrong(form):
    paid = [g for g in GOLDS if g != "1" and same_answer(form.format(g, g, other=int(g) + 1), g)]
    assert paid == []


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("6*7", "42"), ("> 42", "42"), ("The answer is not 42", "42"), ("41=42", "42"), ("17+1", "18"), ("92/2", "46"),
        ("84/2", "42"), ("3 * 10^2", "3"), ("18 * 10^2", "1800"), ("eighteen", "18"), ("", "18"), ("18" * 90, "18"),
        ("0.5%", "\\frac{1}{2}"), ("> \\frac12", "\\frac{1}{2}"), ("The answer is not \\frac{1}{2}", "\\frac{1}{2}"),
        ("\\frac13 or \\frac12", "\\frac{1}{2}"), ("\\frac13=\\frac12", "\\frac{1}{2}"), ("0.25+0.25", "\\frac{1}{2}"),
        ("\\frac14+\\frac14", "\\frac{1}{2}"), ("maybe x^2+1", "x^2+1"), ("x^2+1 or x", "x^2+1"), ("not 2\\pi", "2\\pi"),
        ("Modnay", "Monday"), ("not Monday", "Monday"),
    ],
)  # fmt: skip
def test_wrong_parses_are_not_the_profitable_ones(answer, gold):
    assert same_answer(answer, gold) is False


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("1,000", "1000"), ("1000", "1,000"), ("10,\\!000", "10000"), ("10{,}000", "10000"), ("1.8e1", "18"), ("1.8 \\times 10^{1}", "18"),
        ("-$5", "-5"), ("−5", "-5"), ("50%", "50"), ("50%", "0.5"), ("0.5", "50%"), ("50", "50%"), ("1/2", "0.5"), ("1 1/2", "1.5"),
        ("8/3", "2.6666666666666665"), ("1/3", "0.333333"), ("0.3", "0.30000000000000004"), ("3/2", "1\\frac12"),
        ("0.5", "\\frac{1}{2}"), ("\\frac{2}{4}", "\\frac{1}{2}"), ("x=\\frac12", "\\frac{1}{2}"), ("\\frac{1}{2} dollars", "\\frac{1}{2}"),
        ("**1/2**", "\\frac{1}{2}"), ("\\frac{\\sqrt{4}}{4}", "\\frac{1}{2}"), ("1+x^2", "x^2+1"), ("y = x^2+1", "x^2+1"), ("$x^2+1$", "x^2+1"),
        ("(1, 2)", "(1,2)"), ("\\{2,1\\}", "\\{1,2\\}"), ("1 or 2", "\\{1,2\\}"), ("x = 1 \\text{ or } x = 2", "\\{1,2\\}"),
        ("(3,\\infty)", "x>3"), ("2\\pi dollars", "2\\pi"), ("\\sqrt{2}+1", "1+\\sqrt{2}"), ("even", "\\text{even}"), ("monday", "Monday"),
    ],
)  # fmt: skip
def test_forms_of_other_golds_are_right(answer, gold):
    assert same_answer(answer, gold) is True


@settings(max_examples=1500, deadline=None)
@given(
    st.integers(1, 99),
    st.lists(
        st.sampled_from(
            [
                *"+-*/=<>!^().,$% ",
                "{n}",
                "{n}",
                "{m}",
                " or ",
                " and ",
                " apples",
                "not ",
                "x = ",
                "\\boxed{",
                "}",
                "**",
                "\\frac",
            ]
        ),
        max_size=8,
    ),
)
def test_what_is_paid_names_one_number(gold, parts):
    """Whatever surrounds it: a paid answer holds the gold number, once, and no other."""
    text = "".join(parts).replace("{n}", str(gold)).replace("{m}", str(gold + 1))
    if same_answer(text, str(gold)):
        bare = text.replace(",", "")
        assert [float(n) for n in re.findall(r"[0-9]*\.?[0-9]+", bare)] == [gold], text


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_read_without_raising(text):
    assert same_answer(text, "46") in (True, False)


@pytest.mark.parametrize(
    "part", ["(", "$", "**", "1,", "a = ", "\\text{", "= ", "18 a ", " ", "\\boxed{", "answer ", "\\frac{1}", "9"]
)
def test_the_reader_is_quick(part):
    start = time.process_time()
    for length in (1, 200, 100_000):
        read_number((part * length)[: max(200, length)])
    assert time.process_time() - start < 0.05


def test_copying_the_question_earns_nothing(tmp_path):
    """It was a perfect score: 6*7 counted as 42."""
    draw, path = random.Random(0), tmp_path / "products.jsonl"
    pairs = [(draw.randint(2, 99), draw.randint(2, 99)) for _ in range(200)]
    path.write_text("".join(json.dumps({"prompt": f"What is {a} * {b}?", "answer": a * b}) + "\n" for a, b in pairs))
    problems = [
        p
        for s in ("train", "validation", "test")
        for p in load_problems(f"jsonl(path={str(path)!r}, verifier='math')", s, None, 0)
    ]
    copies = [re.sub(r"What is |\?", "", p.prompt[0]["content"]) for p in problems]
    assert len(copies) > 150
    for text in (
        copies,
        [c.replace(" ", "") for c in copies],
        [c.replace("*", "\\times") for c in copies],
        [f"${c}$" for c in copies],
    ):
        assert sum(jsonl.verify(t, p.answer) for t, p in zip(text, problems, strict=True)) == 0
    assert sum(jsonl.verify(jsonl.gold_answer(p), p.answer) for p in problems) == len(problems)


def test_real_rows_are_paid_for_the_number_alone(gsm8k_rows):
    rows = [json.loads(line) for line in gsm8k_rows.read_text().splitlines()]
    right = dict.fromkeys(("{}", "{} dollars", "**{}**", "${}$", "\\boxed{{{}}}", "{} eggs"), 0)
    wrong = {"question": 0, "working": 0, "sum": 0, "list": 0, "last sentence": 0}
    for row in rows:
        working, _, final = row["answer"].rpartition("####")
        final = final.strip()
        for form in right:
            right[form] += same_answer(form.format(final), final)
        n = int(final.replace(",", ""))
        copies = (row["question"], working, f"{n - 1}+1", f"{n - 1}, {n}, {n + 1}", working.strip().splitlines()[-1])
        for kind, text in zip(wrong, copies, strict=True):
            wrong[kind] += same_answer(text, final)
    assert set(right.values()) == {400}
    assert set(wrong.values()) == {0}
