"""The parts of RLVRTrainer that run a model, each without a trainer: sampling, the forward of the loss, the critic."""

import itertools

import pytest
import torch

from rlvr.config.settings import TrainConfig
from rlvr.core.records import Completion, Problem
from rlvr.models.load import build_tiny
from rlvr.models.sampling import Sampling
from rlvr.training.batch import GenerationBatch
from rlvr.training.critic import Critic, value_loss
from rlvr.training.critic_loss import CriticLoss
from rlvr.training.curriculum.dynamic_sampling import Sample
from rlvr.training.forward import Forward, silent_rows
from rlvr.training.sampling import EngineSampling, engine_fits, known_samples

PROMPTS = [[5, 6, 7]] * 2 + [[8, 9]] * 2


@pytest.fixture
def model():
    return build_tiny(seed=3, hidden=64, layers=2)[0]


def sampling(model, temperature=1.0, **settings):
    return EngineSampling(lambda: model, [1], 0, Sampling(6, temperature), torch.float32, 11, **settings)


def batch_of(model, part, rows=4, **fields):
    return part(GenerationBatch(rows=[{}] * rows, **fields), PROMPTS[:rows], 2)


# ------------------------------------------------------------------ sample


def test_number_and_kind_of_batch_and_what_came_before_decide_what_is_sampled(model):
    part = sampling(model)
    first = batch_of(model, part, number=3)
    assert batch_of(model, part, number=3) == batch_of(model, sampling(model), number=3) == first
    others = [
        {"number": 4},
        {"number": 3, "training": False},
        {"number": 3, "rows_sampled": 4},
        {"number": 3, "process": 1},
    ]
    for a, b in itertools.combinations([{"number": 3}, *others[:3]], 2):
        assert batch_of(model, part, **a) != batch_of(model, part, **b)
    assert batch_of(model, part, **others[3]) == batch_of(model, part, **others[2])  # the second process goes on there


def test_a_group_that_straddles_two_processes_gets_the_same_tokens(model):
    part = sampling(model)
    whole = batch_of(model, part)
    first = part(GenerationBatch(rows=[{}] * 3), PROMPTS[:3], 2)
    second = part(GenerationBatch(rows=[{}], process=3), PROMPTS[3:], 2)
    assert first + second == whole


def test_exact_log_probabilities_are_the_models(model):
    batch = GenerationBatch(rows=[{}] * 4)
    ids = sampling(model, temperature=0.7, exact=True)(batch, PROMPTS, 2)
    for prompt, row, logps in zip(PROMPTS, ids, batch.exact_logps, strict=True):
        logits = model(torch.tensor([prompt + row])).logits[0, len(prompt) - 1 : -1] / 0.7
        want = logits.log_softmax(-1).gather(1, torch.tensor(row)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(logps), want, atol=1e-4, rtol=0)
    assert [name for name, _ in batch.metrics] == ["sampling/tokens_per_second"]
    other = GenerationBatch(rows=[{}] * 4)
    sampling(model)(other, PROMPTS, 2)
    assert other.exact_logps is None


@pytest.mark.parametrize(
    ("settings", "otherwise", "fits"),
    [({}, False, True), ({}, True, False), ({"engine": "trl"}, False, False), ({"min_p": 0.1}, False, False),
     ({"repetition_penalty": 1.1}, False, False)],
)  # fmt: skip
def test_the_engine_takes_over_only_what_it_can_do_exactly(settings, otherwise, fits, tmp_path):
    args = TrainConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **settings)
    assert engine_fits(args, otherwise) == fits


@pytest.mark.parametrize(("logps", "exact"), [(None, [-0.5]), ([-1.0], None), (None, None)])
def test_known_completions_are_handed_on_as_they_were_sampled(logps, exact):
    completion = Completion(Problem("a", [], ""), "")
    batch = GenerationBatch(known=[Sample({}, 2, [7], logps, exact, completion)] * 2)
    assert known_samples(batch) == ([[7], [7]], None if logps is None else [logps] * 2)
    assert batch.exact_logps == (None if exact is None else [exact] * 2)


# ------------------------------------------------------------------ the forward of the loss


def left_padded():
    ids = torch.tensor([[5, 6, 7, 8, 9, 2], [5, 6, 7, 3, 0, 0], [0, 8, 9, 4, 4, 0], [0, 8, 9, 5, 2, 2]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [0, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1]])
    return ids, mask


