"""Dynamic sampling: groups that teach nothing are replaced by mixed groups of fresh problems (DAPO, 2503.14476).

A group is *mixed* when it holds a right and a wrong completion, read from `correct`, never from the shaped reward. This
is the third meaning of "drop": not zero credit, not leaving the loss, but sampling again, so it costs rollouts, which
are counted. What is thrown away was still observed: the pass-rate record gets it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def mixed_groups(correct_PG: Tensor, scored_PG: Tensor) -> Tensor:
    """Return which groups (P,) hold both a right and a wrong completion; a failed verification is neither.

    >>> mixed_groups(torch.tensor([[True, False], [True, True]]), torch.ones(2, 2, dtype=torch.bool))
    tensor([ True, False])
    """
    return (correct_PG & scored_PG).any(1) & (~correct_PG & scored_PG).any(1)


def fill(mixed_RP: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Return (round, group) for each of P places: round 0's, but later mixed groups where they are not mixed.

    Later rounds fill in the order in which they came; what cannot be filled stays as it was.

    >>> fill([torch.tensor([True, False, False]), torch.tensor([False, True, False])])
    [(0, 0), (1, 1), (0, 2)]
    """
    spare = [(r, int(p)) for r, mixed_P in enumerate(mixed_RP) if r for p in mixed_P.nonzero()[:, 0]]
    return [(0, p) if good or not spare else spare.pop(0) for p, good in enumerate(mixed_RP[0].tolist())]


def take_rows(rounds: Sequence[Any], rows: Sequence[tuple[int, int]]) -> Any:
    """Return the chosen (round, row) entries of what each round has: a tensor, a list, or None everywhere."""
    if rounds[0] is None:
        return None
    chosen = [rounds[r][i] for r, i in rows]
    return torch.stack(chosen) if isinstance(rounds[0], Tensor) else chosen


def merge_batches(batches: Sequence[dict[str, Any]], rows: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return TRL's batch of the chosen (round, row): prompts padded on the left, completions on the right.

    Scalars are recounted (`num_items_in_batch`, the completion tokens that are scored) or kept from the first round.

    >>> one, two = torch.tensor([[1, 2]]), torch.tensor([[3]])
    >>> batches = [{"completion_ids": ids, "completion_mask": torch.ones_like(ids)} for ids in (one, two)]
    >>> merge_batches(batches, [(0, 0), (1, 0)])["completion_ids"]
    tensor([[1, 2],
            [3, 0]])
    """
    merged = {}
    for key, first in batches[0].items():
        values = [batch[key] for batch in batches]
        if isinstance(first, Tensor) and first.dim() == 2:
            values = _same_width(values, left=key.startswith("prompt"))
        merged[key] = first if isinstance(first, Tensor) and first.dim() == 0 else take_rows(values, rows)
    if "num_items_in_batch" in merged:
        scored = merged["completion_mask"] * merged.get("tool_mask", 1)
        merged["num_items_in_batch"] = scored.sum().to(merged["num_items_in_batch"])
    return merged


def _same_width(values: Sequence[Tensor], left: bool) -> list[Tensor]:
    width = max(v.shape[1] for v in values)
    gaps = [width - v.shape[1] for v in values]
    return [torch.nn.functional.pad(v, (gap, 0) if left else (0, gap)) for v, gap in zip(values, gaps, strict=True)]


class FreshProblems:
    """The order in which extra problems are drawn: shuffled passes over the set, with a position to checkpoint.

    >>> fresh = FreshProblems(3, seed=0)
    >>> sorted(fresh.take(3)), fresh.position
    ([0, 1, 2], 3)
    """

    def __init__(self, size: int, seed: int):
        self.size, self.seed, self.position = size, seed, 0

    def take(self, count: int) -> list[int]:
        """Return the next `count` indices; each pass over the set holds every problem once."""
        found = []
        for place in range(self.position, self.position + count):
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + place // self.size)
            found.append(int(torch.randperm(self.size, generator=generator)[place % self.size]))
        self.position += count
        return found
