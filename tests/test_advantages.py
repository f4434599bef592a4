"""Goldens with their arithmetic, TRL's own formula, and the settled semantics of docs/design.md (1 to 8)."""

import math
import pickle
import re

import pytest
import torch
from trl.trainer.utils import nanstd

from rlvr import advantages as A
from rlvr.advantages import build, chain
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.core.console import warn_once
from rlvr.core.errors import SpecError

NAN = math.nan
ONE_IN_EIGHT = Rollouts.of([[1.0] + 7 * [0.0]])


def adv(transform, rollouts):
    return transform(rollouts).adv


def close(actual, expected, **kwargs):
    torch.testing.assert_close(actual, torch.tensor(expected), **kwargs)


# ---------------------------------------------------------------------- goldens


def test_semantic_5_one_right_in_eight_with_trls_eps_and_ddof():
    """Mean 1/8; deviations 7/8, -1/8; variance (49 + 7) / 64 / 7 = 1/8, std .353553, plus eps .353653."""
    close(adv(A.grpo(), ONE_IN_EIGHT), [[2.4742] + 7 * [-0.3535]], atol=5e-5, rtol=0)


def test_semantic_5_ddof_and_eps_are_parameters():
    """ddof 0: variance 7/64, so (7/8) / sqrt(7/64) = sqrt(7); eps 1: (7/8) / (.353553 + 1) = .646446."""
    close(adv(A.grpo(eps=1e-9, ddof=0), ONE_IN_EIGHT)[0, 0], math.sqrt(7))
    close(adv(A.grpo(eps=1.0), ONE_IN_EIGHT)[0, 0], 0.875 / (math.sqrt(0.125) + 1))


def test_dr_grpo_and_rloo_by_hand():
    """Rewards 1, 0, 0, 0: minus the mean 1/4; minus the mean of the other three (0, or 1/3)."""
    rollouts = Rollouts.of([[1.0, 0.0, 0.0, 0.0]])
    close(adv(A.dr_grpo(), rollouts), [[0.75, -0.25, -0.25, -0.25]])
    close(adv(A.rloo(), rollouts), [[1.0, -1 / 3, -1 / 3, -1 / 3]])


def test_rloo_against_brute_force_over_the_kept():
    generator = torch.Generator().manual_seed(3)
    reward = torch.rand(5, 6, generator=generator)
    truncated = torch.rand(5, 6, generator=generator) < 0.3
    signal = build("drop_truncated, rloo")(Rollouts.of(reward, truncated_PG=truncated))
    for p in range(5):
        for g in range(6):
            others = [reward[p, j].item() for j in range(6) if j != g and not truncated[p, j]]
            used = not truncated[p, g] and others
            expected = reward[p, g].item() - sum(others) / len(others) if used else 0.0
            assert signal.adv[p, g].item() == pytest.approx(expected, abs=1e-6)


def test_batch_scale_has_one_divisor_for_all_groups():
    """Rewards 1, 0 | 0, 0: centred .5, -.5 | 0, 0; std of (1, 0, 0, 0) with ddof 1 is sqrt(3/4 / 3) = .5."""
    transform = chain(A.group_center(), A.batch_scale(eps=1e-9))
    close(adv(transform, Rollouts.of([[1.0, 0.0], [0.0, 0.0]])), [[1.0, -1.0], [0.0, 0.0]])


def test_signs_and_their_weights():
    rollouts = Rollouts.of([[1.0, 0.0]])
    close(adv(A.reinforce(), rollouts), [[1.0, -1.0]])
    close(adv(A.w_reinforce(), rollouts), [[0.1, -1.0]])
    close(adv(A.w_reinforce(pos=0.5), rollouts), [[0.5, -1.0]])
    close(adv(chain(A.signed(), A.weigh_sign(pos=2.0, neg=0.0)), rollouts), [[2.0, 0.0]])


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_equals_trls_formula_on_random_rewards_with_unscorable_rows(scale):
    """What GRPOTrainer (1.16) computes inline, with its own nanstd; but we drop the unscorable rows."""
    generator = torch.Generator().manual_seed(11)
    reward = torch.rand(40, 8, generator=generator)
    reward[torch.rand(40, 8, generator=generator) < 0.2] = NAN
    reward[0] = NAN  # a whole group without a score
    reward[1, 1:] = NAN  # a single score
    reward[2] = 0.7  # constant, up to rounding
    theirs = reward - reward.nanmean(1, keepdim=True)
    if scale != "none":
        std = nanstd(reward, dim=1, keepdim=True) if scale == "group" else nanstd(reward)
        theirs = theirs / (std + 1e-4)
    theirs = theirs.nan_to_num(nan=0.0)
    ours = build({"group": "grpo", "batch": "group_center, batch_scale", "none": "dr_grpo"}[scale])
    signal = ours(Rollouts.of(reward))
    constant = torch.zeros(40, 1).bool()
    constant[2] = True  # rounding noise over eps: below 1e-2 in both
    torch.testing.assert_close(
        signal.adv.masked_fill(constant, 0), theirs.masked_fill(constant, 0), rtol=1e-5, atol=1e-6
    )
    assert signal.adv[2].abs().max() < 1e-2
    assert torch.equal(signal.keep_PG, ~reward.isnan())


