"""The parts of the ranker against closed forms: gates, experts, gate use, the combination, the shallow tower."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from torch import nn

from rlvr.core.errors import SpecError
from rlvr.decide.ranking.combine import check_weights, combine
from rlvr.decide.ranking.gate_use import gate_use
from rlvr.decide.ranking.mmoe import MMoE
from rlvr.decide.ranking.shallow_tower import ShallowTower


def test_mmoe_equals_its_formula_written_out_in_numpy():
    net, x = MMoE(3, 2, 4, 6), torch.randn(7, 3)
    outputs, gates = (t.detach().numpy() for t in net(x))
    p = {name: value.detach().numpy().astype(float) for name, value in net.named_parameters()}
    for b in range(7):
        z = np.maximum(p["bottom.weight"] @ x[b].numpy() + p["bottom.bias"], 0)
        experts = [
            np.maximum(p["experts.weight"][6 * e : 6 * e + 6] @ z + p["experts.bias"][6 * e : 6 * e + 6], 0)
            for e in range(4)
        ]
        for k in range(2):
            scores = np.exp(p["gates.weight"][4 * k : 4 * k + 4] @ z)
            gate = scores / scores.sum()
            mixed = sum(g * f for g, f in zip(gate, experts, strict=True))
            hidden = np.maximum(p[f"heads.{k}.0.weight"] @ mixed + p[f"heads.{k}.0.bias"], 0)
            wanted = p[f"heads.{k}.2.weight"] @ hidden + p[f"heads.{k}.2.bias"]
            np.testing.assert_allclose(gates[b, k], gate, atol=1e-6)
            np.testing.assert_allclose(outputs[b, k], wanted[0], atol=1e-5)


def test_a_gate_of_two_experts_is_a_sigmoid_and_of_equal_weights_is_even():
    net = MMoE(3, 1, 2, 6)
    x = torch.randn(5, 3)
    z = torch.relu(net.bottom(x))
    w1, w2 = net.gates.weight
    torch.testing.assert_close(net(x)[1][:, 0, 0], torch.sigmoid(z @ (w1 - w2)))
    nn.init.ones_(net.gates.weight)
    assert torch.equal(net(x)[1], torch.full((5, 1, 2), 0.5))


def test_one_expert_is_a_shared_bottom():
    """An independent shared bottom with the same weights gives the same outputs, whatever the gates hold."""
    net, x = MMoE(3, 2, 1, 6), torch.randn(7, 3)
    shared = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU())
    shared[0].load_state_dict(net.bottom.state_dict())
    shared[2].load_state_dict(net.experts.state_dict())
    nn.init.normal_(net.gates.weight, std=100)
    torch.testing.assert_close(net(x)[0], torch.cat([head(shared(x)) for head in net.heads], 1))
    assert net.n_parameters() == sum(p.numel() for m in (shared, net.heads) for p in m.parameters())


def test_gate_dropout_leaves_out_experts_and_the_rest_sum_to_one():
    """In training a share of the gates is 0 and the rest keep their ratios; served as if there were no dropout."""
    net, x = MMoE(3, 2, 4, 6, gate_dropout=0.3), torch.randn(2000, 3)
    whole = net.eval()(x)[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gates = net.train()(x)[1]
    dropped = gates == 0
    assert abs(float(dropped.float().mean()) - (0.3 - 0.3**4)) < 0.01  # where all four would go, all stay
    torch.testing.assert_close(gates.sum(-1), torch.ones(2000, 2))
    left = whole * ~dropped
    torch.testing.assert_close(gates, left / left.sum(-1, keepdim=True))
    assert torch.equal(whole, MMoE.forward(net.eval(), x)[1])


def test_parameters_by_hand():
    # bottom 8*16+16 = 144; experts 4*(16*16+16) = 1088; gates 2*4*16 = 128; heads 2*(16*8+8 + 8+1) = 290
    assert MMoE(8, 2, 4, 16).n_parameters() == 144 + 1088 + 128 + 290 == 1650
    # bottom 8*26+26 = 234; one expert 26*26+26 = 702; heads 2*(26*13+13 + 13+1) = 730; its gates do nothing
    assert MMoE(8, 2, 1, 26).n_parameters() == 234 + 702 + 730 == 1666


def test_gate_use_against_scipy():
    gates = np.random.default_rng(0).dirichlet(np.ones(5), size=(20, 3))
    use = gate_use(gates)
    np.testing.assert_allclose(use.entropy_K, entropy(gates, axis=-1, base=5).mean(0))
    np.testing.assert_allclose(use.share_KE.sum(1), 1)
    assert gate_use(np.full((4, 2, 3), 1 / 3)).entropy_K == pytest.approx([1, 1])
    assert gate_use(np.ones((4, 2, 1))).entropy_K.tolist() == [1, 1]


PROBABILITY = st.floats(0.01, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(PROBABILITY, PROBABILITY, st.floats(0, 500)), min_size=1, max_size=6), st.floats(0.1, 3))
def test_the_score_is_the_log_of_a_weighted_product(rows, w):
    chosen, correct, cost = (np.array(column) for column in zip(*rows, strict=True))
    predicted = {"chosen": chosen, "correct": correct, "cost": cost}
    score = combine(predicted, {"chosen": w, "correct": 2.0, "cost": 0.5}, cost_unit=100.0)
    np.testing.assert_allclose(np.exp(score), chosen**w * correct**2 * np.exp(-0.5 * cost / 100), rtol=1e-9)


def test_a_cheaper_candidate_wins_only_if_cost_counts():
    predicted = {"chosen": np.array([0.5, 0.5]), "cost": np.array([10.0, 90.0])}
    assert np.diff(combine(predicted, {"chosen": 1.0}, 50.0)) == 0
    assert np.diff(combine(predicted, {"chosen": 1.0, "cost": 0.1}, 50.0)) == pytest.approx(-0.16)  # 0.1 * 80 / 50


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"chosn": 1}, "No objective 'chosn'. Did you mean 'chosen'"),
        ({"chosen": -1}, "number from 0, found -1"),
        ({"chosen": float("nan")}, "number from 0, found nan"),
        ({"chosen": 0}, "nothing to rank by"),
        ({}, "nothing to rank by"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(SpecError, match=message):
        check_weights(weights, ("chosen", "cost"))


def test_dropout_hides_all_bias_of_a_row_together_and_only_in_training():
    tower = ShallowTower([2, 3], dropout=0.1)
    with torch.no_grad():
        for table in tower.tables:
            table.copy_(torch.arange(len(table)))
    codes = torch.tensor([[2, 3]]).expand(20_000, 2)
    found = tower.train()(codes)
    assert set(found.tolist()) == {0.0, 5.0}  # never 2 or 3: one feature without the other
    assert (found == 0).float().mean() == pytest.approx(0.1, abs=4 * 0.0021)  # sqrt(.1 * .9 / 20000) = 0.0021
    assert set(tower.eval()(codes).tolist()) == {5.0}


def test_what_a_log_cannot_tell_apart():
    """Where position is a function of the candidate, relevance can move into the tower: every choice has the same
    probability, and the served orders are opposite."""
    position = torch.tensor([[1], [2], [3]])  # candidate i was always shown at position i
    towers = ShallowTower([3]).eval(), ShallowTower([3]).eval()
    logits = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 2.0])
    with torch.no_grad():
        towers[1].tables[0].copy_(torch.tensor([0.0, 2.0, 0.0, -2.0]))
    seen = [logit + tower(position) for logit, tower in zip(logits, towers, strict=True)]
    torch.testing.assert_close(*seen)
    assert logits[0].argsort().tolist() == logits[1].argsort(descending=True).tolist()
