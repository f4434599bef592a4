"""Every file in rewards/: one contract, goldens by hand, properness and safety of confidence rewards."""

import ast
import doctest
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.core import specs
from rlvr.core.errors import SpecError
from rlvr.core.records import Completion, Problem
from rlvr.core.specs import parse_spec
from rlvr.rewards.terms import Term, load_terms

NAMES = sorted(specs.names("rewards"))
PROBLEM = Problem("p/1", [{"role": "user", "content": "6 * 7?"}], "42", "t", {"level": 1})
examples = settings(max_examples=60, deadline=None)

completions = st.builds(
    Completion,
    problem=st.just(PROBLEM),
    text=st.text(max_size=40) | st.sampled_from(["a " * 50, "\ud800", "one two three four five"]),
    answer=st.none() | st.text(max_size=8) | st.sampled_from(["42", "I don't know", "I DO NOT KNOW."]),
    confidence=st.none() | st.floats(0, 1),
    format_ok=st.booleans(),
    correct=st.sampled_from([True, False, None]),
    n_tokens=st.integers(0, 500),
    truncated=st.booleans(),
)


def term(spec: str) -> Term:
    return Term(parse_spec(spec))


def completion(correct=True, q=None, *, answer="42", text="some text", format_ok=True, n_tokens=10) -> Completion:
    return Completion(PROBLEM, text, answer, q, format_ok, correct, n_tokens)


def test_the_list_of_terms():
    assert NAMES == [
        "abstain",
        "brier",
        "correct",
        "format",
        "length",
        "log_score",
        "random_control",
        "repetition",
        "utility",
    ]


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize("name", NAMES)
@examples
@given(c=completions)
def test_pure_and_in_range(name, c):
    before = repr(c)
    value = term(name)(c)
    assert value is None or 0 <= value <= 1  # NaN would fail
    assert term(name)(c) == value
    assert pickle.loads(pickle.dumps(term(name)))(c) == value
    assert repr(c) == before


@pytest.mark.parametrize("name", NAMES)
def test_documented(name):
    path = specs.names("rewards")[name]
    module = specs.import_file("rewards", name)
    function = getattr(module, name)
    doc = function.__doc__
    assert module.__doc__.split("\n")[0].endswith(".")  # the line that `rlvr ls` prints
    for word in ("Range", "None", "Missing:", "Source:"):
        assert word.lower() in doc.lower(), f"{path} does not say: {word}"
    assert doctest.DocTestParser().get_examples(doc)
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in imports} == {"rlvr"}


@pytest.mark.parametrize("name", ["correct", "brier", "log_score", "abstain", "utility"])
def test_a_failed_verifier_is_not_a_zero(name):
    assert term(name)(completion(None, 0.5)) is None


@pytest.mark.parametrize("name", ["brier", "log_score"])
@examples
@given(q=st.floats(0, 1), correct=st.booleans())
def test_missing_is_never_best(name, q, correct):
    stated = term(name)(completion(correct, q))
    assert term(name)(completion(correct, None)) <= stated
    assert term(name)(completion(correct, q, format_ok=False)) <= stated


# ---------------------------------------------------------------- goldens


@pytest.mark.parametrize(
    ("spec", "c", "expected"),
    [
        ("correct", completion(True), 1.0),
        ("correct", completion(False), 0.0),
        ("correct", completion(True, format_ok=False), 1.0),
        ("format", completion(False), 1.0),
        ("format", completion(True, format_ok=False), 0.0),
        ("brier", completion(True, 0.8), 0.96),  # 1 - 0.2^2
        ("brier", completion(False, 0.8), 0.36),  # 1 - 0.8^2
        ("brier", completion(False, 0.0), 1.0),
        ("brier", completion(True, 0.0), 0.0),
        ("brier", completion(True, None), 0.0),
        ("brier", completion(True, 0.8, format_ok=False), 0.0),
        # 1/2 + ln(203 / 2) / (2 ln 202) = 0.5 + 4.620059 / 10.616535 = 0.935176; wrong: half less
        ("log_score", completion(True, 0.5), 0.935176),
        ("log_score", completion(False, 0.5), 0.435176),
        ("log_score", completion(True, 1.0), 1.0),
        ("log_score", completion(False, 1.0), 0.0),
        ("log_score", completion(True, 0.0), 0.5),
        ("log_score", completion(False, 0.0), 0.5),
        ("log_score", completion(True, None), 0.0),
        ("length", completion(n_tokens=64), 1.0),
        ("length", completion(n_tokens=80), 0.75),  # 16 of 64 tokens over
        ("length", completion(n_tokens=128), 0.0),
        ("length", completion(n_tokens=999), 0.0),
        ("length(target=8, slack=2)", completion(n_tokens=9), 0.5),
        ("length", completion(n_tokens=5, format_ok=False), 0.0),
        ("length", completion(n_tokens=0), None),
        # utility at the default prices: answering counts from q = (0 + 1) / 2; worth (u + 1) / 2
        ("utility", completion(True, 0.5), 1.0),
        ("utility", completion(False, 0.5), 0.0),
        ("utility", completion(True, 0.4), 0.5),
        ("utility", completion(False, 0.4), 0.5),
        ("utility", completion(True, None), 0.0),
        ("utility", completion(True, 0.9, format_ok=False), 0.0),
        ("utility(wrong=-5)", completion(False, 0.8), 5 / 6),  # 0.8 < 5/6, so no answer: (0 + 5) / 6
        ("utility(right=2, abstain=1, wrong=0)", completion(False, 0.6), 0.0),
        ("abstain", completion(True), 1.0),
        ("abstain", completion(False), 0.0),
        ("abstain", completion(False, answer="I don't know"), 0.5),
        ("abstain", completion(False, answer=" i DON\u2019T know. "), 0.5),
        ("abstain", completion(False, answer="I don't know, 42"), 0.0),
        ("abstain", completion(False, answer="I don't know", format_ok=False), 0.0),
        ("abstain", completion(False, answer=None, format_ok=False), 0.0),
        ("abstain", completion(True, answer="I don't know"), 1.0),  # where that is the gold answer
        ("abstain(abstain=0.5)", completion(False, answer="I don't know"), 0.75),  # (0.5 + 1) / 2
        ("abstain(right=2, abstain=0, wrong=-6)", completion(False, answer="I do not know"), 0.75),  # 6 / 8
        ("repetition", completion(text="a b c d e"), 1.0),
        ("repetition", completion(text="x " * 11), 0.125),  # 8 four-grams, all the same
        ("repetition", completion(text="a b c d a b c d"), 0.8),  # abcd bcda cdab dabc abcd: 4 of 5
        ("repetition(n=1)", completion(text="a b a b"), 0.5),
        ("repetition", completion(text="one"), 1.0),
        ("repetition", completion(text=" \n"), 0.0),
    ],
)
def test_golden(spec, c, expected):
    assert term(spec)(c) == pytest.approx(expected, abs=1e-6)


