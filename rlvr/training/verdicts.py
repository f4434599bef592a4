"""Judge which completions are right, where no verifier says so: `correct=` of RLVRTrainer.

A reward above 0 is no verdict: a partly right completion has one too, and with 0.25 for each a sign rule would call
all of them right. So sign rules and difficulty filters ask for a source, and this file reads the three kinds of it.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import DataError, SpecError, did_you_mean
from rlvr.core.records import Completion
from rlvr.rewards.signatures import is_trl_style
from rlvr.rewards.terms import completions_of

Correct = Callable[..., Any] | str
_THRESHOLD = re.compile(r"\s*(.+?)\s*(>=|>)\s*(-?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*")
WANTED = (
    "correct= takes a function (with TRL's reward signature, or of a rlvr.Completion) that gives True or False, the "
    "name of a reward with a threshold ('my_reward > 0.5'), or of a data set column with the gold answer"
)


class Verdicts:
    """Judge completions by `correct`: True, False, or None where nothing can be said.

    Args:
        correct: a function, "reward > threshold" (or >=), or the name of a column with the gold answer, which TRL's
            `accuracy_reward` compares with the completion's last \\boxed{} or formula (math-verify).
        rewards: the reward functions by name. A function that is one of them is not called again.
        columns: the columns of the training set.
        tags: the tags that prompts ask for, or another form of answer, for functions of a Completion.

    Raises:
        SpecError: `correct` is none of these, or names no reward or column.
    """

    def __init__(
        self,
        correct: Correct,
        rewards: Mapping[str, Any],
        columns: Sequence[str],
        tags: AnswerFormat | str | Sequence[str] = (),
    ):
        self.correct, self.columns, self.tags = correct, list(columns), tags
        self.threshold: tuple[str, str, float] | None = None
        self.given: str | None = None  # the reward that is the function
        self.of_completion = False
        self.column: str | None = None
        if callable(correct):
            self.given = next((name for name, reward in rewards.items() if reward is correct), None)
            try:
                self.of_completion = not is_trl_style(correct)
            except (TypeError, ValueError) as error:
                raise SpecError(f"correct={correct!r} cannot be called: {error}. {WANTED}.") from None
        elif not isinstance(correct, str):
            raise SpecError(f"{WANTED}; found {correct!r}.")
        elif comparison := _THRESHOLD.fullmatch(correct):
            name, sign, bound = comparison.groups()
            if name not in rewards:
                raise SpecError(did_you_mean("reward", name, rewards, "Its threshold decides what is right."))
            self.threshold = (name, sign, float(bound))
        elif correct in rewards:
            raise SpecError(f"correct={correct!r} names a reward: say from where on it means right, '{correct} > 0.5'.")
        elif correct not in self.columns:
            raise SpecError(did_you_mean("column", correct, self.columns, f"{WANTED}."))
        else:
            from trl.rewards import accuracy_reward  # here: math-verify and sympy take a second to import

            self.column, self._compare = correct, accuracy_reward

    def __call__(
        self,
        rows: Sequence[Mapping[str, Any]],
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        rewards: Mapping[str, Sequence[float]],
        judged: Sequence[Completion] | None = None,
    ) -> list[bool | None]:
        """Return the verdict of each completion; DataError where the function gave anything but a verdict.

        `rewards` maps each reward to its values (NaN: it did not apply).
        """
        if self.threshold is not None:
            name, sign, bound = self.threshold
            return [None if math.isnan(v) else v > bound or (sign == ">=" and v == bound) for v in rewards[name]]
        if self.given is not None:
            return [self._verdict(value) for value in rewards[self.given]]
        columns = {name: [row[name] for row in rows] for name in self.columns if name not in ("prompt", "completion")}
        if self.column is not None:
            texts = [[{"role": "assistant", "content": _text(c)}] for c in completions]
            return [self._verdict(v) for v in self._compare(texts, list(map(str, columns[self.column])))]
        assert callable(self.correct)
        if self.of_completion:
            judged = judged or completions_of(prompts, completions, completion_ids, columns, self.tags)
            return [self._verdict(self.correct(c)) for c in judged]
        values = self.correct(prompts=prompts, completions=completions, completion_ids=completion_ids, **columns)
        if len(values) != len(completions):
            raise DataError(f"correct={self.correct!r} gave {len(values)} values for {len(completions)} completions.")
        return [self._verdict(value) for value in values]

    def _verdict(self, value: Any) -> bool | None:
        value = value.item() if hasattr(value, "item") else value  # a NumPy or torch scalar
        if value is None or value != value:
            return None
        if value in (True, False):  # 1 and 0 too
            return bool(value)
        name = getattr(self.correct, "__name__", self.correct)
        raise DataError(
            f"correct={name} gave {value!r}, which is neither right (True, 1) nor wrong (False, 0). For a reward that "
            f"has values between, say from where on it means right: correct='{name} > 0.5'."
        )


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else completion[-1]["content"] or ""
