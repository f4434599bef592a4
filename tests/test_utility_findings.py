"""The parts of the utility findings against brute force and another implementation: posterior, networks, what RL earns."""

import itertools
import sys

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from rlvr.core.parse import parse
from rlvr.core.records import Completion
from rlvr.decide import learning_incentive, weigh
from rlvr.problems.sets import ProblemSet
from rlvr.rewards.terms import load_terms
from tests.conftest import REPO

sys.path.insert(0, str(REPO / "scripts" / "findings"))
import utility_after
import utility_testbed
from finding import Finding
from parts import utility_arms, utility_control, utility_digits, utility_rl, utility_task
from parts.operators_silence import SILENCE
from parts.utility_task import UP, Task


@pytest.mark.parametrize("classes", [2, 8])
def test_the_posterior_is_bayes_over_all_that_could_be_shown(classes):
    """Enumerate the shown pairs of every group under every class, with the densities of the noise."""
    task = Task(classes, 0.3, seed=5)
    x, _ = task.draw(np.random.default_rng(0), 4)
    values = 2 if classes == 2 else 4
    shows = {0: np.array([-1.0]), 1: np.array([1.0])} if classes == 2 else dict(enumerate(utility_task.TURNS))
    for row, found in zip(x.reshape(4, utility_task.GROUPS, -1), task.posterior(x), strict=True):
        likelihood = np.ones(classes)
        for i, shown in enumerate(row):
            for k in range(classes):
                pairs = [
                    (a, b)
                    for a, b in itertools.product(range(values), repeat=2)
                    # two signs are equal for class 1 (u v = +1); four turns add up to what the group hides
                    if (a == b if task.codes[i, k] else a != b) or classes == 8
                    if classes == 2 or (a + b) % 4 == task.codes[i, k]
                ]
                means = [task.strengths[i] * np.concatenate([shows[a], shows[b]]) for a, b in pairs]
                likelihood[k] *= np.mean([norm.pdf(shown, mean).prod() for mean in means])
        joint = likelihood * task.prior
        np.testing.assert_allclose(found, joint / joint.sum(), rtol=1e-4)


def test_classes_are_drawn_at_their_prevalence_and_the_posterior_is_calibrated():
    task = Task(8, 0.3, seed=1)
    x, y = task.draw(np.random.default_rng(1), 20_000)
    q = task.posterior(x)
    assert (y == UP).mean() == pytest.approx(0.3, abs=0.015)
    assert np.bincount(y, minlength=8) / len(y) == pytest.approx(q.mean(0), abs=0.015)
    assert (q.argmax(1) == y).mean() == pytest.approx(q.max(1).mean(), abs=0.015)


def started(w, seed=3):
    task = Task(2, 0.3, seed)
    x, y = task.draw(np.random.default_rng(9), 64)
    networks = utility_arms.Networks.start([task], [np.ones(2), w, w], x.shape[1])
    return task, networks, torch.from_numpy(x), torch.from_numpy(y)


def test_a_step_is_that_of_torch_and_a_matched_one_is_as_long_as_bs():
    """Networks A and B against nn.Sequential with cross_entropy(weight=...) and SGD, from the same start."""
    w = utility_arms.weights(10, 2)
    _, networks, x, y = started(w)
    before = {name: part.detach().clone() for name, part in networks.parts.items()}
    networks.step(x[None], y[None], 0.2, torch.tensor([False, False, True]))
    width, moved = utility_arms.WIDTH, []
    for m, loss_weights in enumerate((np.ones(2), w)):
        net = nn.Sequential(nn.Linear(x.shape[1], width), nn.ReLU(), nn.Linear(width, 2))
        columns = slice(m * width, (m + 1) * width)
        start = (
            before["W1"][0, :, columns].T,
            before["b1"][0, 0, columns],
            before["W2"][0, m].T,
            before["b2"][0, m, 0],
        )
        for part, value in zip(net.parameters(), start, strict=True):
            part.data.copy_(value)
        cost = nn.functional.cross_entropy(
            net(x), y, weight=torch.tensor(loss_weights, dtype=torch.float32), reduction="none"
        )
        torch.autograd.backward(cost.mean())
        torch.optim.SGD(net.parameters(), lr=0.2).step()
        after = [networks.parts["W1"][0, :, columns].T, networks.parts["b1"][0, 0, columns]]
        after += [networks.parts["W2"][0, m].T, networks.parts["b2"][0, m, 0]]
        for mine, theirs in zip(after, net.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs)
    for m in range(3):
        columns = slice(m * width, (m + 1) * width)
        steps = [(networks.parts[n] - before[n])[0, :, columns] for n in ("W1", "b1")]
        steps += [(networks.parts[n] - before[n])[0, m] for n in ("W2", "b2")]
        moved.append(torch.cat([s.detach().flatten() for s in steps]).norm().item())
    assert moved[2] == pytest.approx(moved[0], rel=1e-3) and moved[1] != pytest.approx(moved[0], rel=0.05)


