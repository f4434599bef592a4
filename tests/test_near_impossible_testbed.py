"""The near-impossible finding on the testbed: its problems, its rewards, its exact chance, and how it is judged."""

import math
import sys

import numpy as np
import pytest
import torch

from rlvr.advantages import build
from rlvr.advantages.rollouts import Rollouts
from rlvr.config.settings import TrainConfig, build_config
from rlvr.core.parse import render
from rlvr.core.records import Completion
from rlvr.planning.ablation.arms import check_ablation
from rlvr.planning.resolve import resolve_config
from rlvr.problems.sets import ProblemSet
from rlvr.rewards.terms import load_terms
from tests.conftest import REPO

sys.path.insert(0, str(REPO / "scripts" / "findings"))
import near_impossible_testbed as finding
from parts import near_impossible_runs as runs
from parts.testbed_runs import COMMON


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    monkeypatch.chdir(REPO)  # the set and the rewards are named relative to it


def problems(cell: str, split: str = "test", size: int = 24, table: int = 5):
    return ProblemSet.of(f"{runs.SET}(cell={cell!r}, table={table})").load(split, size, 0)


def known(text: str) -> float:
    """Return the product of the teacher's chances, counted afresh: 0.99 for a to 0.02 for z."""
    return math.prod(0.99 + (ord(letter) - ord("a")) * (0.02 - 0.99) / 25 for letter in text[1:])


def test_cells_hold_what_they_say_and_each_text_once():
    """Bounds by the formula; a problem depends on its index alone; no text is trained and tested."""
    for cell, (low, high) in {"easy": (0.7, 1), "medium": (0.2, 0.6), "hard": (0, 0.02), "all": (0, 1)}.items():
        texts = [p.meta["text"] for p in problems(cell)]
        assert all(low - 1e-9 <= known(text) <= high + 1e-9 and len(text) == 4 for text in texts)
        assert len(set(texts)) == 24 and texts[:10] == [p.meta["text"] for p in problems(cell, size=10)]
        assert not set(texts) & {p.meta["text"] for p in problems(cell, "train", 60)}
    mixed = [known(p.meta["text"]) < 0.1 for p in problems("mixture", "train")]
    assert mixed == [True, False] * 12


def test_the_right_text_is_the_sets_own_solution():
    data = ProblemSet.of(f"{runs.SET}(table=5)")
    for problem in data.load("test", 40, 0):
        assert runs.right_text(problem) == render(data.solution(problem), data.gold(problem), tags=runs.TAGS)


def test_the_large_space_pays_no_luck():
    [term] = load_terms(runs.SPACES["large"])
    problem = problems("hard", size=1)[0]
    right = runs.right_text(problem)
    step = right[len("<think>") :][:3]
    wrong = right.replace(step, step[:2] + str((int(step[2]) + 1) % 10), 1)
    verdicts = [(right, True), (wrong, True), (right, False), (right + right, True), (f" {right}\n", True)]
    assert [term(Completion(problem, text, correct=ok)) for text, ok in verdicts] == [1, 0, 0, 0, 1]


def test_the_coin_knows_nothing():
    """The rate within four standard errors, equal for right and wrong texts; two equal texts can differ."""
    [term] = load_terms({f"{runs.REWARDS}:coin(rate=0.1)": 1.0})
    group_size, paid = 16, []
    for problem in problems("hard", "train", 300):
        right = runs.right_text(problem)
        group = [Completion(problem, right if i % 2 else f"{i}", correct=bool(i % 2)) for i in range(group_size)]
        paid.append(term.values(group, group_size))
    rate_16 = np.mean(paid, axis=0)
    half = 4 * math.sqrt(0.09 / (len(paid) * 8))
    assert abs(rate_16[::2].mean() - 0.1) < half and abs(rate_16[1::2].mean() - 0.1) < half
    assert any(len(set(values[1::2])) == 2 for values in paid)
    assert paid[-1] == term.values(group, group_size), "a resumed run has the same rewards"


