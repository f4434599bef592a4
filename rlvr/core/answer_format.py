"""Say in one value how answers are given: what the prompt asks for, how a completion is read, what a perfect one is.

    tags          <think>..</think><answer>..</answer><confidence>..</confidence>: the grammar of parse.py, the default
    boxed         the last \\\\boxed{..}
    last_number   the last number of the text
    regex(..)     the last match of a pattern of yours

Each with a confidence as a tag, as a last line "Confidence: p", or none; and with the model's thinking cut off before
anything is read. docs/answers.md has the table of cases. The principle is that of the tags: what is doubtful is None.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rlvr.core import parse as tag_grammar
from rlvr.core.answer_places import Boxed, LastNumber, Pattern, Place
from rlvr.core.errors import DataError, SpecError, did_you_mean
from rlvr.core.parse import Parsed, holds_tag, ordered, parse_confidence
from rlvr.core.specs import Spec, parse_spec

THINKING = ("tags", "native", "none")
CONFIDENCE = ("none", "tag", "line")
DEFAULT_TAGS = ("think", "answer", "confidence")
PARAMETERS = {
    "tags": ("tags", "thinking", "confidence"),
    "boxed": ("thinking", "confidence"),
    "last_number": ("thinking", "confidence"),
    "regex": ("pattern", "write", "thinking", "confidence"),
}
_OPEN, _CLOSE = "<think>", "</think>"
_LINE = re.compile(r"^[ \t]*Confidence:(.*)$", re.MULTILINE)
_P = "the probability, between 0 and 1, that the answer is right"


@dataclass(frozen=True)
class AnswerFormat:
    r"""Hold a form of answer; two equal ones ask for the same and read the same.

    Attributes:
        tags: the parts that are asked for, in the grammar's order: always `answer`; `think` where thinking is "tags";
            `confidence` where one is asked for, as a tag or a line.
        place: where the answer stands; None is the answer tag.
        thinking: "tags": asked for as <think>..</think> and part of the form. "native": the model's own
            <think>..</think>, which may be absent; only what stands after it is read. "none": nothing is cut off.
        confidence: "tag", "line" or "none".

    >>> boxed = AnswerFormat.of("boxed(confidence='line')")
    >>> boxed.parse("<think>\\boxed{1}?</think> It is \\boxed{42}.\nConfidence: 0.9")
    Parsed(answer='42', confidence=0.9, format_ok=True)
    >>> str(boxed), boxed.tags
    ("boxed(confidence='line')", ('answer', 'confidence'))
    """

    tags: tuple[str, ...] = DEFAULT_TAGS
    place: Place | None = None
    thinking: str = "tags"
    confidence: str = "tag"

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", ordered(self.tags))

    @classmethod
    def of(cls, spec: "str | Sequence[str] | AnswerFormat", tags: Sequence[str] = DEFAULT_TAGS) -> "AnswerFormat":
        """Read a spec, or a list of tags; `tags` are those of a spec "tags" that names none.

        Raises SpecError for a name, parameter or value that nothing has ("did you mean").

        >>> AnswerFormat.of(["answer"]) == AnswerFormat.of("tags(tags=['answer'])")
        True
        >>> AnswerFormat.of("boxd")
        Traceback (most recent call last):
        ...
        rlvr.core.errors.SpecError: No answer format 'boxd'. Did you mean 'boxed'? ...
        """
        if isinstance(spec, AnswerFormat):
            return spec
        if not isinstance(spec, str):
            return _of_tags(spec, {})
        parsed = parse_spec(spec)
        if parsed.name not in PARAMETERS or parsed.attr:
            raise SpecError(did_you_mean("answer format", parsed.name, PARAMETERS))
        params: dict[str, Any] = dict(parsed.params)
        for name in params:
            if name not in PARAMETERS[parsed.name]:
                raise SpecError(did_you_mean(f"parameter of {parsed.name!r}", name, PARAMETERS[parsed.name]))
        for name, allowed in (("thinking", THINKING), ("confidence", CONFIDENCE)):
            if name in params and params[name] not in allowed:
                raise SpecError(did_you_mean(name, str(params[name]), allowed))
        if parsed.name == "tags":
            given = params.pop("tags", tuple(tags))
            return _of_tags([given] if isinstance(given, str) else given, params)
        place = _place(parsed.name, params)
        thinking, confidence = params.get("thinking", "native"), params.get("confidence", "none")
        parts = ["answer", *["think"] * (thinking == "tags"), *["confidence"] * (confidence != "none")]
        return cls(tuple(parts), place, thinking, confidence)

    def __str__(self) -> str:
        params: dict[str, Any] = {}
        if self.place is None:
            name = "tags"
            params["tags"] = list(self.tags)
            usual = ("tags" if "think" in self.tags else "none", "tag" if "confidence" in self.tags else "none")
        else:
            name, usual = _NAMES[type(self.place)], ("native", "none")
        if isinstance(self.place, Pattern):
            params |= {"pattern": self.place.pattern, **({"write": self.place.template} if self.place.template else {})}
        params |= {} if self.thinking == usual[0] else {"thinking": self.thinking}
        params |= {} if self.confidence == usual[1] else {"confidence": self.confidence}
        return str(Spec(name, None, tuple(params.items())))

    @property
    def asks_confidence(self) -> bool:
        """Return whether a confidence is asked for."""
        return self.confidence != "none"

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Return the tags that this form writes: a confidence line is none, and neither is an answer in its place.

        >>> AnswerFormat().elements, AnswerFormat.of("boxed(confidence='line')").elements
        (('think', 'answer', 'confidence'), ())
        """
        elsewhere = {"answer": self.place is not None, "confidence": self.confidence == "line"}
        return tuple(tag for tag in self.tags if not elsewhere.get(tag))

    # ------------------------------------------------------------------ read

    def parse(self, text: str, prompt_end: str | None = None) -> Parsed:
        r"""Read a completion once; linear time but for a pattern of yours, and no text makes it raise.

        `prompt_end` is the end of the prompt as the model read it: a template that writes <think> there has opened the
        thinking. None: not known, so a text with </think> alone is taken to have been opened by its prompt.

        >>> AnswerFormat.of("boxed").parse("6 * 7, or \\boxed{41}?", prompt_end="<|im_start|>assistant\n<think>\n")
        Parsed(answer=None, confidence=None, format_ok=False)
        """
        if opens_thinking(prompt_end):
            text = _OPEN + text
        reply, thought = self._after_thinking(text, prompt_end is not None)
        if reply is None:
            return Parsed(None, None, False)
        body, confidence, stated = self._without_confidence(reply)
        if self.place is None:
            tagged = tag_grammar.read(body, self.elements)
            answer, in_form = tagged.answer, tagged.format_ok
            confidence = tagged.confidence if self.confidence == "tag" else confidence
        else:
            answer, in_form = self.place.read(body)
            in_form = in_form and not holds_tag(body)
        complete = answer is not None and (confidence is not None or not self.asks_confidence)
        return Parsed(answer, confidence, thought and stated and in_form and complete)

    def _after_thinking(self, text: str, known: bool) -> tuple[str | None, bool]:
        """Return what stands after the thinking, None where it never ends, and whether it has the form."""
        if self.thinking == "none" or (self.thinking == "tags" and self.place is None):
            return text, True  # a think tag is for the grammar to judge
        start, end = text.find(_OPEN), text.rfind(_CLOSE)
        if text.rfind(_OPEN) > end:
            return None, False
        count = (text.count(_OPEN), text.count(_CLOSE))
        in_form = count == (1, 1) and not text[: max(0, start)].strip()
        if self.thinking == "native":
            in_form = in_form or count == (0, 0) or (count == (0, 1) and not known)
        return (text if end < 0 else text[end + len(_CLOSE) :]), in_form

    def _without_confidence(self, reply: str) -> tuple[str, float | None, bool]:
        """Return a reply without what it says of its confidence, that confidence, and whether it stands last, once."""
        if self.confidence == "line":
            lines = list(_LINE.finditer(reply))
            if not lines:
                return reply, None, False
            last = len(lines) == 1 and not reply[lines[0].end() :].strip()
            return _LINE.sub("", reply), parse_confidence(lines[-1][1]), last
        if self.confidence == "tag" and self.place is not None:
            parts, end, opening, closing = [], 0, "<confidence>", "</confidence>"
            while (start := reply.find(opening, end)) >= 0:
                parts.append(reply[end:start])
                stop = reply.find(closing, start)
                end = len(reply) if stop < 0 else stop + len(closing)  # an element without an end takes the rest
            body = "".join([*parts, reply[end:]])
            once = (reply.count(opening), reply.count(closing)) == (1, 1)
            stated = tag_grammar.read(reply, ("answer", "confidence")).confidence
            return body, stated, once and reply.rstrip().endswith(closing)
        return reply, None, True

    def confidence_span(self, text: str) -> tuple[int, int] | None:
        """Return where the last statement of a confidence begins in `text` and where its value does, in characters.

        >>> AnswerFormat.of("boxed(confidence='line')").confidence_span("It is 4.\\nConfidence: 0.9")
        (9, 21)
        """
        if self.confidence == "tag":
            at = text.rfind("<confidence>")
            return None if at < 0 else (at, at + len("<confidence>"))
        lines = list(_LINE.finditer(text)) if self.confidence == "line" else []
        if not lines:
            return None
        value = lines[-1][1]
        return lines[-1].start(), lines[-1].start(1) + len(value) - len(value.lstrip())

    # ------------------------------------------------------------------ write

    def system_prompt(self) -> str:
        r"""Return the instruction about the form; short, because a small model pays for every token of it.

        >>> print(AnswerFormat.of("boxed(confidence='line')").system_prompt())
        Reason step by step, and put the final answer within \boxed{}.
        Then write a last line "Confidence: p"; p is the probability, between 0 and 1, that the answer is right.
        """
        if self.place is None:
            text = tag_grammar.system_prompt(self.elements)
        elif self.thinking == "tags":
            text = f"Reply in exactly this form:\n<think>your steps</think>{self.place.write('the answer only')}"
        else:
            text = f"Reason step by step, and {_ASKED[type(self.place)]}"
            if isinstance(self.place, Pattern):
                text += self.place.write("the answer only")
        if self.confidence == "line":
            text += f'\nThen write a last line "Confidence: p"; p is {_P}.'
        elif self.confidence == "tag" and self.place is not None:
            text += f"\nThen write <confidence>p</confidence>; p is {_P}."
        return text

    def write(
        self,
        think: str,
        answer: str,
        confidence: float | None = None,
        analysis: str | None = None,
        thinks: bool = False,
    ) -> str:
        """Return a completion with these parts, read back or not (`render` makes sure); parts not asked for stay out.

        With thinking "native", `thinks` says whether the steps stand inside the model's own <think>; else before the
        answer, where the form has room for them.
        """
        stated = "" if confidence is None else repr(float(confidence) + 0.0)  # + 0.0 turns -0.0 into 0.0
        return self._composed(think, answer, stated, analysis or "", thinks)

    def _composed(self, think: str, answer: str, confidence: str, analysis: str, thinks: bool = False) -> str:
        inside = self.thinking == "tags" or (self.thinking == "native" and thinks)
        text = f"{_OPEN}\n{think}\n{_CLOSE}\n\n" if self.thinking == "native" and inside else ""
        if self.place is None:
            parts = {"think": think, "answer": answer, "analysis": analysis}
            text += "".join(f"<{tag}>{parts[tag]}</{tag}>" for tag in self.tags if tag != "confidence")
        else:
            text += f"{_OPEN}{think}{_CLOSE}" if self.thinking == "tags" else ""
            text += "" if inside or not think.strip() else f"{think}\n"
            text += self.place.write(answer)
        return text + self.stated(confidence)

    def stated(self, confidence: str) -> str:
        """Return the statement of a confidence that comes after the answer; "" where the form has none."""
        if self.confidence == "line":
            return f"\nConfidence: {confidence}"
        if self.confidence == "tag":
            apart = self.place is not None and self.thinking != "tags"
            return ("\n" if apart else "") + f"<confidence>{confidence}</confidence>"
        return ""

    @property
    def form(self) -> str:
        """Return a completion of this form with .. for each part, to be shown in messages.

        >>> AnswerFormat().form
        '<think>..</think><answer>..</answer><confidence>..</confidence>'
        """
        return self._composed("..", "..", "..", "..")

    def render(
        self,
        think: str,
        answer: str,
        confidence: float | None = None,
        analysis: str | None = None,
        thinks: bool = False,
    ) -> str:
        r"""Return the perfect completion with these parts (see `write`); DataError where it would not read back.

        >>> AnswerFormat.of("boxed").render("6 * 7 = 42", "42")
        '6 * 7 = 42\n\\boxed{42}'
        """
        if self.place is None and self.thinking != "native" and self.confidence != "line":  # the tag grammar alone
            return tag_grammar.render(think, answer, confidence, analysis, self.tags)
        text = self.write(think, answer, confidence, analysis, thinks)
        parsed = self.parse(text)
        if not parsed.format_ok or parsed.answer != answer.strip():
            raise DataError(
                f"Cannot write {text[:200]!r} so that it reads back in the form {str(self)!r}: it reads as "
                f"{parsed.answer!r}. The steps may hold no answer of that form, and a confidence lies in [0, 1]."
            )
        return text

    @property
    def samples(self) -> tuple[str, str]:
        """Return two different answers that this form can hold, for a right and a wrong one."""
        return (self.place.samples if isinstance(self.place, Pattern) else None) or ("42", "41")


