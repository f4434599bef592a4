"""Replace groups that teach nothing by mixed groups of fresh problems (DAPO, 2503.14476).

This is the third meaning of "drop": not zero credit, not leaving the loss, but sampling again, so it costs rollouts,
which are counted. It is settled before TRL sees the batch, whose metrics and tables then hold each completion once.
What is thrown away was still observed: the pass rates get it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlvr.core.records import Completion


@dataclass(frozen=True)
class Sample:
    """Hold one sampled completion, as every process knows it.

    Attributes:
        row: its row of the training set.
        prompt_tokens: length of its prompt in tokens.
        ids: its tokens, the end token included.
        logps: what the engine returned as log-probabilities (vLLM), or None.
        exact_logps: log-probabilities that need no second forward, or None.
        completion: parsed and verified.
    """

    row: Mapping[str, Any]
    prompt_tokens: int
    ids: list[int]
    logps: Any
    exact_logps: list[float] | None
    completion: Completion


Group = Sequence[Sample]


@dataclass(frozen=True)
class Filled:
    """Hold what came of filling one batch.

    Attributes:
        batch: as many groups as there were at first; the last `unfilled` of them are not mixed.
        thrown: every other group that was sampled.
        unfilled: groups of the batch for which no mixed one was found.
        tries: how often fresh problems were sampled.
    """

    batch: list[Group]
    thrown: list[Group]
    unfilled: int
    tries: int

    @property
    def thrown_completions(self) -> list[Completion]:
        """Return the completions that were thrown away, group by group."""
        return [s.completion for group in self.thrown for s in group]

    @property
    def thrown_tokens(self) -> int:
        """Return how many tokens those completions have, each with its prompt."""
        return sum(s.prompt_tokens + len(s.ids) for group in self.thrown for s in group)

    def metrics(self) -> dict[str, float]:
        """Return metric name -> value; formulas in docs/metrics.md."""
        sampled = [s for group in (*self.batch, *self.thrown) for s in group]
        return {
            "dynamic/tries": self.tries,
            "dynamic/rollouts": len(sampled),
            "dynamic/thrown_away": len(self.thrown),
            "dynamic/filled": 1 - self.unfilled / len(self.batch),
            "dynamic/accuracy": sum(s.completion.correct is True for s in sampled) / len(sampled),
        }


def is_mixed(group: Group) -> bool:
    """Return whether a group holds a right and a wrong completion, by the verifier and never by the reward.

    A reward with a length or format term has spread in groups that are all wrong; completions without a verdict say
    nothing. Source: 2503.14476, 0 < right completions < G.
    """
    verdicts = {s.completion.correct for s in group}
    return {True, False} <= verdicts


def ask_for(missing: int, sampled: int, mixed: int, most: int) -> int:
    """Return how many problems to sample next: missing / (share of mixed groups so far), rounded up, at most `most`.

    >>> ask_for(missing=2, sampled=4, mixed=2, most=4), ask_for(missing=1, sampled=4, mixed=3, most=4)
    (4, 2)
    >>> ask_for(missing=4, sampled=4, mixed=0, most=4)
    4
    """
    return min(most, math.ceil(missing * sampled / mixed)) if mixed else most


def fill(first: Sequence[Group], tries: int, more: Callable[[int], Sequence[Group]]) -> Filled:
    """Replace the groups of `first` that are not mixed by groups of fresh problems, in at most `tries` tries.

    `more(n)` samples n fresh problems (fewer, or none, when they run out). Groups are taken in the order in which they
    were sampled, so surplus mixed groups of the last try are thrown away. When the tries or the problems run out,
    groups that are not mixed fill the end of the batch: they keep its shape and must carry no credit.
    Source: DAPO, 2503.14476, section 3.2; sampling only what is missing is ours.
    """
    want, groups, done = len(first), list(first), 0
    kept = [g for g in groups if is_mixed(g)]
    while len(kept) < want and done < tries:
        fresh = more(ask_for(want - len(kept), len(groups), len(kept), want))
        if not fresh:
            break
        groups += fresh
        kept += [g for g in fresh if is_mixed(g)]
        done += 1
    kept = kept[:want]
    chosen = {id(g) for g in kept}
    rest = [g for g in groups if id(g) not in chosen]
    unfilled = want - len(kept)
    return Filled(kept + rest[:unfilled], rest[unfilled:], unfilled, done)
