"""The completion grammar: what is read, what is refused, and that it takes linear time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.core.errors import DataError, SpecError
from rlvr.core.parse import TAGS, Parsed, ordered, parse, parse_confidence, render, system_prompt

TAC = ("think", "answer", "confidence")
GOOD = "<think>6 * 7</think><answer>42</answer><confidence>0.9</confidence>"
examples = settings(max_examples=80, deadline=None)

tag_sets = st.sets(st.sampled_from(TAGS)).map(lambda s: tuple(t for t in TAGS if t in s or t == "answer"))
pieces = st.lists(
    st.one_of(
        st.sampled_from([f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")]),
        st.sampled_from(["0.9", "42", " ", "\n", "<", ">", "</", "<b>", "nan", "é", "\ud800", "\x00"]),
        st.text(max_size=5),
    ),
    max_size=24,
).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, Parsed("42", 0.9, True)),
        (f" \n{GOOD}\n", Parsed("42", 0.9, True)),
        (GOOD.replace("</think>", "</think>\n"), Parsed("42", 0.9, True)),
        (GOOD.replace(">42<", "> 42\n<"), Parsed("42", 0.9, True)),
        (GOOD.replace("6 * 7", ""), Parsed("42", 0.9, True)),  # thinking may be empty
        (GOOD.replace("6 * 7", "a <b>bold</b> 1 < 2"), Parsed("42", 0.9, True)),  # foreign mark-up is text
        ("", Parsed(None, None, False)),
        ("42", Parsed(None, None, False)),
        (GOOD.replace("42", " "), Parsed(None, 0.9, False)),
        (GOOD.replace("0.9", ""), Parsed("42", None, False)),
        (GOOD.replace("0.9", "90%"), Parsed("42", None, False)),
        (GOOD + "bye", Parsed("42", 0.9, False)),
        ("Sure: " + GOOD, Parsed("42", 0.9, False)),
        (GOOD.replace("</think>", "</think> so"), Parsed("42", 0.9, False)),
        (GOOD + GOOD, Parsed("42", 0.9, False)),
        (GOOD[: -len("</confidence>")], Parsed("42", None, False)),
        (GOOD.replace("</answer>", ""), Parsed(None, 0.9, False)),
        (GOOD.replace("<answer>", ""), Parsed(None, 0.9, False)),
        (GOOD.replace("<think>6 * 7</think>", ""), Parsed("42", 0.9, False)),
        (GOOD.replace("<confidence>", "<analysis>hm</analysis><confidence>"), Parsed("42", 0.9, False)),
        ("<confidence>0.9</confidence><think></think><answer>42</answer>", Parsed("42", 0.9, False)),
        (GOOD.upper(), Parsed(None, None, False)),
        (GOOD.replace("<answer>", "< answer >"), Parsed(None, 0.9, False)),
        # The last closed element wins, and only that one: no falling back to an earlier one.
        ("<answer>1</answer><answer>2</answer>", Parsed("2", None, False)),
        ("<answer>1</answer><answer>2", Parsed("1", None, False)),
        ("<answer>1</answer><answer></answer>", Parsed(None, None, False)),
        ("<confidence>0.9</confidence><confidence>sure</confidence>", Parsed(None, None, False)),
        # Nesting: an element that holds a tag of the grammar has no value; the inner one counts.
        ("<answer>1<answer>2</answer></answer>", Parsed("2", None, False)),
        ("<answer>1<confidence>0.9</confidence></answer>", Parsed(None, 0.9, False)),
        ("<think><answer>1</answer></think>", Parsed("1", None, False)),
        ("<answer>1<think>2</answer>", Parsed(None, None, False)),
        ("</answer>1<answer>", Parsed(None, None, False)),
        # Any script.
        (GOOD.replace("42", "四十二 ½ é"), Parsed("四十二 ½ é", 0.9, True)),
    ],
)
def test_parse(text, expected):
    assert parse(text, TAC) == expected


def test_only_requested_tags_count():
    assert parse("<answer>42</answer>", ("answer",)) == Parsed("42", None, True)
    assert parse(GOOD, ("think", "answer")) == Parsed("42", None, False)
    assert parse("<think>t</think><answer>42</answer>", TAGS[:3]) == Parsed("42", None, False)  # no analysis
    assert parse(GOOD, ("confidence", "answer", "think")) == Parsed("42", 0.9, True)  # any order of the list


def test_tags_must_be_known_and_hold_an_answer():
    with pytest.raises(SpecError, match="Did you mean 'answer'"):
        ordered(["anser"])
    with pytest.raises(SpecError, match="no 'answer'"):
        parse(GOOD, ("think",))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(t, float(t)) for t in ("0", "1", "0.9", ".9", "1.", "00.5", "1e-1", "5E-1", "1.0", "0e7", "5e-324")],
        (" 0.9\n", 0.9),
        ("1e-400", 0.0),  # rounded like any decimal
        *[
            (t, None)
            for t in (
                "",
                " ",
                "nan",
                "NaN",
                "inf",
                "-inf",
                "1.2",
                "90",
                "1e1",
                "1e999",
                "-0",
                "-0.5",
                "+0.5",
                "90%",
            )
        ],
        *[(t, None) for t in ("0,9", "0.9.", "0..9", ".", "e-1", "1e", "9/10", "0.9 0.8", "0. 9", "about 0.9", "high")],
        *[(t, None) for t in ("１", "٠.٩", "½", "1_0", "0x1", "0.9f", "True", "0.9\x00")],
        ("0." + "9" * 30, 1.0),  # 32 characters
        ("0." + "9" * 31, None),
        ("0." + "1" * 1_000_000, None),
        ("1" * 1_000_000, None),
    ],
)
def test_confidence(text, value):
    assert parse_confidence(text) == value
    assert parse(f"<answer>1</answer><confidence>{text}</confidence>", TAC[1:]).confidence == value


@examples
@given(pieces, tag_sets)
def test_any_text_is_read_without_error(text, tags):
    p = parse(text, tags)
    assert p.confidence is None or (0 <= p.confidence <= 1 and "confidence" in tags)
    assert p.answer is None or (p.answer == p.answer.strip() != "" and p.answer in text)
    if p.format_ok:
        assert p.answer is not None
        assert ("confidence" in tags) == (p.confidence is not None)
        assert [text.count(f"<{t}>") for t in TAGS] == [int(t in tags) for t in TAGS]
        assert [text.count(f"</{t}>") for t in TAGS] == [int(t in tags) for t in TAGS]


@examples
@given(pieces, tag_sets)
def test_text_around_a_perfect_completion_breaks_only_the_form(text, tags):
    perfect = render("steps", "42", 0.25, "doubts", tags)
    after = parse(text + perfect, tags)
    # Whatever stands before, the last elements are the ones of the perfect part.
    assert (after.answer, after.confidence) == ("42", 0.25 if "confidence" in tags else None)
    assert after.format_ok == (not text.strip())


plain = st.text(max_size=30).filter(lambda s: not any(f"<{x}{t}>" in s for t in TAGS for x in ("", "/")))


@examples
@given(
    plain,
    plain.map(str.strip).filter(bool),
    st.floats(0, 1),
    plain,
    tag_sets,
)
def test_render_is_the_inverse_of_parse(think, answer, confidence, analysis, tags):
    text = render(think, answer, confidence, analysis, tags)
    assert parse(text, tags) == Parsed(answer, confidence if "confidence" in tags else None, True)


@pytest.mark.parametrize(
    "parts",
    [
        {"answer": ""},
        {"answer": " "},
        {"answer": "4</answer>"},
        {"think": "<answer>"},
        {"confidence": None},
        {"confidence": 1.01},
        {"confidence": float("nan")},
        {"confidence": -0.1},
    ],
)
def test_render_refuses_what_would_not_read_back(parts):
    with pytest.raises(DataError, match="reads back"):
        render(**({"think": "t", "answer": "4", "confidence": 0.5} | parts))


def test_render_omits_what_is_not_asked_for():
    assert render("t", "4", None, tags=("answer",)) == "<answer>4</answer>"
    assert render("t", "4", -0.0, tags=("answer", "confidence")).endswith("<confidence>0.0</confidence>")
    assert "<analysis></analysis>" in render("t", "4", 1, tags=TAGS)


@pytest.mark.parametrize("tags", [("answer",), ("think", "answer"), TAC, TAGS])
def test_the_prompt_shows_each_requested_tag_once_in_order(tags):
    prompt = system_prompt(tags)
    opened = [prompt.find(f"<{tag}>") for tag in TAGS if tag in tags]
    assert opened == sorted(opened)
    for tag in TAGS:
        assert prompt.count(f"<{tag}>") == prompt.count(f"</{tag}>") == int(tag in tags)
    assert ("between 0 and 1" in prompt) == ("confidence" in tags)
    # A small model pays for every token: 17 to 60 of SmolLM2's.
    assert len(prompt.split()) < 35


HOSTILE = {
    "opened": "<answer>",
    "closed": "</answer>",
    "pairs": "<answer>1</answer>",
    "alternating": "<think><answer>",
    "nested": "<think><answer></think></answer>",
    "brackets": "<",
    "almost": "<answer<think",
    "spaces": " ",
    "digits": "9",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("frame", ["{}", "<answer>1</answer><confidence>{}</confidence>"], ids=["bare", "framed"])
def test_time_is_linear(unit, frame):
    def seconds(characters: int) -> float:
        text = frame.format(unit * (characters // len(unit)))
        return min(_timed(text) for _ in range(3))

    # Eight times the text: linear takes 8 times as long, quadratic 64. The floor absorbs the clock's noise.
    assert seconds(400_000) < 30 * max(seconds(50_000), 1e-4)


def _timed(text: str) -> float:
    start = time.perf_counter()
    parse(text, TAC)
    return time.perf_counter() - start


def test_ten_megabytes():
    text = "<think>" + "<b>é 1 < 2 </b>" * 700_000 + "</think><answer>42</answer><confidence>0.5</confidence>"
    assert parse(text, TAC) == Parsed("42", 0.5, True)
    assert parse("<answer>1" * 1_100_000 + "</answer>", TAC).answer == "1"
