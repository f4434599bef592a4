"""Judge the completions of a batch: parse and verify each once, ask `correct=`, and gather what all processes know."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelerate.utils import gather_object
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rlvr.core.answer_format import DEFAULT
from rlvr.core.records import Completion, Problem
from rlvr.problems.scorer import Scorer
from rlvr.runs.rollouts_file import problem_name, unjudged
from rlvr.training.batch import GenerationBatch, Judged, Row
from rlvr.training.confidence_start import confidence_start
from rlvr.training.curriculum.dynamic_sampling import Group, Sample
from rlvr.training.verdicts import Verdicts


@dataclass
class Judge:
    """Say what is right, by a scorer or by `correct=`.

    Args:
        scorer: parses and verifies completions; None where there is no verifier.
        problems: id -> Problem, for the `id` column of the rows.
        verdicts: `correct=`, or None; it has the last word.
        tokenizer: decodes a completion's tokens.
        eos_ids: every token id that ends a completion.
        prompt_end: how prompts that are chats end (`rlvr.models.chat.prompt_end`): a template may open the thinking.
        keep_texts: gather the texts too where no scorer makes completions of them, for the rollouts file.
    """

    scorer: Scorer | None
    problems: Mapping[str, Problem]
    verdicts: Verdicts | None
    tokenizer: PreTrainedTokenizerBase
    eos_ids: Collection[int]
    prompt_end: str | None = None
    keep_texts: bool = False

    @property
    def judges(self) -> bool:
        """Return whether anybody says what is right."""
        return self.scorer is not None or self.verdicts is not None

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags that the scorer reads."""
        return self.scorer.tags if self.scorer is not None else ()

    def truncated(self, ids: Sequence[Sequence[int]]) -> list[bool]:
        """Return which completions have no end token."""
        return [not row or row[-1] not in self.eos_ids for row in ids]

    def complete(
        self, rows: Sequence[Row], texts: Sequence[str], ids: Sequence[Sequence[int]]
    ) -> list[Completion] | None:
        """Return the texts as completions, parsed and verified; None without a scorer."""
        if self.scorer is None:
            return None
        problems, lengths = [self.problems[row["id"]] for row in rows], list(map(len, ids))
        if not isinstance(self.scorer, Scorer):  # a callable of the user's reads no more than these
            return self.scorer(problems, texts, lengths, self.truncated(ids))
        end = self.prompt_end if rows and isinstance(rows[0].get("prompt"), list) else None
        return self.scorer(problems, texts, lengths, self.truncated(ids), end)

    def texts(self, answers: Sequence[Any], ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of TRL's completions as evaluation reads them: whole.

        A tokenizer with a `response_template` makes TRL take the reasoning out of a reply, so its tokens are decoded
        here again. A conversation with tools has several messages, of which the first is read.
        """
        if all(getattr(self.tokenizer, name, None) is None for name in ("response_template", "response_schema")):
            return texts_of(answers)
        whole = [self.tokenizer.decode(row, skip_special_tokens=True) for row in ids]
        return [
            text if not isinstance(answer, list) or len(answer) == 1 else answer[0]["content"]
            for answer, text in zip(answers, whole, strict=True)
        ]

    def completions(
        self, batch: GenerationBatch, rows: Sequence[Row], answers: Sequence[Any], ids: Sequence[Sequence[int]]
    ) -> list[Completion] | None:
        """Return this process's completions, each parsed and verified once: those of the filling already are."""
        return [s.completion for s in batch.known] or self.complete(rows, self.texts(answers, ids), ids)

    def gather(
        self,
        batch: GenerationBatch,
        rows: Sequence[Row],
        prompts: Sequence[Any],
        answers: Sequence[Any],
        ids: Sequence[Sequence[int]],
        completions: list[Completion] | None,
        rewards_NF: Tensor,
        reward_names: Sequence[str],
    ) -> Judged:
        """Return what all processes know of the batch; `rewards_NF` is gathered already."""
        verdicts = texts = None
        if self.verdicts is not None:
            columns = batch.local(rewards_NF, len(rows)).T.tolist()
            rewards = dict(zip(reward_names, columns, strict=True))
            verdicts = self.verdicts(rows, prompts, answers, ids, rewards, completions)
        if completions is None and self.keep_texts:
            texts = [unjudged(*row) for row in zip(rows, self.texts(answers, ids), ids, strict=True)]
        split = "confidence" in self.tags
        form = self.scorer.answers if isinstance(self.scorer, Scorer) else DEFAULT
        starts = [confidence_start(self.tokenizer, row, form) if split else len(row) for row in ids]
        return Judged(
            problem_ids=gather_object([problem_name(row) for row in rows]),
            tokens=gather_object(list(map(len, ids))),
            confidence_starts=gather_object(starts),
            truncated=gather_object(self.truncated(ids)),
            rewards_NF=rewards_NF,
            completions=None if completions is None else gather_object(completions),
            texts=None if texts is None else gather_object(texts),
            verdicts=None if verdicts is None else gather_object(verdicts),
        )

    def groups(
        self,
        batch: GenerationBatch,
        rows: Sequence[Row],
        prompt_lengths: Sequence[int],
        texts: Sequence[str],
        ids: Sequence[Sequence[int]],
        logps: Sequence[Any] | None,
    ) -> list[Group]:
        """Return sampled completions of all processes, judged, group by group; SpecError without a scorer."""
        completions = self.complete(rows, texts, ids)
        assert completions is not None  # curriculum/choose.py has asked for a scorer
        none = [None] * len(rows)
        columns = (rows, prompt_lengths, ids, logps or none, batch.exact_logps or none, completions)
        samples = gather_object([Sample(*values) for values in zip(*columns, strict=True)])
        return [samples[i : i + batch.group_size] for i in range(0, len(samples), batch.group_size)]


def texts_of(answers: Sequence[Any]) -> list[str]:
    """Return the texts of TRL's completions: plain ones, or the first message of chats.

    >>> texts_of(["4", [{"role": "assistant", "content": "5"}]])
    ['4', '5']
    """
    return [answer[0]["content"] if isinstance(answer, list) else answer for answer in answers]
