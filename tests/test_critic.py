"""The critic: its values by prefix, its loss by hand, its gradient zeroed and clipped, exact resume, and that it learns."""

import json
import math

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file
from sklearn.metrics import explained_variance_score
from transformers import TrainerCallback

from rlvr.advantages import build
from rlvr.commands.main import main
from rlvr.config.settings import TrainConfig
from rlvr.core.errors import ModelError, SpecError
from rlvr.models.load import build_tiny, lora_config
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.training.critic import Critic, body_of, check_critic, explained_variance, first_layers, value_loss
from tests.conftest import REPO, run_apart
from tests.trainers import StopAt, one_batch, weights

KINDS = ("shared", "separate")
GAE = build("gae(lam=0.9)")


def critical(make_trainer, kind="separate", **settings):
    settings = {"advantage": GAE, "critic": kind, "critic_learning_rate": 1e-2, "value_clip": 0.0, **settings}
    return make_trainer(**settings)


def opinionated(trainer):
    """Give the head an opinion: it starts at 0."""
    torch.nn.init.normal_(trainer.critic.head.weight, std=0.1)
    return trainer


# ---------------------------------------------------------------------- pure parts


def test_value_loss_by_hand():
    """R 1, V_old 0, clip .2. V .1 is inside: (.1 - 1)^2 / 2 = .405. V .5 is cut to .2: (.2 - 1)^2 / 2 = .32.

    V -.5 is cut to -.2, but (-.5 - 1)^2 / 2 = 1.125 is larger, so the error that grew is felt in full.
    """
    values = torch.tensor([0.1, 0.5, -0.5], requires_grad=True)
    loss = value_loss(values, torch.zeros(3), torch.ones(3), 0.2)
    torch.testing.assert_close(loss, torch.tensor([0.405, 0.32, 1.125]))
    loss.sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([-0.9, 0.0, -1.5]))  # V - R, or 0 where the cut rules
    torch.testing.assert_close(
        value_loss(values, torch.zeros(3), torch.ones(3), 0.0), torch.tensor([0.405, 0.125, 1.125])
    )


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_explained_variance_is_sklearns(noise):
    returns = torch.randn(50)
    values = returns + noise * torch.randn(50) + 3
    expected = explained_variance_score(returns.numpy(), values.numpy())
    assert explained_variance(values, returns) == pytest.approx(expected, abs=1e-6)


def test_explained_variance_of_nothing_or_of_a_constant_is_unknown():
    assert math.isnan(explained_variance(torch.zeros(0), torch.zeros(0)))
    assert math.isnan(explained_variance(torch.randn(3), torch.ones(3)))


def test_a_separate_body_is_a_copy_of_the_first_layers(tiny):
    model, _ = tiny
    ids = torch.arange(6)[None]
    whole, first = first_layers(model.base_model, 0), first_layers(model.base_model, 1)
    assert torch.equal(whole(ids).last_hidden_state, model.base_model(ids).last_hidden_state)
    hidden = model.base_model(ids, output_hidden_states=True).hidden_states[1]  # after one layer, before the norm
    torch.testing.assert_close(first(ids).last_hidden_state, model.base_model.norm(hidden))
    assert len(model.base_model.layers) == model.config.num_hidden_layers == 2
    with pytest.raises(ModelError, match="has 2 layers"):
        first_layers(model.base_model, 3)


def test_under_lora_the_critic_trains_adapters_and_head_only():
    policy = get_peft_model(build_tiny(seed=3, hidden=64, layers=2)[0], lora_config(2))
    separate = Critic(policy, "separate")
    names = [n for n, p in separate.named_parameters() if p.requires_grad]
    assert any("lora_" in n for n in names) and all("lora_" in n or n.startswith("head.") for n in names)
    assert [n for n, _ in Critic(policy, "shared").named_parameters()] == ["head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"critic": "seperate"}, "Did you mean 'separate'"),
        ({"critic": "shared", "critic_layers": 1}, "needs --critic separate"),
        ({"critic": "separate", "critic_layers": -1}, "at least 0"),
        ({"critic": "separate", "critic_learning_rate": 0.0}, "critic_learning_rate must be"),
        ({"critic": "separate", "value_coef": -1.0}, "value_coef must be"),
        ({"critic": "separate", "value_clip": math.nan}, "value_clip must be"),
        ({"critic": "separate", "advantage": "grpo"}, "needs an advantage that gives it its targets"),
    ],
    ids=str,
)
def test_a_critic_that_cannot_work_is_refused_without_a_model(settings, message):
    config = TrainConfig(**{"advantage": "ppo", "use_cpu": True, **settings})
    with pytest.raises(SpecError, match=message):
        check_critic(config, build(config.advantage))


