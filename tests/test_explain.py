"""The table that explains an algorithm: each cell against the signal it stands for, and the examples."""

import re

import pytest
import torch

from rlvr.advantages import EXAMPLES, RECIPES, Transform, build, explain, explain_rows, group_center
from rlvr.advantages.rollouts import Rollouts, Signal


def test_the_table_of_grpo_with_the_filter():
    """The golden values 2.4742 and -.3535 (test_advantages.py), (4/8: .5 / (.534522 + .0001) = .935)."""
    expected = """
                                                            4 right of 8     1 right of 8     all wrong  all right   lucky, record 0/32
    reward                                                  +1.000 / 0.000   +1.000 / 0.000   - / 0.000  +1.000 / -  +1.000 / 0.000
    group_center()                                          +0.500 / -0.500  +0.875 / -0.125  - / 0.000  0.000 / -   +0.875 / -0.125
    group_scale(eps=0.0001, ddof=1)                         +0.935 / -0.935  +2.474 / -0.353  - / 0.000  0.000 / -   +2.474 / -0.353
    drop_near_impossible(threshold=0.05, prior=(0.5, 0.5))  +0.935 / -0.935  +2.474 / -0.353  - / 0.000  0.000 / -   - / -
    kept in the loss                                        8 of 8           8 of 8           8 of 8     8 of 8      0 of 8
    dropped by drop_near_impossible                         0                0                0          0           8
    """
    lines = [line[4:].rstrip() for line in expected.split("\n")[1:-1]]
    assert explain(EXAMPLES, build("grpo, drop_near_impossible")).split("\n") == lines


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_row_per_step_that_names_it(name):
    algorithm = build(name)
    rows = explain_rows(EXAMPLES, algorithm)
    assert rows[0][0] == "reward"
    assert [label for label, _ in rows[1 : 1 + len(algorithm.transforms)]] == [repr(t) for t in algorithm.transforms]
    assert all(len(cells) == len(EXAMPLES.ids) for _, cells in rows)


@pytest.mark.parametrize("name", [*RECIPES, "drop_zero_signal, grpo", "dr_grpo, mask_sign"])
def test_cells_hold_the_numbers_of_the_signal(name):
    """The last step's cells, read back, are the signal itself; the counts are those of its masks."""
    algorithm = build(name)
    signal, rows = algorithm(EXAMPLES), explain_rows(EXAMPLES, algorithm)
    for p, cell in enumerate(rows[len(algorithm.transforms)][1]):
        for text, right in zip(cell.split(" / "), (True, False), strict=True):
            mine = signal.adv[p][signal.keep_PG[p] & (EXAMPLES.correct_PG[p] == right)]
            if text == "-":
                assert not len(mine)
            else:
                torch.testing.assert_close(mine, torch.full_like(mine, float(text)), atol=5e-4, rtol=0)
    counts = dict(rows)
    assert counts["kept in the loss"] == [f"{int(k)} of 8" for k in signal.keep_PG.sum(1)]
    for dropper, mask in signal.dropped.items():
        assert counts[f"dropped by {dropper}"] == [str(int(n)) for n in mask.sum(1)]


def test_the_examples_are_what_their_names_say():
    right = EXAMPLES.correct_PG.sum(1).tolist()
    assert dict(zip(EXAMPLES.ids, right, strict=True)) == {
        "4 right of 8": 4, "1 right of 8": 1, "all wrong": 0, "all right": 8, "lucky, record 0/32": 1,
    }  # fmt: skip
    assert (EXAMPLES.attempts_P[-1], EXAMPLES.successes_P[-1]) == (32, 0)
    kept = build("drop_near_impossible")(EXAMPLES).keep_PG.all(1).tolist()
    assert kept == [True, True, True, True, False]  # the two lone successes differ only in their record


def test_differing_credits_show_as_a_range_and_unscored_ones_as_dropped():
    rollouts = Rollouts.of([[0.9, 0.5, 0.1, torch.nan]], [[True, True, False, False]], ids=("brier",))
    rows = dict(explain_rows(rollouts, group_center()))  # a single transform, not a chain
    assert rows["reward"] == ["+0.500..+0.900 / +0.100"]
    assert rows["group_center()"] == ["0.000..+0.400 / -0.400"]
    assert rows["kept in the loss"] == ["3 of 4"]
    assert rows["dropped by unscored"] == ["1"]


def test_a_per_token_signal_shows_its_mean_over_tokens():
    class spread(Transform):
        def apply(self, rollouts, signal):
            return Signal(signal.adv[..., None] * torch.tensor([0.0, 2.0]), signal.keep_PG)

    assert explain_rows(Rollouts.of([[1.0, 0.0]]), spread())[1][1] == ["+1.000 / 0.000"]


def test_lines_are_aligned_and_without_trailing_blanks():
    lines = explain(EXAMPLES, build("nsr")).split("\n")
    starts = [m.start() for m in re.finditer(r"(?<=  )\S", lines[1])]
    for line in lines:
        assert line == line.rstrip()
        assert all(line[s] != " " and line[s - 1] == " " for s in starts)