def test_at_the_start_a_weighted_gradient_is_rho_times_the_plain_one():
    """All hold the belief q at the start: the gradient of the last bias is mean rho(q) (q - y), of B mean q - y."""
    w = utility_arms.weights(10, 2)
    _, networks, x, y = started(w)
    q = networks.log_predictions(x[None])[0, 0, :, 1].exp().detach().double().numpy()
    p = networks.log_predictions(x[None])[0, 1, :, 1].exp().detach().double().numpy()
    np.testing.assert_allclose(p, weigh(q, w), rtol=1e-4)
    before = networks.parts["b2"].detach().clone()
    networks.step(x[None], y[None], 1.0, torch.tensor([False] * 3))
    moved = (before - networks.parts["b2"]).detach().numpy()[0, :, 0, 1]
    wrong = q - y.numpy()
    assert moved[0] == pytest.approx(wrong.mean(), rel=1e-3)
    assert moved[1] == pytest.approx((learning_incentive(q, w) * wrong).mean(), rel=1e-3)


def test_measures_by_hand():
    p = np.array([[0.75, 0.25], [0.25, 0.75], [0.4, 0.6]])
    loss, cost, area = utility_arms.measure(p, p, np.array([0, 1, 0]), np.array([0.5, 1.5]))
    assert loss == pytest.approx((0.5 * np.log(4 / 3) + 1.5 * np.log(4 / 3) + 0.5 * np.log(2.5)) / 3, abs=1e-5)
    assert cost == pytest.approx(0.5 / 3, abs=1e-5) and area == 1.0


def test_the_control_has_no_gap():
    assert abs(utility_control.control_gap(3, 10)) < 0.01


def test_digits_split_and_arms_share_their_start(monkeypatch):
    """600 digits to train on, 1,197 others; before any step every arm holds the same belief."""
    x, y, x_test, y_test = utility_digits.split(4)
    assert len(x) == len(y) == 600 and len(x_test) == len(y_test) == 1197
    monkeypatch.setattr(utility_digits, "STEPS", 0)
    predictions = utility_digits.train(4, (10,))
    w = utility_digits.weights(10, 4)
    assert set(predictions) == {"B", "A10", "E10"} and w.argmax() == 4 and w.mean() == pytest.approx(1)
    np.testing.assert_allclose(predictions["A10"], weigh(predictions["B"], w), rtol=1e-4)


# Reinforcement learning


def test_the_arms_differ_in_what_an_answer_earns():
    """Right, "I don't know", wrong: honest 1, 0, 0; utility the prices 1, 0, -1 on the scale from 0 to 1."""
    earned = {}
    for arm, settings in utility_rl.ARMS.items():
        terms = load_terms(settings["set"]["rewards"])
        [(answer_term, weight)] = [(term, weight) for term, weight in terms.items() if weight == 1.0]
        [problem] = ProblemSet.of(utility_rl.problems(7)).load("test", 1, 0)
        said = [(problem.answer, True), (SILENCE, False), ("1a2", False)]
        earned[arm] = [
            weight * answer_term(Completion(problem, "", answer=a, confidence=0.5, format_ok=True, correct=right))
            for a, right in said
        ]
    assert earned == {"honest": [1, 0, 0], "utility": [1, 0.5, 0]}


def test_the_warm_up_abstains_at_random_and_the_silent_set_asks_the_same():
    """One row in five abstains, in the form; the set of P(abstain) has the prompts of the operators."""
    rows = utility_rl.warm_rows(7, 2000)
    read = [parse(row["completion"], utility_rl.TAGS) for row in rows]
    assert all(one.format_ok for one in read)
    assert np.mean([one.answer == SILENCE for one in read]) == pytest.approx(0.2, abs=0.03)
    spec = utility_rl.problems(7)
    asked = ProblemSet.of(spec).load("test", 5, 0)
    silent_set = ProblemSet.of(spec.replace("operators", utility_rl.SILENCE_SET, 1))
    silent = silent_set.load("test", 5, 0)
    assert silent_set.unique and {p.answer for p in silent} == {SILENCE}
    assert [p.prompt for p in silent] == [p.prompt for p in asked]


