"""Carry one generation batch from the choice of its problems to the loss: all that TRL's hooks hand each other.

The order in which it fills up: choose problems -> sample -> judge -> reward -> credit. Lists and tensors over N hold
the completions of all processes, prompt-major (N = P * G); `rows` and what is sampled are this process's alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.core.records import Completion
from rlvr.training.curriculum.dynamic_sampling import Filled, Sample

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """Hold what is known of the N completions of a batch, those of all processes.

    Attributes:
        problem_ids: the problem that each answers.
        tokens: sampled tokens of each, the end token included.
        confidence_starts: how many of them stand before its confidence tag; all where there is none.
        truncated: whether it ran into the length limit.
        rewards_NF: the value of each reward function, NaN where it does not apply.
        completions: parsed and verified by a scorer; None where there is none.
        texts: completions that no scorer has looked at, for the rollouts file alone; None where nobody writes them.
        verdicts: what `correct=` says is right; None where it was not given.
    """

    problem_ids: list[str]
    tokens: list[int]
    confidence_starts: list[int]
    truncated: list[bool]
    rewards_NF: Tensor
    completions: list[Completion] | None = None
    texts: list[Completion] | None = None
    verdicts: list[bool | None] | None = None

    @property
    def correct(self) -> list[bool | None] | None:
        """Return the verdict on each completion (None: it could not be judged); None where nobody judges."""
        if self.verdicts or not self.completions:
            return self.verdicts
        return [c.correct for c in self.completions]


@dataclass(frozen=True)
class Draws:
    """Say with which probability (P,) each problem of a batch was drawn, and from how many."""

    propensity_P: Tensor
    set_size: int


@dataclass(eq=False)
class GenerationBatch:
    """Hold one generation batch while it is made.

    Attributes:
        rows: rows of the data set, one for each completion that this process samples.
        group_size: completions for each problem.
        training: False for a batch of an evaluation.
        number: micro-batches that were trained on before it; with the seed it decides what is sampled.
        step: the update that comes next, from 1.
        process, processes: which process this is, of how many.
        updates: optimizer steps that train on it; completions per update are its completions divided by this.
        draws: how likely each problem was, where they were drawn by their pass rates.
        filled: what came of filling it with mixed groups, where that was asked for.
        known: this process's completions, where they were sampled while choosing the problems.
        rows_sampled: completions that all processes have sampled for it; the next ones draw their noise after these.
        exact_logps: log-probabilities of this process's completions that need no second forward, or None.
        signal: what the advantage made; None where TRL's own advantages stay.
        metrics: names and values that are logged of it.
        judged: what is known of its completions; not there before they are judged and rewarded.
        rollouts: what the advantage read; not there before the credit.
    """

    rows: Sequence[Row] = ()
    group_size: int = 1
    training: bool = True
    number: int = 0
    step: int = 1
    process: int = 0
    processes: int = 1
    updates: float = 1.0
    draws: Draws | None = None
    filled: Filled | None = None
    known: Sequence[Sample] = ()
    rows_sampled: int = 0
    exact_logps: Sequence[Sequence[float]] | None = None
    signal: Signal | None = None
    metrics: list[tuple[str, float]] = field(default_factory=list)
    judged: Judged = field(init=False, repr=False)
    rollouts: Rollouts = field(init=False, repr=False)

    def local(self, rows_N: Any, count: int | None = None) -> Any:
        """Return this process's part of a gathered tensor or list: `count` rows, or as many as the batch has here."""
        count = len(self.rows) if count is None else count
        return rows_N[self.process * count :][:count]

    def log(self, values: Mapping[str, float]) -> None:
        """Add numbers to what is logged of this batch."""
        self.metrics += values.items()

    @property
    def thrown(self) -> list[Completion]:
        """Return the completions that were sampled, judged and thrown away while filling the batch."""
        return [] if self.filled is None else self.filled.thrown_completions

    @property
    def thrown_tokens(self) -> int:
        """Return how many tokens the thrown-away completions have, each with its prompt."""
        return 0 if self.filled is None else self.filled.thrown_tokens

    def forget_samples(self) -> None:
        """Forget what only this batch's own sampling and old log-probabilities may read."""
        self.known, self.exact_logps, self.rows_sampled = (), None, 0
