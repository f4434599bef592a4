"""What each verifier calls right: the words of a text, a number, an option, a function of the user's."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr import SpecError, verify_answer
from rlvr.problems.verifiers import NAMES, verifier_function
from rlvr.problems.verifiers.choice import LETTERS, same_option
from rlvr.problems.verifiers.text import same_words, words

TEXTS = st.text(alphabet=string.ascii_letters + string.digits + " .,-'!?()", max_size=30)


def squad_words(text):
    """SQuAD's normalisation as its paper states it: lower case, no punctuation, no articles, single spaces."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


@given(st.text(alphabet=string.ascii_letters + " .,!?'()", max_size=40))
def test_without_numbers_the_words_are_squads(text):
    assert words(text) == squad_words(text)


@pytest.mark.parametrize(
    ("answer", "gold", "verdict"),
    [
        ("the Beatles", "Beatles", True), ("U.S.A.", "USA", True), ("don't", "dont", True), ("Beyoncé", "beyoncé", True),
        ("1.5", "15", False), ("-5", "5", False), ("5-", "5", True), ("1,000,000", "1000000", True), ("1,00", "100", True),
        (".5", "5", False), ("3/4", "34", False), ("10:30", "1030", False), ("1990-1995", "19901995", False),
        ("Lennon or McCartney", "Lennon", False), ("Lennon, McCartney", "Lennon", False), ("not Lennon", "Lennon", False),
        ("The The", "The The", True), ("a", "the", False), ("!!!", "???", False), ("!!!", "!!!", True), ("", "the", False),
    ],
)  # fmt: skip
def test_words_decisions(answer, gold, verdict):
    assert same_words(answer, gold) is verdict


@given(TEXTS, TEXTS)
def test_words_that_are_the_same_stay_so_in_either_order(one, other):
    assert same_words(one, other) == same_words(other, one)
    assert same_words(one, one)
    assert not verify_answer(" ", {"text": one, "verifier": "qa"})


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_two_numbers_are_the_same_words_only_if_they_are_the_same_number(a, b):
    assert same_words(f"{a:,}", str(b)) is (a == b)
    assert same_words(f"{a / 8}", f"{b / 8}") is (a == b)


def test_any_alias_is_right():
    gold = {"text": "Sunset Boulevard", "aliases": ["Sunset Blvd", "Sunset Bulevard"], "verifier": "qa"}
    assert verify_answer("sunset blvd.", gold)
    assert not verify_answer("Sunset", gold)


@given(st.lists(st.text(alphabet="abcxyz ", min_size=1, max_size=6), min_size=2, max_size=8, unique=True), st.data())
def test_a_letter_chooses_its_option_and_several_choose_none(options, data):
    gold, other = data.draw(st.permutations(range(len(options))))[:2]
    letter = LETTERS[gold]
    assert verify_answer(f"({letter})", {"text": letter, "options": options, "verifier": "choice"}) or any(
        words(option) == [letter.lower()] for option in options
    )
    for text in (f"{letter} or {LETTERS[other]}", f"{letter}{LETTERS[other]}", f"{letter}, {LETTERS[other]}"):
        if words(text) not in [words(option) for option in options]:
            assert not same_option(text, letter, options)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("C", True), ("c)", True), ("**C**", True), ("Option C: 12", True), ("12", True), ("C. 12", True),
        ("C. 10", False), ("10", False), ("A B C D", False), ("not C", False), ("E", False), ("", False), ("12 or 10", False),
    ],
)  # fmt: skip
def test_choice_decisions(answer, verdict):
    gold = {"text": "C", "options": ["10", "11", "12", "13"], "verifier": "choice"}
    assert verify_answer(answer, gold) is verdict


def test_a_text_that_is_another_options_letter_chooses_nothing():
    """Where the options are B and A, the answer "A" could mean either."""
    assert not same_option("A", "A", ["B", "A"])
    assert not same_option("A", "B", ["B", "A"])
    assert same_option("A. B", "A", ["B", "A"])


def test_a_function_of_the_users_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def near(answer, gold):\n    return abs(float(answer) - float(gold)) < 0.1\n")
    assert verify_answer("3.14", {"text": "3.1", "verifier": f"{path}:near"})
    with pytest.raises(SpecError, match="has no function 'far'"):
        verifier_function(f"{path}:far")
    with pytest.raises(SpecError, match="Did you mean 'number'"):
        verifier_function("nmber")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "code"])
@pytest.mark.parametrize("answer", ["", " ", "\n\t"])
def test_nothing_is_never_right(name, answer):
    assert not verify_answer(answer, {"text": "", "options": ["", "x"], "verifier": name})