# The pages, from made-up rows


def drawn(finding, results, tmp_path):
    """Return the page of a finding for these results, its verdict the third line."""
    pages = tmp_path / "scripts" / "findings" / "pages"
    pages.mkdir(parents=True)
    template = f"{finding.FINDING.name}.md"
    (pages / template).write_text((REPO / "scripts" / "findings" / "pages" / template).read_text(encoding="utf-8"))
    page = Finding(
        finding.FINDING.name, lambda: results, finding.page, finding.rerun,
        settings=finding.FINDING._settings, repo=tmp_path,
    )  # fmt: skip
    page.redraw()
    return (tmp_path / "docs" / "findings" / template).read_text(encoding="utf-8")


def test_the_page_of_the_classifiers(tmp_path):
    """A is worse than B where rho < 1 and better where rho > 1, in every row: all points hold, every sign fits."""
    draw = np.random.default_rng(0)

    def arms(k, p, r):
        harm = -0.02 * np.log(utility_after.rho(k, p, r)) + 1e-4 * draw.standard_normal()
        a = [0.3 + harm, 0.2 + harm, 0.8 - harm]
        return {"A": a, "E": a, "B": [0.3, 0.2, 0.8], "Bayes": [0.1, 0.05, 0.95]}

    rows = [
        {"classes": k, "seed": s, "settings": {f"{p}/{r}": arms(k, p, r) for p in ps for r in rs}, "seconds": 1}
        for k, (ps, rs) in utility_arms.SETTINGS.items()
        for s in utility_after.SEEDS
    ]
    digits = [
        {"seed": s, "settings": {str(r): arms(2, 0.3, 50) for r in utility_digits.RATIOS}, "seconds": 1}
        for s in utility_after.SEEDS
    ]
    pilots = [
        {"classes": k, "settings": {str(p): {f"rho {r}": 1.0 for r in rs} for p in ps}}
        for k, (ps, rs) in utility_arms.SETTINGS.items()
    ]
    with pytest.raises(FileNotFoundError, match="1 of 150 rows"):
        utility_after.Results(rows[1:], digits)
    text = drawn(utility_after, (utility_after.Results(rows, digits), pilots), tmp_path)
    assert text.splitlines()[2] == "**Verdict: held.**"
    assert "of 29 settings 29 as rho predicts, 0 against it, 0 open" in text


def test_the_page_of_reinforcement_learning_can_be_void(tmp_path):
    """Eight seeds in which honest earns more hold all points; with an oracle that earns nothing, none is judged."""
    draw = np.random.default_rng(1)

    def row(arm, world, seed, oracle):
        good = 0.3 if arm == "honest" else 0.1
        values = {name: good + 0.01 * draw.standard_normal() for name in utility_testbed.MEASURES}
        return {"arm": arm, "world": world, "seed": seed, "train_seconds": 60, **values, "oracle": oracle, "auroc": 0.8}

    def rows(oracle):
        return [
            row(arm, w, s, oracle) for arm in utility_rl.ARMS for w, seeds in utility_rl.WORLDS.items() for s in seeds
        ]

    pilots = [
        {"arm": f"{arm}_{rate:g}", "utility -1": {3e-5: 0.295, 1e-4: 0.3, 3e-4: 0.1}[rate]}
        for arm in utility_rl.ARMS
        for rate in utility_testbed.RATES
    ]
    assert utility_testbed.rates(pilots) == {"honest": 3e-5, "utility": 3e-5}  # within 0.01: the lowest
    text = drawn(utility_testbed, (utility_testbed.Runs(rows(0.4)), pilots), tmp_path / "good")
    assert text.splitlines()[2] == "**Verdict: held.**" and "It is not void." in text
    text = drawn(utility_testbed, (utility_testbed.Runs(rows(0.1)), pilots), tmp_path / "void")
    assert text.splitlines()[2] == "**Verdict: not testable here.**" and "oracle is 0.100" in text