_NAMES: dict[type, str] = {Boxed: "boxed", LastNumber: "last_number", Pattern: "regex"}
_ASKED: dict[type, str] = {
    Boxed: "put the final answer within \\boxed{}.",
    LastNumber: "end with the answer, a number.",
    Pattern: "end with: ",
}


def opens_thinking(prompt_end: str | None) -> bool:
    """Return whether a prompt that ends so has opened the model's thinking.

    >>> opens_thinking("assistant\\n<think>\\n"), opens_thinking("<think>\\n\\n</think>\\n"), opens_thinking(None)
    (True, False, False)
    """
    return prompt_end is not None and prompt_end.rstrip().endswith(_OPEN)


def _of_tags(tags: Sequence[str], params: dict[str, Any]) -> AnswerFormat:
    """Return the format with these tags; `thinking` and `confidence`, where given, decide over their two tags."""
    ordered(tags)
    thinking = params.get("thinking", "tags" if "think" in tags else "none")
    confidence = params.get("confidence", "tag" if "confidence" in tags else "none")
    decided = {"think": thinking == "tags", "confidence": confidence != "none"}
    kept = [tag for tag in tags if decided.get(tag, True)] + [tag for tag, wanted in decided.items() if wanted]
    return AnswerFormat(tuple(kept), None, thinking, confidence)


def _place(name: str, params: dict[str, Any]) -> Place:
    if name != "regex":
        return Boxed() if name == "boxed" else LastNumber()
    pattern, write = params.get("pattern"), params.get("write", "")
    if not isinstance(pattern, str) or not isinstance(write, str):
        raise SpecError(f"regex takes texts: regex(pattern='#### (.+)', write='#### {{answer}}'), found {params!r}.")
    return Pattern(pattern, write)


DEFAULT = AnswerFormat()
