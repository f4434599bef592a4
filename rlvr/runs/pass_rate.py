"""Pass rates: attempts and successes per problem, from a profile and from what training saw."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy.stats import beta
from torch import Tensor

from rlvr.core.errors import DataError, RunError, SpecError
from rlvr.core.files import replacing
from rlvr.core.old_names import old_keywords
from rlvr.runs.directory import RunDir
from rlvr.runs.eval_file import evaluation_of

JEFFREYS = (0.5, 0.5)
THROWN = "thrown_away"  # what rollouts/*.parquet calls a completion that dynamic sampling did not use


class PassRate:
    """Count attempts and successes per problem id, read as a Beta posterior (no paper; Jeffreys' prior unless given).

    >>> pass_rates = PassRate()
    >>> pass_rates.update(["a"], torch.tensor([[True, False, False, False]]))
    >>> pass_rates.posterior_mean("a", prior=(1, 1))
    0.3333333333333333
    """

    def __init__(self, counts: Mapping[str, Sequence[float]] | None = None):
        self.counts: dict[str, tuple[float, float]] = {}
        for problem_id, (attempts, successes) in (counts or {}).items():
            self.add(problem_id, attempts, successes)

    def add(self, problem_id: str, attempts: float, successes: float) -> None:
        """Add to the counts of one problem; raises DataError unless 0 <= successes <= attempts.

        No attempts leave no trace, nor does an empty id: problems without a name must not share their counts.
        """
        if not 0 <= successes <= attempts:
            raise DataError(
                f"Problem {problem_id!r} cannot have {successes} successes in {attempts} attempts: "
                "the pass rates are damaged."
            )
        if attempts and problem_id:
            n, c = self.counts.get(problem_id, (0, 0))
            self.counts[problem_id] = (n + attempts, c + successes)

    def update(self, ids: Iterable[str], correct_PG: Tensor, scored_PG: Tensor | None = None) -> None:
        """Add a batch of groups; completions without a verdict (scored False) do not count."""
        scored_PG = torch.ones_like(correct_PG) if scored_PG is None else scored_PG
        attempts, successes = scored_PG.sum(1).tolist(), (correct_PG & scored_PG).sum(1).tolist()
        for problem_id, n, c in zip(ids, attempts, successes, strict=True):
            self.add(problem_id, n, c)

    def discount(self, factor: float) -> None:
        """Multiply every count by `factor` in (0, 1], so that old evidence fades.

        The policy changes, so what it did k batches ago counts factor^k; the evidence of a problem that is seen in
        every batch levels off at G / (1 - factor) attempts, and one that is no longer seen returns to the prior. So
        `drop_near_impossible` gives a problem another chance: 0 of 16 is back over 0.05 after 58 batches of 0.99.

        >>> pass_rates = PassRate({"a": (8, 2)})
        >>> pass_rates.discount(0.5)
        >>> pass_rates.counts
        {'a': (4.0, 1.0)}
        """
        if not 0 < factor <= 1:
            raise SpecError(f"A discount lies in (0, 1], got {factor}.")
        if factor < 1:
            self.counts = {i: (n * factor, c * factor) for i, (n, c) in self.counts.items()}

    def posterior_means(self, ids: Iterable[str], prior: tuple[float, float] = JEFFREYS) -> Tensor:
        """Return the posterior mean of each problem (N,); 0.5 for one never seen."""
        attempts, successes = self.lookup(ids)
        return (successes + prior[0]) / (attempts + sum(prior))

    def lookup(self, ids: Iterable[str]) -> tuple[Tensor, Tensor]:
        """Return attempts (P,) and successes (P,); 0 and 0 for a problem never seen."""
        pairs = torch.tensor([self.counts.get(i, (0, 0)) for i in ids], dtype=torch.float32).view(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def posterior_mean(self, problem_id: str, prior: tuple[float, float] = JEFFREYS) -> float:
        """Return (s + a) / (n + a + b), in (0, 1)."""
        n, c = self.counts.get(problem_id, (0, 0))
        return (c + prior[0]) / (n + sum(prior))

    def interval(
        self, problem_id: str, level: float = 0.95, prior: tuple[float, float] = JEFFREYS
    ) -> tuple[float, float]:
        """Return the central posterior interval of the pass rate, within [0, 1].

        >>> [round(x, 3) for x in PassRate({"a": (16, 0)}).interval("a")]
        [0.0, 0.143]
        """
        if not 0 < level < 1:
            raise SpecError(f"The level of an interval lies between 0 and 1, got {level}.")
        n, c = self.counts.get(problem_id, (0, 0))
        low, high = beta.interval(level, c + prior[0], n - c + prior[1])
        return float(low), float(high)

    def merge(self, other: "PassRate") -> "PassRate":
        """Return new pass rates with the counts of both.

        >>> PassRate({"a": (8, 1)}).merge(PassRate({"a": (8, 2), "b": (8, 8)})).counts
        {'a': (16, 3), 'b': (8, 8)}
        """
        out = PassRate(self.counts)
        for problem_id, pair in other.counts.items():
            out.add(problem_id, *pair)
        return out

    @classmethod
    def of(cls, source: Any) -> "PassRate":
        """Return the pass rates of a run (`rlvr.Run`, its directory or its difficulty.parquet) or of an evaluation.

        An evaluation is a .json file, an `rlvr.Evaluation`, or what one holds. Raises DataError for anything else.
        """
        if isinstance(source, cls):
            return source
        is_path = isinstance(source, str | os.PathLike)
        if is_path and Path(source).suffix == ".parquet":
            return cls.from_parquet(Path(source))
        folder = Path(source) if is_path else getattr(source, "path", None)
        if folder is not None and not hasattr(source, "contents") and Path(folder).is_dir():
            file = RunDir(Path(folder)).difficulty
            if not file.is_file():
                raise DataError(f"{folder} has no {file.name}: training has not begun, or this is no run's directory.")
            return cls.from_parquet(file)
        return cls.from_eval(evaluation_of(source, needs=("id", "correct")))

    @classmethod
    @old_keywords(record="evaluation")
    def from_eval(cls, evaluation: Mapping[str, Any]) -> "PassRate":
        """Return the pass rates of an evaluation; samples without a verdict do not count."""
        out = cls()
        for problem in evaluation["problems"]:
            verdicts = [s["correct"] for s in problem["samples"] if s["correct"] is not None]
            out.add(problem["id"], len(verdicts), sum(verdicts))
        return out

    @classmethod
    def from_rollouts(cls, folder: Path) -> "PassRate":
        """Return the pass rates of a run's `rollouts/` folder, with nothing faded.

        It counts completions with both a verdict and a reward, and those that dynamic sampling threw away.
        """
        out = cls()
        for path in sorted(folder.glob("*.parquet")):
            for row in _read(path, ["problem_id", "correct", "reward", "dropped_by"]):
                if row["correct"] is not None and (row["reward"] is not None or row["dropped_by"] == THROWN):
                    out.add(row["problem_id"], 1, int(row["correct"]))
        return out

    def to_parquet(self, path: Path) -> None:
        """Write columns problem_id, attempts, successes, atomically; RunError where that is impossible.

        The counts are int64, or float64 once some have faded.
        """
        ids = sorted(self.counts)
        whole = all(isinstance(x, int) for pair in self.counts.values() for x in pair)
        kind = pa.int64() if whole else pa.float64()
        columns = {
            "problem_id": pa.array(ids, pa.string()),
            "attempts": pa.array([self.counts[i][0] for i in ids], kind),
            "successes": pa.array([self.counts[i][1] for i in ids], kind),
        }
        try:
            with replacing(path) as temporary:
                pq.write_table(pa.table(columns), temporary)
        except OSError as error:
            raise RunError(f"Cannot write the pass-rate record {path}: {error}") from error

    @classmethod
    def from_parquet(cls, path: Path) -> "PassRate":
        """Read what `to_parquet` wrote; DataError for any other file."""
        rows = _read(path, ["problem_id", "attempts", "successes"])
        return cls({row["problem_id"]: (row["attempts"], row["successes"]) for row in rows})

    def state_dict(self) -> dict[str, list[float]]:
        """Return plain values, for a checkpoint."""
        return {problem_id: list(pair) for problem_id, pair in self.counts.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Replace the counts by those of `state_dict`."""
        self.counts = PassRate(state).counts

    def __len__(self) -> int:
        return len(self.counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PassRate) and self.counts == other.counts


def _read(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    try:
        return pq.read_table(path, columns=columns).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        named = ", ".join(columns)
        raise DataError(f"{path} is no Parquet file with the columns {named}: {error}") from error