def brute_force(model, temperature):
    ids, mask = left_padded()
    logps, entropies = torch.zeros(4, 3), torch.zeros(4, 3)
    for row, (tokens, keep) in enumerate(zip(ids, mask.bool(), strict=True)):
        n = int(keep[3:].sum())
        logp = (model(tokens[keep][None]).logits[0] / temperature).log_softmax(-1)[-n - 1 : -1]
        logps[row, :n] = logp.gather(1, tokens[3 : 3 + n, None])[:, 0]
        entropies[row, :n] = -(logp.exp() * logp).sum(1)
    return logps, entropies


@pytest.mark.parametrize("pack_prompts", [True, False])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_every_layout_scores_like_one_row_after_another(model, pack_prompts, batch_size):
    with torch.no_grad():
        want = brute_force(build_tiny(seed=3, hidden=64, layers=2)[0], 0.7)
        forward = Forward.of(
            [model], pack_prompts=pack_prompts, fused_head=False, temperature=0.7, autocast=torch.no_grad
        )
        assert (forward.packed, forward.chunked_head) == (pack_prompts, True)
        got = forward.score(model, *left_padded(), 3, batch_size)
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_row_that_is_left_out_scores_as_when_it_was_sampled(model):
    forward = Forward.of([model], pack_prompts=True, fused_head=False, temperature=1.0, autocast=torch.no_grad)
    ids, mask = left_padded()
    whole, entropies = forward.score(model, ids, mask, 3)
    old, silent = torch.full((4, 3), -9.0), torch.tensor([True, False, False, True])
    with forward.without(silent, old):
        part, fill = forward.score(model, ids, mask, 3)
    assert torch.equal(part[silent], old[silent])
    torch.testing.assert_close(part[~silent], whole[~silent])
    mean = entropies[~silent][mask[~silent, 3:].bool()].mean()
    torch.testing.assert_close(fill[silent], mean.expand(2, 3))
    torch.testing.assert_close(forward.score(model, ids, mask, 3)[0], whole)  # the next micro-batch is whole again


def test_silent_rows_against_brute_force():
    for flags in itertools.product([0, 1], repeat=6):
        credit, seen, tool = torch.tensor(flags).view(3, 2)
        inputs = {"advantages": credit.float(), "completion_mask": seen[:, None], "tool_mask": tool[:, None]}
        want = [not (c and s and t) for c, s, t in zip(credit, seen, tool, strict=True)]
        want[0] &= not all(want)
        assert silent_rows(inputs).tolist() == want
        per_token = inputs | {"advantages": inputs["advantages"][:, None].expand(2, 1)}
        assert silent_rows(per_token).tolist() == want


# ------------------------------------------------------------------ the critic


def critic_loss(model, coef=0.5):
    critic = Critic(model, "separate")
    torch.nn.init.normal_(critic.head.weight)
    return CriticLoss(critic, Forward(), lambda: model, coef, 0.2, 1e-3)


def generated():
    ids, mask = left_padded()
    return {
        "prompt_ids": ids[:, :3], "prompt_mask": mask[:, :3], "completion_ids": ids[:, 3:], "completion_mask": mask[:, 3:],
        "num_items_in_batch": mask[:, 3:].sum(),
    }  # fmt: skip


def test_the_critics_loss_is_its_mean_error_over_kept_tokens(model):
    part, out = critic_loss(model), generated()
    values = part.values(out, 2)
    torch.testing.assert_close(values, part.values(out, 4))
    assert not values.requires_grad
    assert not values[~out["completion_mask"].bool()].any()
    returns = torch.linspace(0, 1, 12).view(2, 2, 3)
    explained = part.add_targets(out, values, returns)
    taken = out["completion_mask"].bool()
    error = (returns.view(4, 3) - values)[taken]
    assert explained == pytest.approx(
        1 - (error.var(correction=0) / returns.view(4, 3)[taken].var(correction=0)).item()
    )
    out["tool_mask"] = out["completion_mask"] * torch.tensor([[1], [1], [0], [1]])  # one completion is dropped
    out["num_items_in_batch"] = out["tool_mask"].sum()
    loss, mean = part(out, updates=2.0)
    want = value_loss(values, values, returns.view(4, 3), 0.2)[out["tool_mask"].bool()].mean()
    torch.testing.assert_close(loss, 0.5 * 2.0 * want)
    assert mean == pytest.approx(want.item(), rel=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in part.critic.head.parameters())


def test_the_critic_joins_an_optimizer_once(model):
    part = critic_loss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    part.join(optimizer)
    part.join(optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 1e-3]