# ---------------------------------------------------------------------- settled semantics


def test_semantic_1_negative_reinforcement_is_uncentred(caplog):
    """An all-wrong group carries full signal under NSR, and none when the sign is taken after centring."""
    all_wrong = Rollouts.of([[0.0] * 4])
    close(adv(A.nsr(), all_wrong), [[-1.0] * 4])
    late = chain(A.group_center(), A.keep_negative())
    assert "not the paper's" in caplog.text
    close(adv(late, all_wrong), [[0.0] * 4])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([A.group_center(), A.keep_negative()], r"keep_negative\(\) comes after group_center\(\)"),
        ([A.leave_one_out(), A.keep_positive()], r"keep_positive\(\) comes after leave_one_out\(\)"),
        ([A.grpo(), A.drop_truncated(), A.keep_negative()], "already"),
        ([A.group_center(), A.signed(), A.keep_negative()], "replaces its result"),
        ([A.nsr(), A.drop_zero_signal()], "may be every group"),
        ([A.drop_zero_signal(), A.reinforce()], "full credit"),
    ],
)
def test_semantic_1_chain_warns_once_and_says_why(steps, message, caplog):
    built = chain(*steps)
    (record,) = caplog.records
    assert re.search(message, record.getMessage())
    assert (record.name, record.levelname) == ("rlvr", "WARNING")
    warn_once.cache_clear()
    chain(built, A.drop_truncated())  # nested: the inner chain has said it
    pickle.loads(pickle.dumps(built))
    built(ONE_IN_EIGHT)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "text", [*A.RECIPES, "drop_zero_signal, grpo", "keep_negative, group_center", "nsr, drop_truncated"]
)
def test_semantic_1_sound_chains_are_silent(text, caplog):
    build(text)
    assert not caplog.records


def test_semantic_2_near_impossible_is_a_statement_about_the_problem():
    """0 of 16: .5 / 17 = .029 goes, lucky success included; 0 of 8: .5 / 9 = .056 and unseen .5 stay."""
    lucky = [1.0] + 7 * [0.0]
    rollouts = Rollouts.of([lucky] * 4, attempts_P=[16, 8, 0, 16], successes_P=[0, 0, 0, 2])
    signal = build("grpo, drop_near_impossible")(rollouts)
    assert signal.keep_PG.all(1).tolist() == [False, True, True, True]
    assert not signal.keep_PG[0].any()
    assert signal.adv[0].abs().sum() == 0
    assert signal.dropped["drop_near_impossible"].sum(1).tolist() == [8, 0, 0, 0]


def test_semantic_2_the_current_batch_does_not_count():
    """Same record, all wrong or all right just now: the same verdict. An unseen all-wrong group stays."""
    for reward in (0.0, 1.0):
        rollouts = Rollouts.of([[reward] * 8] * 2, attempts_P=[64, 0], successes_P=[0, 0])
        assert A.drop_near_impossible()(rollouts).keep_PG.all(1).tolist() == [False, True]


def test_semantic_2_threshold_is_strict_and_the_prior_counts():
    """Prior (1, 1): 0 of 18 has mean 1/20 = .05, not below .05; 0 of 19 has 1/21."""
    rollouts = Rollouts.of([[0.0] * 2] * 2, attempts_P=[18, 19], successes_P=[0, 0])
    strict = A.drop_near_impossible(threshold=0.05, prior=(1, 1))
    assert strict(rollouts).keep_PG.all(1).tolist() == [True, False]