def test_the_chance_is_the_product_of_its_tokens(tiny, monkeypatch):
    """One token after the other, without batches or padding, against `chances`, which shares forwards."""
    model, tokenizer = tiny
    monkeypatch.setattr(runs, "load_model", lambda _: (model, tokenizer))
    monkeypatch.setattr(runs, "HELD_OUT", {"test": 5})
    kept, scored = [], runs.continuation_logps
    monkeypatch.setattr(runs, "continuation_logps", lambda *given: kept.append(given) or scored(*given))
    rounded = runs.chances("tiny", 5, "test")
    for _, prompts, rights in kept:
        slow = []
        for prompt, right in zip(prompts, rights, strict=True):
            ids, chance = list(prompt), 1.0
            for token in right:
                with torch.inference_mode():
                    chance *= float(model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)[token])
                ids.append(token)
            slow.append(chance)
        np.testing.assert_allclose(scored(model, prompts, rights).exp().numpy(), slow, rtol=1e-3)
    assert set(rounded) == set(runs.CELLS) and len(kept) == 4
    assert tokenizer.decode(kept[0][2][0]) == runs.right_text(problems("easy", size=1)[0])


def test_the_filter_covers_luck_and_little_more():
    """Binomial by hand: luck of 1 in 10 gives at most 4 of 16 in 98% of problems, at most 3 in 93%."""
    at_most = np.cumsum([math.comb(16, k) * 0.1**k * 0.9 ** (16 - k) for k in range(17)])
    assert at_most[3] < 0.95 <= at_most[4]
    drop = build(f"grpo, drop_near_impossible(threshold={runs.filter_threshold()})")
    rollouts = Rollouts.of([[1.0, 0.0]] * 2, attempts_P=[16, 16], successes_P=[4, 5])
    assert drop(rollouts).keep_PG.all(1).tolist() == [False, True]


def test_arms_resolve_and_only_the_verdict_differs():
    arms = finding.arms(201, 1e-4, {"small_hard": 0.1, "large_hard": 0.01})
    assert tuple(sorted(arms)) == tuple(sorted(finding.NAMES))
    common = COMMON | {"model": "tiny", "tags": [*runs.TAGS], "train_size": 32, "max_completion_length": runs.LENGTH}
    settings = {run.arm: run.settings for run in check_ablation({"arms": arms, "set": common}).runs}
    for name, chosen in settings.items():
        resolved = resolve_config(build_config(TrainConfig, dict(chosen)))
        assert len(resolved.problems) == 32 and resolved.config.learning_rate == 1e-4, name
    for name in ("large_hard", "control_small", "control_large"):
        differ = {k for k in settings[name] if settings[name][k] != settings["small_hard"].get(k)}
        assert differ - {"allow_hackable"} == {"rewards"}


def rows(easy: dict[str, float], every: dict[str, float]) -> finding.Runs:
    """Return runs whose chances at the end are these and 0.5 elsewhere, with a little spread over seeds."""
    stored = []
    for world, seeds in finding.WORLDS.items():
        for seed in seeds:
            for i, name in enumerate(finding.NAMES):
                noise = 0.002 * math.sin(7 * seed + 3 * i)
                along = {c: [0.5, 0.5 + noise] for c in finding.CELLS}
                along["easy"][1] += easy.get(name, 0)
                along["all"][1] += every.get(name, 0)
                stored.append({"arm": name, "world": world, "seed": seed, "along": along})
    return finding.Runs(stored, [])


def test_harm_is_what_a_hard_cell_does_beyond_its_control():
    """Both hard arms fall; only the small space falls below its control, and the filter restores three quarters."""
    easy = {"small_hard": -0.2, "control_small": -0.1, "large_hard": -0.05, "control_large": -0.05, "dr_grpo": -0.1}
    every = {"small_medium": 0.2, "mixture": 0.12, "filtered": 0.18, "small_hard": 0.01, "small_easy": 0.02}
    points = finding.judged(rows(easy, every))
    assert [point.held for point in points] == [True, False, True, True, True, True, True, True]
    assert points[0].numbers.startswith("+0.10") and points[7].numbers.startswith("+0.02")


def test_without_harm_and_gap_two_points_are_not_testable():
    points = finding.judged(rows({"dr_grpo": 0.1}, {"filtered": 0.1}))
    assert [point.held for point in points] == [False] * 5 + ["not testable here", False, "not testable here"]
    with pytest.raises(FileNotFoundError, match="missing"):
        finding.Runs([], [])
