"""The forms of answer: what each reads, what it refuses, and that a wrong reading never pays."""

import pickle
import random
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.core.answer_format import DEFAULT, AnswerFormat
from rlvr.core.errors import DataError, SpecError
from rlvr.core.parse import TAGS, Parsed, parse, render, system_prompt
from tests.hostile_text import PIECES, hostile

PATTERN = "regex(pattern='#### (.+)'"
PLACES = ["boxed", "last_number", PATTERN]
SPECS = [
    f"{place}{', ' if '(' in place else '('}thinking={thinking!r}, confidence={confidence!r})"
    for place in [*PLACES, "tags"]
    for thinking in ("tags", "native", "none")
    for confidence in ("none", "tag", "line")
]
NEW = [spec for spec in SPECS if AnswerFormat.of(spec) != AnswerFormat.of(AnswerFormat.of(spec).tags)]
PREFILLED = "<|im_start|>assistant\n<think>\n"
examples = settings(max_examples=60, deadline=None)
pieces = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.sampled_from(
            [
                "\\boxed{42}",
                "\\boxed{",
                "}",
                "{",
                "\\{",
                "42",
                "41",
                "#### 42\n",
                "\nConfidence: 0.9",
                "Confidence:",
                "$",
                "7/8",
            ]
        ),
        st.text(max_size=5),
    ),
    max_size=16,
).map("".join)
formats = st.sampled_from(SPECS).map(AnswerFormat.of)


@pytest.mark.parametrize(
    ("spec", "text", "answer", "form"),
    [
        ("boxed", "The answer is $\\boxed{42}$.", "42", True),
        ("boxed", "\\boxed{\\frac{1}{2}}", "\\frac{1}{2}", True),
        ("boxed", "\\boxed{\\{1, 2\\}}", "\\{1, 2\\}", True),
        ("boxed", "\\boxed{\\left\\{x \\mid x > 0\\right.}", "\\left\\{x \\mid x > 0\\right.", True),
        ("boxed", "{\\boxed {42}", "42", True),
        ("boxed", "\\boxed{ 42 } is it", "42", False),
        ("boxed", "42", None, False),
        ("boxed", "\\boxed 42", None, False),
        ("boxed", "\\\\boxed{42}", None, False),  # a line break in LaTeX, and a word
        ("boxed", "\\boxed{42", None, False),
        ("boxed", "\\boxed{}", None, False),
        # Two answers: the last closed one counts, and only that one.
        ("boxed", "\\boxed{41} \\boxed{42}", "42", False),
        ("boxed", "\\boxed{41} \\boxed{}", None, False),
        ("boxed", "\\boxed{41} \\boxed{42", "41", False),
        ("boxed", "\\boxed{41 \\boxed{42}}", "42", False),
        ("boxed", "\\boxed{41 or 42}", "41 or 42", True),  # the verifier refuses it
        ("boxed", "<answer>41</answer>\\boxed{42}", "42", False),
        # Thinking: only what stands after it is an answer.
        ("boxed", "<think>\\boxed{41}</think>\\boxed{42}", "42", True),
        ("boxed", "<think>\\boxed{42}</think>", None, False),
        ("boxed", "<think>\\boxed{42}", None, False),
        ("boxed", "\\boxed{42}<think>\\boxed{41}", None, False),
        ("boxed", "no </think>\\boxed{42}", "42", True),  # opened by a prompt that nobody knows
        ("boxed", "<think>a</think>b</think>\\boxed{42}", "42", False),
        ("boxed", "a<think>b</think>\\boxed{42}", "42", False),
        ("boxed(thinking='none')", "<think>\\boxed{42}", "42", False),
        ("boxed(thinking='tags')", "\\boxed{42}", "42", False),
        ("boxed(thinking='tags')", "<think></think>\\boxed{42}", "42", True),
        ("boxed(thinking='tags')", "</think>\\boxed{42}", "42", False),
        ("last_number", "First 41. Then 42.", "42", True),
        ("last_number", "6*7=42", "42", True),
        ("last_number", "**42**", "42", True),
        ("last_number", "so \\(x=-3.5\\).", "-3.5", True),
        ("last_number", "$1,234.50 in all", "1,234.50", True),
        ("last_number", "3/4", "3/4", True),
        ("last_number", "50%", "50%", True),
        ("last_number", "**Answer:** 42", "42", True),
        *[
            ("last_number", text, None, False)
            for text in (
                "", "none", "18kg", "f(42)", "10:30", "2-1", "20-25", "\\frac{3}{4}", "6 * 7", "6 ** 7", "2 ^ 7", "x + 7",
                "> 42", "x >= 42", "x>=42", "x != 42", "42 / x", "42 * x", "42 - x", "18 thousand", "42!", "42?", "1/2/3",
                "1,00", "1.2.3", "4_2", "٤٢", "42 = x", "~ 42", "41 and 42x", "42 %", "1 / 3", "(6) * x", "$6$ thousand",
            )
        ],
        ("last_number", "42 - the answer", "42", True),
        (PATTERN + ")", "6 * 7 = 42\n#### 42", "42", True),
        (PATTERN + ")", "#### 41\n#### 42", "42", False),
        (PATTERN + ")", "#### 42\nbye", "42", False),
        (PATTERN + ")", "42", None, False),
        ("regex(pattern='([A-E])[.]', write='{answer}.')", "It is B.", "B", True),
    ],
)  # fmt: skip
def test_answers(spec, text, answer, form):
    assert AnswerFormat.of(spec).parse(text) == Parsed(answer, None, form)