def test_semantic_3_dropping_clears_keep_and_zeroes_credit():
    """The signal's side (the loss's is in test_trl_contract.py): keep False, credit 0, the rest as it was."""
    rollouts = Rollouts.of([[1.0, 0.0, 0.0, 1.0]], truncated_PG=[[False, True, False, True]])
    signal = build("reinforce, drop_truncated")(rollouts)
    assert signal.keep_PG.tolist() == [[True, False, True, False]]
    close(signal.adv, [[1.0, 0.0, -1.0, 0.0]])


def test_semantic_4_filter_then_centre_and_centre_then_filter_differ():
    """Rewards 1, 1, 0, 0 with the last cut off. Filtered first, the mean is 2/3; filtered last, it is 1/2."""
    rollouts = Rollouts.of([[1.0, 1.0, 0.0, 0.0]], truncated_PG=[[False, False, False, True]])
    close(adv(build("drop_truncated, dr_grpo"), rollouts), [[1 / 3, 1 / 3, -2 / 3, 0.0]])
    close(adv(build("dr_grpo, drop_truncated"), rollouts), [[0.5, 0.5, -0.5, 0.0]])


def test_semantic_4_the_spread_is_over_the_kept_too():
    """Rewards 1, 0 and a cut-off 5: mean 1/2, std of (1, 0) = .7071, so +-.5 / .7072."""
    rollouts = Rollouts.of([[1.0, 0.0, 5.0]], truncated_PG=[[False, False, True]])
    for text in ("drop_truncated, grpo", "drop_truncated, group_center, batch_scale"):
        close(adv(build(text), rollouts), [[0.70701, -0.70701, 0.0]], atol=1e-5, rtol=0)


def test_semantic_4_unscored_completions_stay_out_of_every_baseline():
    """Rewards 1, 0, none: mean 1/2, std of (1, 0) = .7071, so +-.5 / .7072."""
    rollouts = Rollouts.of([[1.0, 0.0, NAN]])
    signal = A.grpo()(rollouts)
    close(signal.adv, [[0.70701, -0.70701, 0.0]], atol=1e-5, rtol=0)
    assert signal.dropped["unscored"].tolist() == [[False, False, True]]


def test_semantic_6_a_chain_returns_the_advantage_that_is_used():
    """Step by step gives what the chain gives: nothing is rescaled out of sight."""
    rollouts, signal = A.EXAMPLES, None
    whole = build("drop_zero_signal, grpo, drop_near_impossible")
    for step in whole.transforms:
        signal = step(rollouts, signal)
    assert torch.equal(signal.adv, whole(rollouts).adv)
    assert torch.equal(signal.keep_PG, whole(rollouts).keep_PG)


def test_semantic_7_no_signal_means_max_minus_min_not_std():
    """A constant group whose float32 std is not 0 is still without signal."""
    constant = torch.full((1, 7), 0.7)
    constant[0, 3] += 6e-8  # one rounding step
    assert constant.std() > 0
    rollouts = Rollouts.of(torch.cat([constant, torch.tensor([[0.7] * 6 + [0.71]])]))
    assert A.drop_zero_signal()(rollouts).keep_PG.all(1).tolist() == [False, True]
    assert not A.drop_zero_signal(tol=0.0)(Rollouts.of([[0.5, 0.5]])).keep_PG.any()
    assert A.drop_zero_signal(tol=0.02)(rollouts).keep_PG.any().item() is False


def test_semantic_7_zero_signal_looks_at_the_kept_only():
    """Rewards 1, 1, 0: with the 0 cut off, what is left is constant."""
    rollouts = Rollouts.of([[1.0, 1.0, 0.0]], truncated_PG=[[False, False, True]])
    assert A.drop_zero_signal()(rollouts).keep_PG.all()
    assert not build("drop_truncated, drop_zero_signal")(rollouts).keep_PG.any()


def test_semantic_7_sign_rules_and_filters_read_correct_never_the_total():
    """An all-wrong group with a spread in its Brier reward, and a right completion that earns less."""
    rollouts = Rollouts.of([[0.9, 0.1], [0.2, 0.8]], [[False, False], [True, False]])
    close(adv(A.reinforce(), rollouts), [[-1.0, -1.0], [1.0, -1.0]])
    close(adv(A.w_reinforce(), rollouts), [[-1.0, -1.0], [0.1, -1.0]])
    assert A.psr()(rollouts).keep_PG.tolist() == [[False, False], [True, False]]
    assert A.nsr()(rollouts).keep_PG.tolist() == [[True, True], [False, True]]


