"""Parse tagged completions by one grammar: what is asked for, how a text is read, what a perfect text looks like.

    <think>..</think><answer>..</answer><analysis>..</analysis><confidence>..</confidence>

A run asks for some of the tags (always `answer`); their order is the order above. The principle of each
rule: a wrong parse must never be the profitable one, so anything doubtful is None, and None never scores
best. The other forms of answer (answer_format.py) keep the same principle.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlvr.core.errors import DataError, SpecError, did_you_mean

TAGS = ("think", "answer", "analysis", "confidence")

# Both patterns are free of nested or adjacent repeats of the same characters: nothing to backtrack into.
_TAG = re.compile(rf"<(/?)({'|'.join(TAGS)})>")
_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 32  # the shortest exact form of any double in [0, 1] fits in 24 characters

_HINTS = {
    "think": "your steps",
    "answer": "the answer only",
    "analysis": "what could be wrong",
    "confidence": "p",
}


@dataclass(frozen=True)
class Parsed:
    """Hold what a completion says: its answer, its confidence, and whether it has exactly the requested form."""

    answer: str | None
    confidence: float | None
    format_ok: bool


def ordered(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the requested tags in the order of the grammar; SpecError if one is unknown or none is `answer`.

    >>> ordered(["confidence", "answer"])
    ('answer', 'confidence')
    """
    for tag in tags:
        if tag not in TAGS:
            raise SpecError(did_you_mean("tag", tag, TAGS))
    if "answer" not in tags:
        raise SpecError(f"The tags {tuple(tags)} hold no 'answer', so nothing could be verified. Add it.")
    return tuple(tag for tag in TAGS if tag in tags)


def parse(text: str, tags: Sequence[str]) -> Parsed:
    """Read a completion once, in one pass from left to right; linear time, and no text makes it raise.

    An element runs from an opening tag to the next closing tag of its name. The last one of a name counts,
    wherever it stands, and only that one: if it is empty, holds another tag of the grammar, or is no number
    where one is due, the value is None and no earlier element is used instead. Tags are exact and lower case.

    format_ok: each requested tag exactly once, closed, in order, nothing but white space around them, the
    answer not empty, and the confidence readable when it is requested. `<think></think>` may be empty. Other
    mark-up inside an element is plain text; a tag of the grammar that was not requested breaks the form.

    A confidence is None unless it was requested. Raises SpecError for a wrong list of tags only.

    >>> parse("<think>6 * 7</think><answer>42</answer><confidence>0.9</confidence>", TAGS[:2] + TAGS[3:])
    Parsed(answer='42', confidence=0.9, format_ok=True)
    >>> parse("<answer>41</answer> No: <answer>42</answer>", ("answer",))
    Parsed(answer='42', confidence=None, format_ok=False)
    """
    return read(text, ordered(tags))


def read(text: str, tags: tuple[str, ...]) -> Parsed:
    """Read a completion as `parse` does; `tags` are in the grammar's order already."""
    expected = [(slash, tag) for tag in tags for slash in ("", "/")]
    last: dict[str, str | None] = {}
    is_open: set[str] = set()
    previous, end, count, in_form = "", 0, 0, True
    for match in _TAG.finditer(text):
        slash, name = match.groups()
        in_form = in_form and count < len(expected) and expected[count] == (slash, name)
        if not slash:
            in_form = in_form and _blank(text, end, match.start())
            is_open.add(name)
        elif name in is_open:  # a closing tag without an opening one closes nothing
            is_open.remove(name)
            last[name] = text[end : match.start()].strip() if previous == name else None
        previous, end, count = "" if slash else name, match.end(), count + 1
    answer = last.get("answer") or None
    confidence = parse_confidence(last.get("confidence") or "") if "confidence" in tags else None
    complete = answer is not None and (confidence is not None or "confidence" not in tags)
    in_form = in_form and count == len(expected) and _blank(text, end, len(text))
    return Parsed(answer, confidence, in_form and complete)


def holds_tag(text: str) -> bool:
    """Return whether a text holds an opening or closing tag of the grammar.

    >>> holds_tag("<b>4</b>"), holds_tag("4</answer>")
    (False, True)
    """
    return _TAG.search(text) is not None


def _blank(text: str, start: int, stop: int) -> bool:
    return not text[start:stop].strip()


def parse_confidence(text: str) -> float | None:
    """Read a probability: a plain ASCII decimal number in [0, 1], white space around it allowed; else None.

    | text                           | read as | because                                                 |
    |--------------------------------|---------|---------------------------------------------------------|
    | `0.9` `.9` `1.` `1` `0` `00.5` | number  | one meaning only                                        |
    | `1e-1`                         | 0.1     | one meaning only                                        |
    | `nan` `inf`                    | None    | not finite; NaN slips through `q < 0 or q > 1`          |
    | `1.2` `90`                     | None    | above 1; dividing by 100 would be a guess               |
    | `-0` `-0.5` `+0.5`             | None    | a probability has no sign                               |
    | `90%` `9/10`                   | None    | another form than the one asked for                     |
    | `0,9`                          | None    | a decimal comma, or two numbers                         |
    | `0.9.` `about 0.9` `high`      | None    | not only a number                                       |
    | `１` `٠.٩`                      | None    | digits other than ASCII                                 |
    | `1_0` `0x1`                    | None    | programmers' forms, which `float` or `int` would take   |
    | more than 32 characters        | None    | no probability needs them                               |
    | nothing                        | None    | missing                                                 |

    >>> [parse_confidence(t) for t in ("0.9", ".9", "90%", "nan")]
    [0.9, 0.9, None, None]
    """
    text = text.strip()
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if value <= 1 else None


def system_prompt(tags: Sequence[str]) -> str:
    """Return the instruction about the form; short, because a small model pays for every token of it.

    >>> print(system_prompt(["think", "answer"]))
    Reply in exactly this form:
    <think>your steps</think><answer>the answer only</answer>
    """
    tags = ordered(tags)
    lines = ["Reply in exactly this form:", "".join(f"<{tag}>{_HINTS[tag]}</{tag}>" for tag in tags)]
    if "confidence" in tags:
        lines.append("p is the probability, a number between 0 and 1, that the answer is right.")
    return "\n".join(lines)


def render(
    think: str,
    answer: str,
    confidence: float | None = None,
    analysis: str | None = None,
    tags: Sequence[str] = ("think", "answer", "confidence"),
) -> str:
    """Return the perfect completion with these parts, the inverse of `parse`; parts not in `tags` stay out.

    Raises DataError when the parts cannot be read back: a tag of the grammar inside one of them, an empty
    answer, or a requested confidence that is missing or outside [0, 1].

    >>> render("6 * 7 = 42", "42", 0.9)
    '<think>6 * 7 = 42</think><answer>42</answer><confidence>0.9</confidence>'
    """
    tags = ordered(tags)
    stated = "" if confidence is None else repr(float(confidence) + 0.0)  # + 0.0 turns -0.0 into 0.0
    parts = {"think": think, "answer": answer, "analysis": analysis or "", "confidence": stated}
    text = "".join(f"<{tag}>{parts[tag]}</{tag}>" for tag in tags)
    if not parse(text, tags).format_ok:
        raise DataError(
            f"Cannot write {text[:200]!r} so that it reads back: it needs an answer, no tag of {TAGS} inside "
            f"a part, and a confidence in [0, 1] if one is asked for (tags: {tags})."
        )
    return text