# ---------------------------------------------------------------------- through the trainer


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_is_that_of_the_prefix_alone(make_trainer, kind):
    """V_t reads prompt and tokens before t, nothing else; packed and padded batches included."""
    trainer = opinionated(critical(make_trainer, kind))
    out = one_batch(trainer)
    body, head = trainer.critic.body or body_of(trainer.model), trainer.critic.head
    for row in (0, 3, 7):
        prompt = out["prompt_ids"][row][out["prompt_mask"][row].bool()]
        n = int(out["completion_mask"][row].sum())
        for t in range(n):
            prefix = torch.cat([prompt, out["completion_ids"][row, :t]])[None]
            value = head(body(prefix).last_hidden_state[0, -1]).item()
            assert out["old_values"][row, t].item() == pytest.approx(value, abs=1e-5)
        assert not out["old_values"][row, n:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_critic_expects_nothing_so_the_first_credit_is_the_plain_return(make_trainer, kind):
    trainer = critical(make_trainer, kind, advantage=build("gae"))
    out = one_batch(trainer)
    assert not out["old_values"].any()
    rewards = trainer.batch.judged.rewards_NF[:, 0]
    mask = out["completion_mask"]
    assert torch.equal(out["advantages"], rewards[:, None] * mask)
    assert torch.equal(out["returns"], rewards[:, None] * mask)


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_shared_body_feels_the_critics_loss(make_trainer, kind):
    trainer = opinionated(critical(make_trainer, kind))
    out = one_batch(trainer)
    trainer._more_losses(out).backward()
    assert any(p.grad is not None and p.grad.any() for p in trainer.model.parameters()) == (kind == "shared")
    assert all(p.grad is not None and p.grad.any() for p in trainer.critic.head.parameters())
    if kind == "separate":
        assert all(p.grad is not None for p in trainer.critic.body.layers.parameters())


def test_dropped_rows_leave_the_critics_loss_and_its_normaliser(make_trainer):
    trainer = opinionated(
        critical(make_trainer, advantage=build("gae, keep_negative"), correct="reward_even > 0", sampling_seed=1)
    )
    out = one_batch(trainer)
    kept = out["tool_mask"].any(1)
    assert 0 < kept.sum() < 8
    mask = out["completion_mask"][kept].bool()
    error = (out["old_values"][kept] - out["returns"][kept])[mask].square().mean() / 2
    torch.testing.assert_close(trainer._more_losses(out), 0.5 * error, rtol=1e-4, atol=1e-7)


def test_micro_batches_add_up_to_the_whole_batch(make_trainer):
    trainer = opinionated(critical(make_trainer))
    out = one_batch(trainer)
    whole = trainer._more_losses(out)
    halves = [{k: v[rows] if v.dim() else v for k, v in out.items()} for rows in (slice(0, 4), slice(4, 8))]
    trainer.args.steps_per_generation = trainer.current_gradient_accumulation_steps = 2  # one update in two halves
    torch.testing.assert_close(sum(trainer._more_losses(half) for half in halves), whole)
    trainer.current_gradient_accumulation_steps = 1  # two updates: each divides by its share of the batch
    torch.testing.assert_close(sum(trainer._more_losses(half) for half in halves), 2 * whole)


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_a_fixed_batch(make_trainer, kind):
    trainer = critical(make_trainer, kind, advantage=build("gae"))
    out = one_batch(trainer)
    optimizer = torch.optim.Adam([*trainer.critic.parameters(), *trainer.model.parameters()], lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = trainer._more_losses(out)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    mask = out["completion_mask"].bool()
    assert explained_variance(trainer.critic_loss.values(out, 8)[mask], out["returns"][mask]) > 0.5


class _Watch(TrainerCallback):
    """The critic's gradient before the first micro-batch of a step and at the update."""

    def __init__(self, critic):
        self.critic, self.left, self.norms = critic, [], []

    def grads(self):
        return [p.grad for p in self.critic.trainable() if p.grad is not None]

    def on_step_begin(self, args, state, control, **kwargs):
        self.left.append(any(g.any() for g in self.grads()))

    def on_pre_optimizer_step(self, args, state, control, **kwargs):  # behind CriticStep
        self.norms.append(torch.cat([g.flatten() for g in self.grads()]).norm().item())


@pytest.mark.parametrize("kind", KINDS)
def test_its_gradient_is_clipped_and_zeroed_and_its_weights_move(make_trainer, kind):
    trainer = critical(make_trainer, kind, max_steps=3, max_grad_norm=0.01, gradient_accumulation_steps=2)
    watch = _Watch(trainer.critic)
    trainer.add_callback(watch)
    before = {k: v.clone() for k, v in trainer.critic.state_dict().items()}
    trainer.train()
    logged = [row["critic/grad_norm"] for row in trainer.state.log_history if "critic/grad_norm" in row]
    assert watch.left == [False] * 3
    assert min(logged) > 0.01  # the clip had something to do
    assert watch.norms == pytest.approx([0.01] * 3, rel=1e-3)
    assert any(not torch.equal(before[k], v) for k, v in trainer.critic.state_dict().items())
    groups = trainer.optimizer.param_groups
    assert [g["lr"] for g in groups if any(p is trainer.critic.head.weight for p in g["params"])] == [
        trainer.lr_scheduler.get_last_lr()[-1]
    ]
    held = [id(p) for g in groups for p in g["params"]]
    assert len(held) == len(set(held))


@pytest.mark.parametrize("broken", ["critic", "policy"])
def test_a_gradient_that_is_not_finite_moves_nothing_of_the_critic(make_trainer, broken, capsys):
    trainer = critical(make_trainer, max_steps=1, max_grad_norm=1.0)
    before = {k: v.clone() for k, v in trainer.critic.state_dict().items()}

    class Break(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            if broken == "critic":
                trainer.critic.head.weight.grad[0, 0] = torch.nan
            else:  # as SkipBadGradients leaves it
                model.zero_grad()

    trainer.callback_handler.callbacks.insert(0, Break())
    policy = weights(trainer)
    trainer.train()
    assert same(dict(trainer.critic.state_dict()), before)
    assert torch.equal(weights(trainer), policy) == (broken == "policy")
    assert ("critic's gradient is not finite" in capsys.readouterr().err) == (broken == "critic")


def same(one, two):
    if torch.is_tensor(one):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("windows", [{}, {"steps_per_generation": 2, "num_iterations": 2}], ids=["fresh", "inside"])
def test_two_steps_and_two_are_four_to_the_bit(tmp_path, make_trainer, kind, windows):
    """Policy, critic and the moments of both; "inside" stops where old values and returns are still to be used."""

    def trainer(folder):
        return critical(
            make_trainer, kind, folder=folder, max_steps=4, per_device_train_batch_size=4, gradient_accumulation_steps=1, value_clip=0.2,
            save_strategy="steps", save_steps=2, lr_scheduler_type="linear", advantage=build("ppo(lam=0.9)"), **windows,
        )  # fmt: skip

    whole = trainer(tmp_path / "whole")
    whole.train()
    first = trainer(tmp_path / "cut")
    first.add_callback(StopAt(2))
    first.train()
    second = trainer(tmp_path / "cut")
    second.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-2"))
    assert second.state.global_step == 4
    assert torch.equal(weights(second), weights(whole))
    assert same(second.critic.state_dict(), whole.critic.state_dict())
    assert same(second.optimizer.state_dict(), whole.optimizer.state_dict())
    assert not same(first.critic.state_dict(), whole.critic.state_dict())
    saved = load_file(tmp_path / "whole" / "checkpoint-4" / "critic.safetensors")
    assert same(saved, dict(whole.critic.state_dict()))


def test_a_checkpoint_without_or_with_another_critic_is_refused(tmp_path, make_trainer):
    trainer = critical(make_trainer, "shared")
    with pytest.raises(ModelError, match="had no critic"):
        trainer._load_optimizer_and_scheduler(str(tmp_path))
    critical(make_trainer, "separate").critic.save(tmp_path)
    with pytest.raises(ModelError, match="another kind of critic"):
        trainer._load_optimizer_and_scheduler(str(tmp_path))


def test_evaluation_uses_the_critic_and_changes_nothing(make_trainer):
    results = []
    for evals in ({}, {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 4}):
        trainer = critical(make_trainer, "separate", engine="trl", **evals)
        trainer.train()
        results.append(trainer)
    assert torch.equal(*map(weights, results))
    assert same(*(t.critic.state_dict() for t in results))
    assert any("eval_critic/explained_variance" in row for row in results[1].state.log_history)


# ---------------------------------------------------------------------- the command


def test_the_recipe_runs_and_logs_how_much_the_critic_explains(tmp_path, cache):
    term = tmp_path / "commas.py"  # a random model answers nothing, but it differs in this
    term.write_text("def commas(c):\n    return min(1.0, c.text.count(',') + c.text.count('a') / 2)\n")
    argv = [
        "train", "--config", "ppo", "tiny", "--sft_steps", "0", "--max_steps", "4", "--eval_size", "0", "--train_size", "16",
        "--per_device_train_batch_size", "16", "--num_generations", "4", "--no_report", "--output_dir", str(tmp_path / "run"),
        "--rewards", json.dumps({str(term): 1.0}), "--allow_hackable", "true",
    ]  # fmt: skip
    assert main(argv) == 0
    rows = read_metrics(RunDir(tmp_path / "run").metrics)
    documented = (REPO / "docs" / "metrics.md").read_text()
    names = {name for row in rows for name in row if name.startswith("critic/")}
    assert names == {"critic/explained_variance", "critic/loss", "critic/grad_norm"}
    assert all(f"`{name}`" in documented for name in names)
    assert any(row.get("critic/explained_variance") is not None for row in rows)
    assert all(math.isfinite(row["critic/loss"]) and row["critic/grad_norm"] >= 0 for row in rows)


@pytest.mark.slow
def test_two_processes_are_refused_before_a_model_is_loaded(cold_cache):
    start = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "rlvr")
    done = run_apart("train --config ppo tiny --use_cpu true --dry_run", start=start, OMP_NUM_THREADS=1)
    assert done.code != 0
    assert "A critic trains in one process only (found 2" in " ".join((done.err + done.out).split())