def test_semantic_8_masking_a_sign_is_not_positive_or_negative_reinforcement():
    """1 right of 4. Masked Dr. GRPO: the wrong get -.25 and all 4 rows divide; NSR: -1, and 3 rows divide."""
    rollouts = Rollouts.of([[1.0, 0.0, 0.0, 0.0]])
    masked, paper = build("dr_grpo, mask_sign(sign='negative')")(rollouts), A.nsr()(rollouts)
    close(masked.adv, [[0.0, -0.25, -0.25, -0.25]])
    assert masked.keep_PG.sum() == 4
    close(paper.adv, [[0.0, -1.0, -1.0, -1.0]])
    assert paper.keep_PG.sum() == 3
    close(adv(build("dr_grpo, mask_sign(sign='positive')"), rollouts), [[0.75, 0.0, 0.0, 0.0]])


def test_semantic_8_each_states_its_divisor():
    for transform in (A.keep_positive, A.keep_negative, A.mask_sign, A.weigh_sign):
        assert "divisor" in transform.__doc__


# ---------------------------------------------------------------------- edges


@pytest.mark.parametrize("recipe", A.RECIPES)
@pytest.mark.parametrize("reward", [[[1.0]], [[NAN, NAN]], [[1.0, NAN, NAN]], [[0.7] * 3], [[0.0] * 3]])
def test_small_and_empty_groups_are_finite(recipe, reward):
    signal = build(recipe)(Rollouts.of(reward))
    assert signal.adv.isfinite().all()
    assert (signal.adv[~signal.keep_PG] == 0).all()


@pytest.mark.parametrize("recipe", ["grpo", "dr_grpo", "rloo", "group_center, batch_scale", "signed, group_scale"])
def test_a_single_kept_completion_has_no_baseline_and_no_credit(recipe):
    """G = 1, or one left: the deviation from its own mean is 0, and ddof 1 knows no spread of one number."""
    assert build(recipe)(Rollouts.of([[1.0, NAN]])).adv.abs().sum() == 0


def test_the_same_filter_twice_reports_all_that_it_dropped():
    rollouts = Rollouts.of([[1.0, 0.0], [0.5, 0.5]], truncated_PG=[[True, False], [False, False]])
    signal = chain(A.drop_zero_signal(), A.drop_truncated(), A.drop_zero_signal())(rollouts)
    assert signal.dropped["drop_zero_signal"].tolist() == [[False, True], [True, True]]


def per_token(rollouts, length=3):
    start = Signal.start(rollouts)
    return Signal(start.adv[..., None].expand(-1, -1, length).contiguous(), start.keep_PG)


@pytest.mark.parametrize("name", ["group_scale", "batch_scale", "weigh_sign", "keep_negative", "drop_truncated"])
def test_per_token_credit_is_treated_like_its_completion(name):
    """With P = G = T, a mask on the wrong axes would go unnoticed by shape alone."""
    rollouts = Rollouts.of(
        [[1.0, 0.0, 3.0], [0.0, 2.0, 1.0], [5.0, 1.0, 0.0]], truncated_PG=torch.eye(3).bool().roll(1, 1)
    )
    transform = build(name)
    flat, deep = transform(rollouts), transform(rollouts, per_token(rollouts))
    torch.testing.assert_close(deep.adv, flat.adv[..., None].expand(-1, -1, 3))
    assert torch.equal(deep.keep_PG, flat.keep_PG)


@pytest.mark.parametrize("name", ["group_center", "leave_one_out"])
def test_a_baseline_over_token_positions_is_refused(name):
    with pytest.raises(SpecError, match="one advantage per completion"):
        build(name)(ONE_IN_EIGHT, per_token(ONE_IN_EIGHT))


# ---------------------------------------------------------------------- chain and build


def test_chain_flattens_compares_hashes_and_may_be_empty():
    nested = chain(chain(A.signed()), chain(chain(A.keep_negative())))
    assert nested == A.nsr()
    assert hash(nested) == hash(A.nsr())
    assert nested != A.psr()
    assert repr(nested) == "chain(signed(), keep_negative())"
    assert torch.equal(chain()(ONE_IN_EIGHT).adv, ONE_IN_EIGHT.reward_PG)


