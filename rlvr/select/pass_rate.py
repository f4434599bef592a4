"""The pass-rate record: attempts and successes per problem, from a profile and from what training has seen."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy.stats import beta
from torch import Tensor


class PassRate:
    """Counts per problem id, read as a Beta posterior.

    >>> record = PassRate()
    >>> record.update(["a"], torch.tensor([[True, False, False, False]]), torch.ones(1, 4).bool())
    >>> record.posterior_mean("a", prior=(1, 1))
    0.3333333333333333
    """

    def __init__(self, counts: Mapping[str, tuple[int, int]] | None = None):
        self.counts: dict[str, tuple[int, int]] = dict(counts or {})

    def add(self, problem_id: str, attempts: int, successes: int) -> None:
        """Add to the counts of one problem."""
        n, c = self.counts.get(problem_id, (0, 0))
        self.counts[problem_id] = (n + attempts, c + successes)

    def update(self, ids: Iterable[str], correct_PG: Tensor, scored_PG: Tensor) -> None:
        """Add a batch of groups; completions without a verdict (scored False) do not count."""
        attempts, successes = scored_PG.sum(1).tolist(), (correct_PG & scored_PG).sum(1).tolist()
        for problem_id, n, c in zip(ids, attempts, successes, strict=True):
            self.add(problem_id, n, c)

    def lookup(self, ids: Iterable[str]) -> tuple[Tensor, Tensor]:
        """Return attempts (P,) and successes (P,); 0 and 0 for a problem never seen."""
        pairs = torch.tensor([self.counts.get(i, (0, 0)) for i in ids], dtype=torch.float32).view(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def posterior_mean(self, problem_id: str, prior: tuple[float, float] = (0.5, 0.5)) -> float:
        """Return (s + a) / (n + a + b), in (0, 1)."""
        n, c = self.counts.get(problem_id, (0, 0))
        return (c + prior[0]) / (n + sum(prior))

    def interval(
        self, problem_id: str, level: float = 0.95, prior: tuple[float, float] = (0.5, 0.5)
    ) -> tuple[float, float]:
        """Return the central posterior interval of the pass rate."""
        n, c = self.counts.get(problem_id, (0, 0))
        low, high = beta.interval(level, c + prior[0], n - c + prior[1])
        return float(low), float(high)

    @classmethod
    def from_eval(cls, record: Mapping[str, Any]) -> "PassRate":
        """Return the record of an evaluation; samples without a verdict do not count."""
        out = cls()
        for problem in record["problems"]:
            verdicts = [s["correct"] for s in problem["samples"] if s["correct"] is not None]
            out.add(problem["id"], len(verdicts), sum(verdicts))
        return out

    def to_parquet(self, path: Path) -> None:
        """Write columns problem_id, attempts, successes, atomically."""
        ids = sorted(self.counts)
        columns = {
            "problem_id": pa.array(ids, pa.string()),
            "attempts": pa.array([self.counts[i][0] for i in ids], pa.int64()),
            "successes": pa.array([self.counts[i][1] for i in ids], pa.int64()),
        }
        temporary = path.with_suffix(".tmp")
        pq.write_table(pa.table(columns), temporary)
        os.replace(temporary, path)

    @classmethod
    def from_parquet(cls, path: Path) -> "PassRate":
        """Read what `to_parquet` wrote."""
        rows = pq.read_table(path).to_pylist()
        return cls({r["problem_id"]: (r["attempts"], r["successes"]) for r in rows})

    def state_dict(self) -> dict[str, list[int]]:
        """Return plain values, for a checkpoint."""
        return {problem_id: list(pair) for problem_id, pair in self.counts.items()}

    def load_state_dict(self, state: Mapping[str, list[int]]) -> None:
        """Replace the counts by those of `state_dict`."""
        self.counts = {problem_id: (pair[0], pair[1]) for problem_id, pair in state.items()}

    def __len__(self) -> int:
        return len(self.counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PassRate) and self.counts == other.counts
