"""Choose the problems of a training batch: by pass rate, or so that every group is mixed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from datasets import Dataset
from trl import GRPOConfig

from rlvr.advantages import Transform
from rlvr.core.console import say
from rlvr.core.errors import SpecError
from rlvr.problems.scorer import Scorer
from rlvr.runs.pass_rate import PassRate
from rlvr.training.batch import Draws, GenerationBatch, Row
from rlvr.training.curriculum.difficulty_sampler import DifficultySampler
from rlvr.training.curriculum.dynamic_sampling import Group, fill
from rlvr.training.curriculum.fresh_problems import FreshProblems

SampleGroups = Callable[[GenerationBatch, Sequence[Row]], Sequence[Group]]


class Chooser(Protocol):
    """Put other problems into a batch than the training sampler did; `position` is what a checkpoint keeps."""

    position: int

    def __call__(self, batch: GenerationBatch) -> None:
        """Replace the rows of `batch`."""


@dataclass
class ByDifficulty:
    """Draw the problems of a batch by their pass rates, the same on every process.

    Args:
        sampler: pass rates -> draws.
        data: the training set, with a column `id`.
        pass_rates: what is known of each problem; read at every draw.
    """

    sampler: DifficultySampler
    data: Dataset
    pass_rates: PassRate
    position: int = 0  # none: a draw depends on seed, batch and pass rates alone

    def __call__(self, batch: GenerationBatch) -> None:
        """Replace the rows by drawn ones and state how likely each problem was."""
        count = len(batch.rows) // batch.group_size
        rate_N = self.pass_rates.posterior_means(self.data["id"])
        index_P, propensity_P = self.sampler.draw(rate_N, count * batch.processes, batch.number)
        batch.draws = Draws(propensity_P, len(self.data))
        mine = batch.local(index_P, count).tolist()
        batch.rows = [row for i in mine for row in [self.data[i]] * batch.group_size]


@dataclass
class ByFilling:
    """Replace groups that are not mixed by mixed groups of fresh problems (curriculum/dynamic_sampling.py).

    Args:
        fresh: deals further problems.
        data: the training set, with a column `id`.
        tries: how often fresh problems are sampled for one batch at most.
        sample: samples and judges one completion for each row, and returns the groups of all processes.
    """

    fresh: FreshProblems
    data: Dataset
    tries: int
    sample: SampleGroups = field(repr=False)

    @property
    def position(self) -> int:
        """Return how many problems were dealt."""
        return self.fresh.position

    @position.setter
    def position(self, dealt: int) -> None:
        self.fresh.position = dealt

    @cached_property
    def _row_of(self) -> dict[str, int]:
        """Return problem id -> row of the training set."""
        return {problem_id: row for row, problem_id in enumerate(self.data["id"])}

    def __call__(self, batch: GenerationBatch) -> None:
        """Sample until every group is mixed or the tries are spent; the batch then knows its completions."""
        n, size, world = len(batch.rows), batch.group_size, batch.processes
        unit = world // math.gcd(world, size)  # so many groups give every process as many completions

        def more(count: int) -> Sequence[Group]:
            index = self.fresh.take(-(-count // unit) * unit, seen)
            index = index[: len(index) // unit * unit]
            seen.update(index)
            rows = [row for i in index for row in [self.data[i]] * size]
            return self.sample(batch, batch.local(rows, len(rows) // world))

        first = self.sample(batch, batch.rows)
        seen = {self._row_of[group[0].completion.problem.id] for group in first}
        batch.filled = fill(first, self.tries, more)
        batch.known = batch.local([s for group in batch.filled.batch for s in group], n)
        batch.rows = [dict(s.row) for s in batch.known]
        batch.log(batch.filled.metrics())
        if batch.filled.unfilled:
            say(
                f"step {batch.step}: after {batch.filled.tries} more tries (at most {self.tries}) "
                f"{batch.filled.unfilled} of {len(first)} groups are all right or all wrong; they take no part"
            )


def make_chooser(
    args: GRPOConfig,
    data: Dataset,
    pass_rates: PassRate,
    scorer: Scorer | None,
    advantage: Transform | None,
    sample: SampleGroups,
) -> Chooser | None:
    """Return what chooses the problems by these settings; None leaves them to the training sampler.

    Raises SpecError for settings that do not go together.
    """
    seed = args.seed if args.data_seed is None else args.data_seed
    tries, band = getattr(args, "dynamic_sampling_tries", 0), getattr(args, "difficulty_band", [])
    if tries and (scorer is None or advantage is None):
        raise SpecError("dynamic_sampling_tries needs a scorer, which says what is right, and an advantage.")
    drawn = (
        ByDifficulty(DifficultySampler(tuple(band), args.difficulty_floor, seed), data, pass_rates) if band else None
    )
    if tries and drawn is not None:
        raise SpecError("difficulty_band and dynamic_sampling_tries both choose the problems: take one of them.")
    if tries:
        return ByFilling(FreshProblems(len(data), seed + 1), data, tries, sample)  # another order than the epochs'
    return drawn