@pytest.mark.parametrize("stranger", [A.group_center, "grpo", None])
def test_chain_takes_transforms_only(stranger):
    with pytest.raises(SpecError, match=r"chain takes transforms, got .* as calls: group_center\(\)"):
        chain(stranger)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grpo", A.grpo()),
        ("grpo(eps=1e-6)", chain(A.group_center(), A.group_scale(eps=1e-6))),
        (" grpo , drop_near_impossible(threshold=0.1, prior=[1, 1]) ",
         chain(A.grpo(), A.drop_near_impossible(threshold=0.1, prior=(1, 1)))),
        ("drop_truncated, w_reinforce(pos=0.2)", chain(A.drop_truncated(), A.signed(), A.weigh_sign(0.2))),
    ],
)  # fmt: skip
def test_build(text, expected):
    assert build(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gropo", "No advantage transform 'gropo'. Did you mean 'grpo'"),
        ("grpo:nsr", "No advantage transform 'grpo:nsr'"),
        ("group_scale(epsilon=1)", r"unexpected keyword argument 'epsilon'.*takes eps: float = 0.0001, ddof"),
        ("dr_grpo(eps=1)", "dr_grpo takes no parameters"),
        ("", "Empty entry"),
        ("./nowhere.py", "No file './nowhere.py'"),
        ("group_scale(eps=0)", "eps must be above 0"),
        ("group_scale(eps='a')", "eps must be above 0"),
        ("group_scale(ddof=2)", "ddof must be 0 .* or 1"),
        ("batch_scale(eps=-1)", "eps must be above 0"),
        ("batch_scale(ddof=2)", "ddof must be 0 .* or 1"),
        ("weigh_sign(pos=-1)", "pos must be a finite weight"),
        ("weigh_sign(neg=True)", "neg must be a finite weight"),
        ("mask_sign(sign='both')", "'positive' or 'negative'"),
        ("drop_zero_signal(tol=-1)", "tol must be a number of at least 0"),
        ("drop_near_impossible(threshold=1)", "pass rate between 0 and 1"),
        ("drop_near_impossible(threshold='x')", "pass rate between 0 and 1"),
        ("drop_near_impossible(prior=1)", "tuple of two positive numbers"),
        ("drop_near_impossible(prior=(1, 0))", "tuple of two positive numbers"),
        ("drop_near_impossible(prior=(1, 1, 1))", "tuple of two positive numbers"),
    ],
)
def test_build_refuses_and_says_what_is_allowed(text, message):
    with pytest.raises(SpecError, match=message):
        build(text)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_parameters_that_are_no_numbers_are_refused(bad):
    for make in (
        lambda: A.group_scale(eps=bad),
        lambda: A.weigh_sign(pos=bad),
        lambda: A.drop_zero_signal(tol=bad),
        lambda: A.drop_near_impossible(threshold=bad),
        lambda: A.drop_near_impossible(prior=(1.0, bad)),
    ):
        with pytest.raises(SpecError):
            make()


USER_FILE = """
from dataclasses import dataclass, replace
from rlvr.advantages import Transform, chain, group_center

@dataclass(frozen=True)
class times(Transform):
    k: float = 2.0

    def apply(self, rollouts, signal):
        return replace(signal, adv=signal.adv * self.k)

def mine():
    return chain(group_center(), times(k=10.0))

def number():
    return 3

constant = 4
"""


def test_a_users_file_is_as_good_as_a_built_in(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(USER_FILE)
    rollouts = Rollouts.of([[1.0, 0.0]])
    close(adv(build(f"dr_grpo, {path}:times(k=4)"), rollouts), [[2.0, -2.0]])
    close(adv(build(str(path)), rollouts), [[5.0, -5.0]])  # without a name: the one called like the file
    assert build(f"{path}:times") == build(f"{path}:times(k=2.0)")
    for spec, message in {
        f"{path}:nothing": "defines no function or class 'nothing'",
        f"{path}:constant": "defines no function or class 'constant'",
        f"{path}:number": "gave a int, not a Transform",
        f"{path}:times(q=1)": "times takes k: float = 2.0",
    }.items():
        with pytest.raises(SpecError, match=message):
            build(spec)