@pytest.mark.parametrize(
    ("spec", "text", "confidence", "form"),
    [
        ("boxed(confidence='tag')", "\\boxed{42}<confidence>0.9</confidence>", 0.9, True),
        ("boxed(confidence='tag')", "\\boxed{42}", None, False),
        ("boxed(confidence='tag')", "\\boxed{42}<confidence>90%</confidence>", None, False),
        ("boxed(confidence='tag')", "\\boxed{42}<confidence>0.9", None, False),
        ("boxed(confidence='tag')", "<confidence>0.9</confidence>\\boxed{42}", 0.9, False),
        ("boxed(confidence='tag')", "\\boxed{42}<confidence>0.1</confidence><confidence>0.9</confidence>", 0.9, False),
        (
            "boxed(confidence='tag')",
            "\\boxed{42}<confidence>0.9</confidence><confidence>sure</confidence>",
            None,
            False,
        ),
        ("boxed(confidence='tag')", "\\boxed{42}\nConfidence: 0.9", None, False),
        ("boxed(confidence='line')", "\\boxed{42}\nConfidence: 0.9\n", 0.9, True),
        ("boxed(confidence='line')", "\\boxed{42}\nConfidence: 0.1\nConfidence: 0.9", 0.9, False),
        ("boxed(confidence='line')", "\\boxed{42}\nConfidence: 0.1\nConfidence: sure", None, False),
        ("boxed(confidence='line')", "Confidence: 0.9\n\\boxed{42}", 0.9, False),
        ("boxed(confidence='line')", "\\boxed{42} Confidence: 0.9", None, False),
        ("boxed(confidence='line')", "\\boxed{42}\nconfidence: 0.9", None, False),
        ("boxed(confidence='line')", "\\boxed{42}\nConfidence: 0.9.", None, False),
        ("boxed", "\\boxed{42}<confidence>0.9</confidence>", None, False),
        ("last_number(confidence='tag')", "42<confidence>0.9</confidence>", 0.9, True),
        ("last_number(confidence='line')", "42\nConfidence: 90%", None, False),  # and 90 is not the answer
        ("last_number(confidence='tag')", "42<confidence>90", None, False),
        ("tags(confidence='line', thinking='none')", "<answer>42</answer>\nConfidence: 0.9", 0.9, True),
    ],
)
def test_confidences(spec, text, confidence, form):
    assert AnswerFormat.of(spec).parse(text) == Parsed("42", confidence, form)


@pytest.mark.parametrize("spec", SPECS)
def test_a_prompt_may_open_the_thinking(spec):
    answers = AnswerFormat.of(spec)
    text = answers.write("6 * 7", "42", 0.5, thinks=True)
    whole = answers.parse(text, "<|im_start|>assistant\n")
    assert (whole.answer, whole.format_ok) == ("42", True)
    if text.startswith("<think>"):
        rest = text.removeprefix("<think>")
        assert answers.parse(rest, PREFILLED) == whole
        assert answers.parse(rest, "<|im_start|>assistant\n").format_ok is False  # nobody opened it
    if answers.thinking == "native":
        assert answers.parse(answers.write("", "42", 0.5), PREFILLED) == Parsed(None, None, False)