def test_log_score_is_the_published_reward_rescaled():
    # 2607.04332: f = 1 + k ln c, g = k ln(1 - c), k = 1/ln 202, c clipped to [1/203, 202/203].
    q = np.linspace(0, 1, 501)
    c = np.clip(q, 1 / 203, 202 / 203)
    f, g = 1 + np.log(c) / np.log(202), np.log(1 - c) / np.log(202)
    low, high = min(f.min(), g.min()), max(f.max(), g.max())
    assert f[0] == pytest.approx(-0.0009, abs=5e-5)
    assert g[0] == pytest.approx(f[0], abs=1e-12)
    log_score = term("log_score")
    assert [log_score(completion(True, x)) for x in q] == pytest.approx(list((f - low) / (high - low)))
    assert [log_score(completion(False, x)) for x in q] == pytest.approx(list((g - low) / (high - low)))


def test_brier_agrees_with_scikit_learn():
    from sklearn.metrics import brier_score_loss

    rng = np.random.default_rng(0)
    q, y = rng.random(200), rng.random(200) < 0.5
    values = [term("brier")(completion(bool(b), float(a))) for a, b in zip(q, y, strict=True)]
    assert 1 - np.mean(values) == pytest.approx(brier_score_loss(y, q))


@pytest.mark.parametrize("price", [-0.5, 0.0, 0.25, 0.8])
def test_abstaining_pays_below_the_stated_chance(price):
    spec = f"abstain(abstain={price})"
    right, wrong = term(spec)(completion(True)), term(spec)(completion(False))
    middle = term(spec)(completion(False, answer="I don't know"))
    threshold = (price + 1) / 2
    for p in np.linspace(0, 1, 101):
        if not math.isclose(p, threshold, abs_tol=1e-9):
            assert (middle > p * right + (1 - p) * wrong) == (p < threshold)


def test_random_control_looks_uniform_and_depends_on_problem_text_and_seed():
    coin = specs.import_file("rewards", "random_control").random_control
    values = np.array([coin(completion(text=f"text {i}")) for i in range(4000)])
    counts = np.histogram(values, 10, (0, 1))[0]
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # chi-squared with 9 degrees of freedom, 99.9%
    other = Completion(Problem("p/2", [], "42"), "text 0")
    assert len({values[0], coin(other), coin(completion(text="text 0"), seed=1)}) == 3
    # The value must not change between processes or versions: a control arm has to be the same everywhere.
    # The first 6 bytes of sha256("(0, 'p/1', 'text 0')"), over 2^48:
    assert values[0] == 0.29112220903481045


@pytest.mark.parametrize(
    "spec",
    [
        "length(target=-1)",
        "length(slack=0)",
        "length(target='long')",
        "length(slack=None)",
        "abstain(right=0, wrong=0, abstain=0)",
        "abstain(abstain=2)",
        "utility(right=0, wrong=0)",
        "utility(abstain=-2)",
        "repetition(n=0)",
        "repetition(n=1.5)",
    ],
)
def test_impossible_parameters_fail_when_loaded(spec):
    with pytest.raises(SpecError, match="Wrong parameters"):
        load_terms({spec: 1})


# ---------------------------------------------------------------- confidence rewards


@pytest.mark.parametrize("name", ["brier", "log_score"])
@examples
@given(p=st.floats(1 / 203, 202 / 203), q=st.floats(0, 1))
def test_stating_the_chance_of_being_right_pays_best(name, p, q):
    def expected(stated):
        return p * term(name)(completion(True, stated)) + (1 - p) * term(name)(completion(False, stated))

    assert expected(p) >= expected(q) - 1e-12
    if abs(p - q) > 0.01 and 1 / 203 < q < 202 / 203:
        assert expected(p) > expected(q)


@examples
@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_log_score_is_safe_on_its_own_and_brier_with_correct(a, b):
    right, wrong = completion(True, a), completion(False, b)
    assert term("log_score")(right) >= term("log_score")(wrong) - 1e-12
    assert 1 + term("brier")(right) >= 0 + term("brier")(wrong)
