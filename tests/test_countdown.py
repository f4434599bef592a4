"""Countdown's parser against Python's own, and number ranges too small to hold a problem."""

import ast
from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from rlvr.core import specs
from rlvr.core.errors import DataError

countdown = specs.import_file("data", "countdown")


def by_python(text):
    """The value by Python's grammar: whole numbers and the four binary operators only, else None."""

    def value(node):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return Fraction(node.value)
        if isinstance(node, ast.BinOp):
            a, b = value(node.left), value(node.right)
            if a is None or b is None or (isinstance(node.op, ast.Div) and b == 0):
                return None
            ops = {ast.Add: Fraction.__add__, ast.Sub: Fraction.__sub__, ast.Mult: Fraction.__mul__,
                   ast.Div: Fraction.__truediv__}  # fmt: skip
            return ops[type(node.op)](a, b)
        return None

    try:
        return value(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        return None


@st.composite
def expressions(draw, depth=3):
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return str(draw(st.integers(1, 12)))
    left, right = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    joined = f"{left}{draw(st.sampled_from([' + ', '-', '*', ' / ']))}{right}"
    return f"({joined})" if draw(st.booleans()) else joined


@settings(max_examples=150, deadline=None)
@given(expressions())
def test_well_formed_expressions_have_pythons_value(text):
    assert countdown._value(countdown._tokens(text)) == by_python(text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(["1", "2", "12", "+", "-", "*", "/", "(", ")"]), max_size=9).map(" ".join))
def test_any_row_of_tokens_is_accepted_exactly_when_python_accepts_it(text):
    assert countdown._value(countdown._tokens(text)) == by_python(text)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("3 + 3", True), ("3 + 3 + 3", False),  # a number given twice may be used twice, not three times
        ("6 = 3 + 3", False), ("3 + 3 = 6 = 6", False), ("3 + 3 =", False), ("= 6", False), ("3 + 3.", False),
        ("3 + 3 or 6", False), ("2 * 3", False), ("((3)) + (3)", True), ("٣ + 3", False), ("3,3", False), ("3 - -3", False),
    ],
)  # fmt: skip
def test_decisions(answer, verdict):
    assert countdown.verify(answer, {"target": 6, "numbers": [3, 3, 7]}) is verdict


def test_division_is_exact():
    """8 / (3 - 8/3) = 8 / (1/3) = 24: right in fractions, 23.999... in floating point."""
    assert countdown.verify("8 / (3 - 8 / 3)", {"target": 24, "numbers": [3, 3, 8, 8]})


def test_numbers_too_small_for_a_split_are_an_error_not_an_endless_search():
    with pytest.raises(DataError, match="Found no problem of 3 numbers up to 4 that belongs to the validation split"):
        countdown.load("validation", 1, 0, n_numbers=3, max_number=4)