@examples
@given(pieces, formats, st.sampled_from([None, "", PREFILLED]))
def test_any_text_is_read_without_error(text, answers, end):
    p = answers.parse(text, end)
    assert p.confidence is None or (0 <= p.confidence <= 1 and answers.asks_confidence)
    assert p.answer is None or p.answer == p.answer.strip() != ""
    if answers.confidence == "none" or answers.place is None:
        assert p.answer is None or p.answer in text  # else a confidence may have stood in it
    if p.format_ok:
        assert p.answer is not None
        assert answers.asks_confidence == (p.confidence is not None)
        assert all(text.count(f"<{tag}>") == 0 for tag in TAGS if tag not in (*answers.tags, "think"))


@examples
@given(pieces, formats)
def test_what_stands_before_a_perfect_completion_is_no_answer(text, answers):
    """Whatever comes first, the answer and the confidence are those at the end, or none: no guess counts beside them."""
    perfect = answers.write("", "12345", 0.25)
    p = answers.parse(f"{text}\n{perfect}")
    allowed = {"12345"} if answers.place is None and answers.thinking != "native" else {"12345", None}
    assert p.answer in allowed
    assert p.confidence in ({0.25} if answers.asks_confidence else {None}) | ({None} if None in allowed else set())


@examples
@given(pieces, formats)
def test_thinking_that_never_ends_has_no_answer(text, answers):
    if answers.thinking == "native":
        unfinished = text.replace("</think>", "")
        assert answers.parse("<think>" + unfinished) == Parsed(None, None, False)
        assert answers.parse(unfinished, PREFILLED) == Parsed(None, None, False)


plain = st.text(max_size=30).filter(lambda s: not any(f"<{x}{t}>" in s for t in TAGS for x in ("", "/")))
words = st.text("abcdef ,.+=\n", max_size=30)


@examples
@given(words, st.integers(-(10**6), 10**6).map(str), st.floats(0, 1), formats, st.booleans())
def test_render_is_the_inverse_of_parse(think, answer, confidence, answers, thinks):
    text = answers.render(think, answer, confidence, "doubts", thinks)
    assert answers.parse(text) == Parsed(answer, confidence if answers.asks_confidence else None, True)
    span = answers.confidence_span(text)
    assert (span is not None) == answers.asks_confidence
    if span:
        assert float(re.match(r"[0-9.e+-]+", text[span[1] :])[0]) == confidence
        tags = [tag for tag in answers.tags if tag != "confidence"]
        assert replace(answers, tags=tags, confidence="none").parse(text[: span[0]]).answer == answer


@examples
@given(st.text("ab{}\\ 1", max_size=20))
def test_a_box_is_where_latex_closes_it(inside):
    """Against a scan by hand: the brace that closes the box is the one at which the depth falls to 0."""
    depth, at, escaped = 1, None, False
    for i, char in enumerate(inside + "}"):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            depth += (char == "{") - (char == "}")
            if depth == 0:
                at = i
                break
    wanted = (inside[:at].strip() or None) if at is not None else None
    assert AnswerFormat.of("boxed").parse("\\boxed{" + inside + "}").answer == wanted


@examples
@given(plain, plain, st.sampled_from(["answer", "think answer", "answer confidence", " ".join(TAGS)]))
def test_tags_are_the_old_grammar_to_the_letter(before, after, tags):
    names = tags.split()
    answers = AnswerFormat.of("tags", names)
    text = f"{before}<think>a</think><answer>{after}</answer><confidence>0.5</confidence>"
    assert answers.parse(text) == parse(text, names)
    assert answers.parse(text, "assistant\n") == parse(text, names)
    assert answers.system_prompt() == system_prompt(names)
    assert answers.render("s", "4", 0.5, "d") == render("s", "4", 0.5, "d", names)


@pytest.mark.parametrize("spec", SPECS)
def test_a_format_is_its_spec_and_its_prompt_names_the_parts(spec):
    answers = AnswerFormat.of(spec)
    assert AnswerFormat.of(str(answers)) == answers == pickle.loads(pickle.dumps(answers))
    assert AnswerFormat.of(answers) is answers
    assert hash(answers) == hash(AnswerFormat.of(spec))
    prompt = answers.system_prompt()
    assert ("between 0 and 1" in prompt) == answers.asks_confidence
    assert ("<think>" in prompt) == (answers.thinking == "tags")
    assert ("Confidence: p" in prompt) == (answers.confidence == "line")
    assert len(prompt.split()) < 45


