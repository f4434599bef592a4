"""Which recipes can be gamed: the known results of 2607.04332, and every way to leave something out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.core.errors import RlvrError
from rlvr.core.parse import TAGS
from rlvr.core.records import Problem
from rlvr.rewards.audit import Q, assert_safe, audit, properness, safety
from rlvr.rewards.terms import load_terms

TAC = ("think", "answer", "confidence")

# The families of the paper, f(c) if right and g(c) if wrong, each mapped by one straight line into [0, 1].
FAMILIES = '''
import math

A, B = 1 / 203, 202 / 203

def scaled(f, g, c, low=0.0, high=1.0):
    """Missing is worth the least; c is clipped to [low, high]."""
    ends = [f(low), f(high), g(low), g(high)]
    bottom, top = min(ends), max(ends)
    if c.confidence is None or not c.format_ok:
        return 0.0
    q = min(max(c.confidence, low), high)
    return min(1.0, max(0.0, ((f if c.correct else g)(q) - bottom) / (top - bottom)))

def brier_k(c, *, k=1.0):
    return scaled(lambda q: 1 - k * (1 - q) ** 2, lambda q: -k * q**2, c)

def brier_alone(c):
    return scaled(lambda q: -((1 - q) ** 2), lambda q: -(q**2), c)

def log_k(c, *, k=1.0):
    return scaled(lambda q: 1 + k * math.log(q), lambda q: k * math.log(1 - q), c, A, B)

def log_alone(c):
    return scaled(lambda q: math.log(q), lambda q: math.log(1 - q), c, A, B)

def hybrid(c):
    return scaled(lambda q: q, lambda q: q + math.log(1 - q), c, 0.0, B)

def overconfidence(c, *, k=1.0):
    z = (k + 1) * math.log(k + 1) - k
    return scaled(
        lambda q: ((k + 1) * math.log(q * k + 1) - q * k) / z, lambda q: (math.log(q * k + 1) - q * k) / z, c
    )

def underconfidence(c, *, k=1.0):
    z = k - math.log(1 + k)
    return scaled(
        lambda q: (k * q + math.log(1 - k * q / (1 + k))) / z,
        lambda q: (k * q + (k + 1) * math.log(1 - k * q / (1 + k))) / z,
        c,
    )

def linear(c):
    """Not proper: stating 0 or 1 pays best."""
    return scaled(lambda q: q, lambda q: -q, c)
'''

# Each of these makes one gap pay.
GAPS = '''
def brier(c):
    y = bool(c.correct)
    return 1 - (c.confidence - y) ** 2

def missing_confidence(c):
    return 0.9 if c.confidence is None else 0.5 * bool(c.correct) + 0.5 * brier(c)

def bad_format(c):
    return 0.9 if not c.format_ok else float(bool(c.correct))

def right_in_bad_form(c):
    return (0.5 if c.format_ok else 1.0) * bool(c.correct)

def no_answer(c):
    return 0.2 if c.answer is None else float(bool(c.correct))

def broken_verifier(c):
    return 0.5 if c.correct is None else float(c.correct)

def abstaining(c):
    return 1.0 if c.answer == "I don't know" else 0.5 * bool(c.correct)

def last_number(completions, answer, **kwargs):
    """TRL style: sees the text only."""
    return [1.0 if c[0]["content"].count(a) else -1.0 for c, a in zip(completions, answer)]

def short(completions, **kwargs):
    return [-float(len(c[0]["content"])) for c in completions]

def level(c):
    return c.problem.meta["level"] * float(bool(c.correct))
'''


@pytest.fixture(scope="module")
def families(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("terms") / "families.py"
    path.write_text(FAMILIES)
    return str(path)


@pytest.fixture(scope="module")
def gaps(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("terms") / "gaps.py"
    path.write_text(GAPS)
    return str(path)


@pytest.mark.parametrize(
    ("recipe", "safe", "proper"),
    [
        ({"correct": 1}, True, None),
        ({"correct": 1, "format": 1, "repetition": 0.5, "random_control": 1, "length": 0.5}, True, None),
        ({"format": 1}, True, None),
        ({"random_control": 1}, True, None),
        ({"abstain": 1}, True, None),
        ({"utility(wrong=-5)": 1}, True, True),  # weakly: every q on the right side of the threshold is as good as p
        ({"correct": 0.5, "brier": 0.5, "format": 0.5}, True, True),  # RLCR
        ({"correct": 1, "brier": 1}, True, True),
        ({"correct": 1, "brier": 0.1}, True, True),
        ({"correct": 1, "brier": 1.01}, False, True),
        ({"correct": 1, "brier": 2}, False, True),
        ({"brier": 1}, False, True),
        ({"brier": 1, "format": 1}, False, True),
        ({"log_score": 1}, True, True),
        ({"log_score": 1, "correct": 1, "format": 1}, True, True),
        ({"log_score": 1, "brier": 1}, False, True),
        ({"log_score": 1, "brier": 1, "correct": 1}, True, True),
        ({"abstain": 1, "brier": 1}, False, True),
        ({"abstain": 1, "brier": 1, "correct": 1}, True, True),
    ],
    ids=str,
)
def test_recipes(recipe, safe, proper):
    found = audit(load_terms(recipe), TAC)
    assert (found.safe, found.proper) == (safe, proper)
    assert bool(found.reasons) == (not safe)


@pytest.mark.parametrize(
    ("spec", "safe"),
    [
        ("brier_k(k=0.5)", True),
        ("brier_k(k=1)", True),
        ("brier_k(k=1.05)", False),
        ("brier_k(k=2)", False),
        ("brier_alone", False),
        ("log_alone", False),
        ("log_k(k=1)", False),
        ("log_k(k=0.5)", False),
        ("log_k(k=0.18838)", True),  # 1/ln 202 = 0.188384...: the largest safe one on this clip
        ("log_k(k=0.189)", False),
        ("hybrid", True),
        ("overconfidence(k=1)", True),
        ("overconfidence(k=20)", True),
        ("underconfidence(k=1)", True),
        ("underconfidence(k=20)", True),
    ],
)
def test_published_families(families, spec, safe):
    found = audit(load_terms({f"{families}:{spec}": 1}), TAC)
    assert found.safe == safe, found.reasons
    assert found.proper


@pytest.mark.parametrize(("spec", "threshold"), [("log_k(k=1)", 0.648), ("brier_k(k=2)", 0.5)])
def test_published_thresholds_below_which_giving_up_pays(families, spec, threshold):
    # Giving up: deliberately wrong at q = 0. Published: pays for p < 0.648 (Log-1), p < 0.5 (Brier-2).
    from rlvr.core.records import Completion

    (term,) = load_terms({f"{families}:{spec}": 1})

    def worth(correct, q):
        return term(Completion(Problem("x", [], "42"), "", "42", q, True, correct, 9))

    p = np.linspace(0.005, 0.995, 199)
    honest = np.array([x * worth(True, x) + (1 - x) * worth(False, x) for x in p])
    gives_up = p[honest < worth(False, 0.0) - 1e-9]
    assert gives_up.max() == pytest.approx(threshold, abs=0.0051)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_only_the_ratio_of_the_weights_matters(scale):
    found = audit(load_terms({"correct": scale, "brier": scale, "log_score": scale / 3}), TAC)
    assert (found.safe, found.proper) == (True, True)
    found = audit(load_terms({"correct": scale, "brier": 1.01 * scale}), TAC)
    assert (found.safe, found.proper) == (False, True)


def test_linear_confidence_is_improper_but_not_refused(families):
    terms = load_terms({f"{families}:linear": 1, "correct": 3})
    found = assert_safe(terms, TAC)
    assert found.safe
    assert found.proper is False
    assert "stating" in found.reasons[0]
    best = dict(properness(terms, TAC))
    assert (best[0.4], best[0.6]) == (0.0, 1.0)


@settings(max_examples=12, deadline=None)
@given(correct=st.floats(0.01, 10), brier=st.floats(0.01, 10), form=st.floats(0, 10))
def test_correct_must_weigh_as_much_as_brier(correct, brier, form):
    found = audit(load_terms({"correct": correct, "brier": brier, "format": form}), TAC)
    assert found.safe == (brier <= correct + 1e-9 * (correct + brier + form))
    assert found.proper


@pytest.mark.parametrize(
    "recipe", [{"brier": 1}, {"log_score": 1}, {"correct": 1, "brier": 1, "log_score": 0.5}], ids=str
)
def test_properness_on_the_grid(recipe):
    rows = properness(load_terms(recipe), TAC)
    assert [p for p, _ in rows] == pytest.approx(list(Q))
    assert all(abs(p - q) <= 0.01 + 1e-9 for p, q in rows)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("missing_confidence", "completion without <confidence> earns 0.9 on average"),
        ("missing_confidence", "an unreadable confidence earns 0.9"),
        ("bad_format", "an empty completion earns 0.9"),
        ("bad_format", "says everything twice earns 0.9"),
        ("right_in_bad_form", "without <think> earns 1 on average where the chance of being right is 1.00"),
        ("no_answer", "a completion without <answer> earns 0.2"),
        ("no_answer", "a completion without any tag earns 0.2"),
        (
            "broken_verifier",
            "breaks the verifier earns 0.5 on average where the chance of being right is 0.00",
        ),
        (
            "abstaining",
            '"I don\'t know" at confidence 0.00 earns 1, a right one at confidence 0.00 earns 0.5',
        ),
        ("short", "an empty completion earns 0 on average"),
    ],
)
def test_no_gap_pays(gaps, spec, message):
    terms = load_terms({f"{gaps}:{spec}": 1})
    assert any(message in reason for reason in safety(terms, TAC)), safety(terms, TAC)
    with pytest.raises(RlvrError, match="can be gamed"):
        assert_safe(terms, TAC)


def test_trl_style_terms_are_judged_by_the_text(gaps):
    assert audit(load_terms({f"{gaps}:last_number": 1}), TAC).safe


def test_a_term_that_needs_a_real_problem(gaps):
    terms = load_terms({f"{gaps}:level": 1})
    found = audit(terms, TAC)
    assert not found.safe
    assert "KeyError: 'level'" in found.reasons[0]
    problem = Problem("x", [{"role": "user", "content": "?"}], "41", "t", {"level": 1})
    assert audit(terms, TAC, problem).safe
    assert assert_safe(terms, TAC, allow_hackable=True).safe is False


def test_a_confidence_term_needs_the_confidence_tag():
    terms = load_terms({"correct": 1, "brier": 1})
    with pytest.raises(RlvrError, match=r"do not ask for one"):
        assert_safe(terms, ("think", "answer"))
    assert audit(terms, TAGS).safe
    assert audit(load_terms({"correct": 1, "format": 1}), ("answer",)).safe


def test_the_refusal_gives_the_numbers_and_the_way_out():
    terms = load_terms({"correct": 0.5, "brier": 0.8})
    with pytest.raises(RlvrError) as error:
        assert_safe(terms, TAC)
    # wrong at q = 0: 0.8 * 1; right at q = 0: 0.5 * 1 + 0.8 * 0
    assert "{correct: 0.5, brier: 0.8} can be gamed" in str(error.value)
    assert "a wrong answer at confidence 0.00 earns 0.8, a right one at confidence 0.00 earns 0.5" in str(error.value)
    assert "allow_hackable: true" in str(error.value)
    assert assert_safe(terms, TAC, allow_hackable=True).safe is False
