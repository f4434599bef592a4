"""Show the signal after each step of a chain: the shortest explanation of an algorithm."""

import torch
from torch import Tensor

from rlvr.advantages.base import Transform
from rlvr.advantages.chain import chain
from rlvr.advantages.rollouts import Rollouts, Signal

_LUCKY = [1.0] + 7 * [0.0]

# Five groups of eight; the last problem was solved in 0 of 32 attempts before this batch.
EXAMPLES = Rollouts.of(
    [4 * [1.0] + 4 * [0.0], _LUCKY, 8 * [0.0], 8 * [1.0], _LUCKY],
    attempts_P=[16, 16, 16, 16, 32],
    successes_P=[8, 2, 1, 16, 0],
    ids=("4 right of 8", "1 right of 8", "all wrong", "all right", "lucky, record 0/32"),
)


def explain_rows(rollouts: Rollouts, transform: Transform) -> list[tuple[str, list[str]]]:
    """Return (label, cells) pairs, one cell per group: the reward, the signal after each step, what is left.

    A cell of the signal is "credit of the right / of the wrong completions": one number where they agree,
    else the lowest..highest, "-" where none is kept. A per-token signal shows its mean over tokens. The
    last rows count the kept completions, and those which each transform dropped.
    """
    signal = Signal.start(rollouts)
    rows = [("reward", _cells(rollouts, signal))]
    for step in transform.transforms if isinstance(transform, chain) else (transform,):
        signal = step(rollouts, signal)
        rows.append((repr(step), _cells(rollouts, signal)))
    rows.append(("kept in the loss", [f"{int(k.sum())} of {k.numel()}" for k in signal.keep_PG]))
    for name, mask_PG in signal.dropped.items():
        rows.append((f"dropped by {name}", [str(int(mask.sum())) for mask in mask_PG]))
    return rows


def explain(rollouts: Rollouts, transform: Transform) -> str:
    """Return a plain-text table of `explain_rows`, one column per group (right / wrong completions).

    >>> from rlvr.advantages import nsr
    >>> print(explain(Rollouts.of([[1.0, 0.0], [0.0, 0.0]], ids=("mixed", "all wrong")), nsr()))
                              mixed            all wrong
    reward                    +1.000 / 0.000   - / 0.000
    signed()                  +1.000 / -1.000  - / -1.000
    keep_negative()           - / -1.000       - / -1.000
    kept in the loss          1 of 2           2 of 2
    dropped by keep_negative  1                0
    """
    rows = [("", list(rollouts.ids)), *explain_rows(rollouts, transform)]
    table = [[label, *cells] for label, cells in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def _cells(rollouts: Rollouts, signal: Signal) -> list[str]:
    adv_PG = signal.adv if signal.adv.dim() == 2 else signal.adv.mean(-1)
    return [
        f"{_credit(adv[keep & right])} / {_credit(adv[keep & ~right])}"
        for adv, keep, right in zip(adv_PG, signal.keep_PG, rollouts.correct_PG, strict=True)
    ]


def _credit(values: Tensor) -> str:
    if not len(values):
        return "-"
    low, high = (f"{v:+.3f}" if abs(v) > 5e-4 else "0.000" for v in torch.aminmax(values))
    return low if low == high else f"{low}..{high}"
