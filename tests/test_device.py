"""What must hold on any device: the same bodies run on the CPU always, and on the accelerator where there is one."""

import pytest
import torch
from trl import GRPOTrainer
from trl.kernels.chunked_logprob import ChunkedLogProbFunction

from rlvr.advantages import build
from rlvr.commands.main import main
from rlvr.models.forward.head import score
from rlvr.models.load import build_tiny
from rlvr.models.sampling import Engine, Sampling, Steered
from rlvr.runs.directory import RunDir, read_metrics
from tests.greedy import PROMPTS, reference
from tests.packed_rows import assert_same, batch
from tests.trainers import StopAt, loss_and_gradient, one_batch, weights


def small(device, seed=0):
    return build_tiny(seed=seed, hidden=64, layers=2)[0].eval().to(device)


def on(device):
    """Settings that keep a trainer to the device, in float32."""
    return {"use_cpu": device.type == "cpu"}


@pytest.mark.parametrize("fast", [True, False])
def test_greedy_sampling_equals_transformers_generate(device, fast):
    model = small(device)
    engine = Engine(model, [1], 0, fast=fast)
    assert engine.generate(PROMPTS, 1, Sampling(24, 0.0), seed=0).ids == reference(model, PROMPTS, 24, [1])
    assert engine.path == ("fast" if fast else "general")


def test_both_paths_draw_the_same_rows_and_the_models_log_probabilities(device):
    model = small(device)
    fast, slow = (Engine(model, [1], 0, fast=f).generate(PROMPTS, 4, Sampling(12, 0.8), seed=3) for f in (True, False))
    assert fast.ids == slow.ids
    for i, (ids, logps) in enumerate(zip(fast.ids, fast.logps, strict=True)):
        prompt = PROMPTS[i // 4]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids], device=device)).logits[0, len(prompt) - 1 : -1] / 0.8
        want = logits.log_softmax(-1)[range(len(ids)), ids]
        torch.testing.assert_close(torch.tensor(logps), want.cpu(), atol=1e-4, rtol=1e-4)


def test_the_bfloat16_copy_is_read_by_the_fast_path(device):
    engine = Engine(small(device), [1], 0, dtype=torch.bfloat16)
    assert len(engine.generate(PROMPTS, 8, Sampling(8), seed=1).ids) == 32
    assert engine.path == "fast"


def test_a_steered_policy_with_no_steering_is_the_base(device):
    models = [small(device, seed) for seed in range(3)]
    steered = Engine(Steered(*models, alpha=0.0), [1], 0).generate(PROMPTS, 2, Sampling(8), seed=1)
    assert steered.ids == Engine(models[0], [1], 0).generate(PROMPTS, 2, Sampling(8), seed=1).ids


@pytest.mark.parametrize("seed", range(2))
def test_packed_rows_give_the_plain_forwards_values_and_gradients(device, seed):
    assert_same(small(device).train(), tuple(rows.to(device) for rows in batch(seed, rows=9, prompts=3)))


def test_the_head_is_trls_kernel(device):
    """On a GPU theirs is written in Triton: log-probability, entropy and the gradients of both."""
    g = torch.Generator().manual_seed(1)
    hidden, weight = torch.randn(40, 64, generator=g), torch.randn(300, 64, generator=g) / 8
    targets = torch.randint(0, 300, (40,), generator=g).to(device)
    found = []
    for theirs in (False, True):
        leaves = [t.to(device).requires_grad_() for t in (hidden, weight)]
        if theirs:
            values = ChunkedLogProbFunction.apply(
                *leaves, None, targets, 0.7, 128, None, 1.0, ("log_probs", "entropy")
            )[:2]
        else:
            values = score(*leaves, None, targets, 0.7)
        (values[0].sum() + 0.5 * values[1].sum()).backward()
        found.append([*(v.detach() for v in values), *(leaf.grad for leaf in leaves)])
    for ours, other in zip(*found, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss_type", ["dapo", "dr_grpo"])
def test_a_training_step_is_trls(device, loss_type, make_trainer):
    """Packed prompts, skipped rows and whichever head this device has: loss and gradient of TRL's own pass."""
    ours = make_trainer(loss_type=loss_type, **on(device))
    theirs = make_trainer(GRPOTrainer, loss_type=loss_type, **on(device))
    assert {p.device for p in ours.model.parameters()} == {device}
    out = one_batch(ours)
    theirs.model.train()
    theirs.current_gradient_accumulation_steps = 1
    out["advantages"] = torch.tensor([0.0, 1.5, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0], device=device)
    (loss, gradient), (want_loss, want_gradient) = loss_and_gradient(ours, out), loss_and_gradient(theirs, out)
    torch.testing.assert_close(loss, want_loss, rtol=1e-4, atol=1e-7)
    assert torch.nn.functional.cosine_similarity(gradient, want_gradient, 0) > 0.9999
    torch.testing.assert_close(gradient.norm(), want_gradient.norm(), rtol=1e-3, atol=1e-6)
    assert ours._metrics["train"]["rows_skipped"][-1] == 6 / 8


@pytest.mark.parametrize("kind", ["shared", "separate"])
def test_a_critic_trains(device, kind, make_trainer):
    settings = {"advantage": build("gae"), "critic": kind, **on(device)}
    trainer = make_trainer(**settings)
    trainer.train()
    assert trainer.critic.head.weight.device == device and trainer.critic.head.weight.any()


def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(device, tmp_path, make_trainer):
    """To the bit where two equal runs agree to the bit (the CPU does); else as near as those two are, times ten."""

    def trainer(folder):
        return make_trainer(
            folder=folder,
            advantage=build("grpo"),
            max_steps=4,
            steps_per_generation=2,
            per_device_train_batch_size=4,
            save_strategy="steps",
            save_steps=3,
            lr_scheduler_type="constant",
            **on(device),
        )

    whole = trainer(tmp_path / "one")
    whole.train()
    again = trainer(tmp_path / "two")
    again.train()
    noise = (weights(whole) - weights(again)).abs().max()
    assert device.type != "cpu" or noise == 0
    first = trainer(tmp_path / "cut")
    first.add_callback(StopAt(3))
    first.train()
    assert (weights(first) - weights(whole)).abs().max() > 10 * noise  # the last step counts
    second = trainer(tmp_path / "cut")
    second.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-3"))
    assert (weights(second) - weights(whole)).abs().max() <= 10 * noise


def test_the_command_warms_up_trains_and_evaluates(device, tmp_path, cache):
    flags = ["--use_cpu", "true"] if device.type == "cpu" else []
    assert main([
        "train", "--config", "nsr", "tiny", "--sft_steps", "3", "--sft_batch_size", "8", "--max_steps", "2",
        "--eval_size", "4", "--eval_n", "2", "--train_size", "8", "--per_device_train_batch_size", "8",
        "--num_generations", "4", "--no_report", "--output_dir", str(tmp_path / "run"), *flags,
    ]) == 0  # fmt: skip
    rows = read_metrics(RunDir(tmp_path / "run").metrics)
    assert [row["step"] for row in rows] == [1, 2] and any(row["grad_norm"] for row in rows)
