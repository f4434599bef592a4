"""Shows the signal after each step of a chain: the shortest explanation of an algorithm."""

from collections.abc import Sequence

import torch

from rlvr.advantages.base import Transform
from rlvr.advantages.chain import chain
from rlvr.rollouts import Rollouts, Signal

_RIGHT = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0], [0] * 8, [1] * 8, [1, 0, 0, 0, 0, 0, 0, 0]])

# Five groups of eight; the last problem was solved in 0 of 32 attempts before this batch.
EXAMPLES = Rollouts.of(
    _RIGHT.float(),
    attempts_P=[16, 16, 16, 16, 32],
    successes_P=[8, 2, 1, 16, 0],
    ids=("4 right of 8", "1 right of 8", "all wrong", "all right", "lucky, record 0/32"),
)


def explain_rows(rollouts: Rollouts, transform: Transform) -> list[tuple[str, list[str]]]:
    """Return (step, cells) pairs: in each cell the credit of right and of wrong completions, "-" where none is kept."""
    signal = Signal.start(rollouts)
    rows = [("reward", _cells(rollouts, signal))]
    for step in transform.transforms if isinstance(transform, chain) else (transform,):
        signal = step(rollouts, signal)
        rows.append((repr(step), _cells(rollouts, signal)))
    kept = [f"{int(k.sum())} of {k.numel()}" for k in signal.keep_PG]
    return [*rows, ("kept in the loss", kept)]


def explain(rollouts: Rollouts, transform: Transform) -> str:
    """Return a plain-text table of the signal after each step, one column per group (right / wrong completions).

    >>> from rlvr.advantages import keep_negative, signed
    >>> print(explain(Rollouts.of([[1.0, 0.0], [0.0, 0.0]], ids=("mixed", "all wrong")), chain(signed(), keep_negative())))
                      mixed            all wrong
    reward            +1.000 / 0.000   - / 0.000
    signed()          +1.000 / -1.000  - / -1.000
    keep_negative()   - / -1.000       - / -1.000
    kept in the loss  1 of 2           2 of 2
    """
    rows = [("", list(rollouts.ids)), *explain_rows(rollouts, transform)]
    first = max(len(name) for name, _ in rows)
    widths = [max(len(cells[i]) for _, cells in rows) for i in range(len(rows[0][1]))]
    lines = []
    for name, cells in rows:
        line = "  ".join([name.ljust(first), *(cell.ljust(w) for cell, w in zip(cells, widths, strict=True))])
        lines.append(line.rstrip())
    return "\n".join(lines)


def _cells(rollouts: Rollouts, signal: Signal) -> list[str]:
    return [
        f"{_credit(adv[keep & right])} / {_credit(adv[keep & ~right])}"
        for adv, keep, right in zip(signal.adv, signal.keep_PG, rollouts.correct_PG, strict=True)
    ]


def _credit(values: Sequence[float] | torch.Tensor) -> str:
    distinct = sorted({f"{v:+.3f}" if abs(v) > 5e-4 else "0.000" for v in torch.as_tensor(values).tolist()})
    return " ".join(distinct) if distinct else "-"