def test_the_default_is_todays_tags():
    assert AnswerFormat.of("tags") == DEFAULT == AnswerFormat.of(["think", "answer", "confidence"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("boxd", "Did you mean 'boxed'"),
        ("boxed(confidnce='tag')", "Did you mean 'confidence'"),
        ("boxed(confidence='tags')", "Did you mean 'tag'"),
        ("boxed(thinking='nativ')", "Did you mean 'native'"),
        ("boxed(thinking=3)", "No thinking '3'"),
        ("boxed:f", "No answer format"),
        ("tags(tags=['anser'])", "Did you mean 'answer'"),
        ("regex", "regex takes texts"),
        ("regex(pattern='(')", "no regular expression"),
        ("regex(pattern='(a)(b)')", "has 2 groups"),
        ("regex(pattern='x*')", "matches a text without an answer"),
        ("regex(pattern='[A-E]{1}|z')", "say how an answer is written"),
        ("regex(pattern='#### (.+)', write='answer')", "say how an answer is written"),
    ],
)
def test_a_wrong_spec_says_what_to_write(spec, message):
    with pytest.raises(SpecError) as error:
        AnswerFormat.of(spec)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("boxed", {"answer": ""}),
        ("boxed", {"answer": "4}"}),
        ("boxed", {"think": "\\boxed{1}"}),
        ("boxed(confidence='line')", {"confidence": None}),
        ("boxed(confidence='tag')", {"confidence": 1.5}),
        ("last_number", {"answer": "x"}),
        ("last_number", {"answer": "6 * 7"}),
        (PATTERN + ")", {"answer": "a\nb"}),
        (PATTERN + ")", {"think": "#### 3"}),
    ],
)
def test_render_refuses_what_would_not_read_back(spec, parts):
    with pytest.raises(DataError, match="reads back"):
        AnswerFormat.of(spec).render(**({"think": "t", "answer": "4", "confidence": 0.5} | parts))


@pytest.mark.parametrize("spec", NEW)
def test_hostile_texts_raise_nothing_and_take_no_time(spec):
    answers = AnswerFormat.of(spec)
    draw = random.Random(spec)
    for _ in range(150):
        text = hostile(draw.randrange(100_000))
        start = time.perf_counter()
        p = answers.parse(text)
        assert time.perf_counter() - start < 0.5  # 50 ms, and a busy machine
        assert p.answer is None or len(p.answer) <= len(text)


UNITS = {
    "box": "\\boxed{", "boxes": "\\boxed{1}", "braces": "{", "closing": "}", "escapes": "\\{", "boxed": "\\boxed ",
    "digits": "9", "words": "x9 ", "commas": "9,", "stars": "*", "lines": "\nConfidence: 0.", "almost": "\nConfidence",
    "opened": "<confidence>", "pairs": "<confidence>1</confidence>", "think": "<think>", "thoughts": "<think></think>",
    "spaces": " ", "hashes": "#### ",
}  # fmt: skip


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_time_is_linear(unit):
    for spec in ("boxed(confidence='tag')", "last_number(confidence='line')", "tags(thinking='native')"):
        answers = AnswerFormat.of(spec)

        def seconds(characters: int, answers=answers) -> float:
            text = "\\boxed{1} " + unit * (characters // len(unit))
            return min(_cpu_seconds(answers, text) for _ in range(2))

        # Eight times the text: linear takes 8 times as long, quadratic 64. The floor absorbs the clock's noise.
        assert seconds(160_000) < 30 * max(seconds(20_000), 1e-3)


def _cpu_seconds(answers: AnswerFormat, text: str) -> float:
    start = time.process_time()
    answers.parse(text)
    return time.process_time() - start


def test_a_pattern_that_runs_away_is_ended_and_has_no_answer():
    answers = AnswerFormat.of("regex(pattern='(?:x+x+)+y|#([0-9]+)', write='#{answer}')")
    start = time.perf_counter()
    assert answers.parse("x" * 5_000 + "c") == Parsed(None, None, False)
    assert time.perf_counter() - start < 20
