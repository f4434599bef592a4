"""Nothing mixes devices: sampling, packing, head, critic and signal on a made-up `cuda`, with the CPU's numbers."""

from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError

import rlvr.models.forward.shared_attention
import rlvr.models.sampling.cache
import rlvr.models.sampling.llama
import rlvr.models.sampling.rows
import rlvr.models.sampling.sampler
from rlvr.advantages import build
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.models.forward.head import _ChunkedScores, score
from rlvr.models.forward.packing import pack
from rlvr.models.forward.shared_attention import _Move, share_prompts
from rlvr.models.load import build_tiny
from rlvr.models.sampling import Engine, Sampling, Steered
from rlvr.select.embed import pooled_embeddings
from rlvr.select.nll import answer_nll
from rlvr.training.batch_metrics import signal_metrics
from rlvr.training.critic import Critic, explained_variance, value_loss
from rlvr.training.supervised.tokenised_brier import collate, slot, tokenised_brier, value_logps
from tests.made_up_device import CUDA, OnCuda, made_up_cuda, on_cuda
from tests.packed_rows import batch, packed_logps, plain_logps

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12]]
MIXED = (FakeTensorDeviceMismatchError, RuntimeError)
pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="there is a real GPU: tests/test_device.py runs on it"
)


def small(seed=0):
    return build_tiny(seed=seed, hidden=64, layers=2)[0].eval()


def test_the_made_up_device_refuses_what_a_gpu_refuses():
    with made_up_cuda():
        x = torch.ones(2, 2, device="cuda")
        assert (x + torch.tensor(1.0)).tolist() == [[2.0, 2.0]] * 2  # a number of any device
        assert x[torch.tensor([0])].device == CUDA and x.cpu().device.type == "cpu" and int(x.sum()) == 4
        for mixed in (
            lambda: x @ torch.ones(2, 2),
            lambda: x + torch.ones(2),
            lambda: torch.cat([x, torch.ones(2, 2)]),
            lambda: x.gather(1, torch.zeros(2, 1, dtype=torch.long)),
            lambda: x.index_put((torch.arange(2),), torch.ones(2, 2)),
            lambda: torch.isin(x, torch.ones(1)),
            lambda: torch.where(torch.ones(2, 2) > 0, x, x),
        ):
            with pytest.raises(MIXED, match="device"):
                mixed()
        with pytest.raises(RuntimeError):
            x.numpy()


# ------------------------------------------------------------------ sampling


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("sampling", [Sampling(8, 0.0), Sampling(6, 0.8, top_p=0.9, top_k=20)], ids=["greedy", "drawn"])
def test_the_engine_samples_what_it_samples_on_the_cpu(fast, sampling):
    """Rows end at different steps and prompts move into their slots, so every part of the loop is used."""
    model, ends = small(), list(range(3, 90, 2))
    want = Engine(model, ends, 0, max_rows=4, fast=fast).generate(PROMPTS, 2, sampling, seed=5)
    assert len({len(ids) for ids in want.ids}) > 1
    with made_up_cuda():
        engine = Engine(on_cuda(model), ends, 0, max_rows=4, fast=fast)
        got = engine.generate(PROMPTS, 2, sampling, seed=5)
        assert engine.path == ("fast" if fast else "general")
    assert got.ids == want.ids
    for mine, wanted in zip(got.logps, want.logps, strict=True):
        assert mine == pytest.approx(wanted, abs=1e-5)


def test_a_low_precision_copy_and_a_merged_adapter_stay_on_the_device():
    base = small()
    policy = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)).eval()
    want = Engine(policy, [1], 0).generate(PROMPTS, 1, Sampling(4, 0.0), seed=0).ids
    with made_up_cuda():
        on_cuda(policy)
        assert Engine(policy, [1], 0).generate(PROMPTS, 1, Sampling(4, 0.0), seed=0).ids == want
        engine = Engine(policy, [1], 0, dtype=torch.bfloat16)
        engine.generate(PROMPTS, 1, Sampling(2, 0.0), seed=0)
        assert engine.source._fast.embed.device == CUDA


def test_a_steered_policy():
    models = [small(seed) for seed in range(3)]
    want = Engine(Steered(*models), [1], 0).generate(PROMPTS, 2, Sampling(4), seed=1).ids
    with made_up_cuda():
        steered = Steered(*map(on_cuda, models))
        assert Engine(steered, [1], 0).generate(PROMPTS, 2, Sampling(4), seed=1).ids == want


class _Forgetful:
    """`torch`, but one of its functions forgets its device."""

    def __init__(self, function: str):
        self._function = function

    def __getattr__(self, name):
        real = getattr(torch, name)
        return real if name != self._function else lambda *a, device=None, **kw: real(*a, **kw)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (rlvr.models.sampling.cache, "zeros"),
        (rlvr.models.sampling.llama, "arange"),
        (rlvr.models.sampling.rows, "tensor"),
        (rlvr.models.sampling.rows, "zeros"),
        (rlvr.models.sampling.sampler, "full"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_forgotten_device_in_the_engine_is_found(module, function, monkeypatch):
    model = small()
    with made_up_cuda():
        on_cuda(model)
        monkeypatch.setattr(module, "torch", _Forgetful(function))
        with pytest.raises(MIXED, match="device"):
            Engine(model, [1], 0).generate(PROMPTS, 2, Sampling(3), seed=0)


# ------------------------------------------------------------------ the training pass


def test_packed_rows_with_shared_attention():
    model, rows = small(), batch(1, rows=6, prompts=2)
    with torch.no_grad():
        want = plain_logps(model, *rows)
    share_prompts(model)
    with made_up_cuda():
        got = packed_logps(on_cuda(model), *on_cuda(rows)).cpu()
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_packing_reads_the_device_once_for_each_tensor(monkeypatch):
    """Row by row it waited for a GPU three times for each completion."""
    copies = []
    real = torch.Tensor.cpu
    monkeypatch.setattr(OnCuda, "tolist", None)
    monkeypatch.setattr(OnCuda, "cpu", lambda self: copies.append(1) or real(self), raising=False)
    with made_up_cuda():
        assert pack(*on_cuda(batch(1, rows=6, prompts=2))).input_ids_1L.device == CUDA
    assert len(copies) == 4


@pytest.mark.parametrize("function", ["tensor", "ones"])
def test_a_forgotten_device_in_the_layout_is_found(function, monkeypatch):
    model, rows = small(), batch(1, rows=6, prompts=2)
    share_prompts(model)
    monkeypatch.setattr(rlvr.models.forward.shared_attention, "torch", _Forgetful(function))
    with made_up_cuda(), pytest.raises(MIXED, match="device"):
        packed_logps(on_cuda(model), *on_cuda(rows))


def saved(*tensors):
    """A stand-in for autograd's context: there is no backward on the made-up device, so its parts are called."""
    return SimpleNamespace(
        saved_tensors=tensors,
        needs_input_grad=(True, True, True),
        temperature=0.7,
        set_materialize_grads=lambda _: None,
    )


def test_the_head_and_its_backward():
    hidden, weight, bias, targets = torch.randn(5, 8), torch.randn(11, 8), torch.randn(11), torch.arange(5)
    leaves = [t.clone().requires_grad_() for t in (hidden, weight, bias)]
    want = score(*leaves, targets, 0.7)
    (want.log_probs.sum() + 2 * want.entropy.sum()).backward()
    with made_up_cuda():
        on = on_cuda((hidden, weight, bias, targets))
        got = score(*on, 0.7)
        log_z = torch.logsumexp(torch.nn.functional.linear(*on[:3]) / 0.7, -1)
        grads = _ChunkedScores.backward(
            saved(*on, log_z, got.entropy), torch.ones(5, device="cuda"), 2 * torch.ones(5, device="cuda")
        )[:3]
        found = [*(v.cpu() for v in got), *(g.cpu() for g in grads)]
    for mine, wanted in zip(found, [*(v.detach() for v in want), *(leaf.grad for leaf in leaves)], strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


def test_moving_cells_and_back():
    with made_up_cuda():
        packed = pack(*on_cuda(batch(1, rows=6, prompts=2)))
        layout, n = packed.layout, packed.input_ids_1L.numel()
        cells = torch.ones(len(layout.flat_C), 2, device="cuda")
        grad, *_ = _Move.backward(saved(layout.flat_C, layout.real_C), torch.ones(n, 2, device="cuda"))
        assert grad.shape == cells.shape and grad.device == CUDA and float(grad.sum()) == 2 * n


@pytest.mark.parametrize("kind", ["shared", "separate"])
def test_critic(kind):
    model, rows = small(), batch(1, rows=6, prompts=2)
    critic = Critic(model, kind)
    torch.nn.init.normal_(critic.head.weight)
    share_prompts(model)
    want = value_of(model, critic, pack(*rows))
    with made_up_cuda():
        on_cuda(model), on_cuda(critic)
        values = value_of(model, critic, pack(*on_cuda(rows)))
        value_loss(values, values + 0.1, torch.ones_like(values), 0.2)
        explained_variance(values, values.square())
        torch.testing.assert_close(values.cpu(), want, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def value_of(model, critic, packed):
    return critic(model, packed.model_inputs, packed.labels_1L)


def every_third(completion_ids, **_):
    return [float(i % 3 == 0) for i in range(len(completion_ids))]


@pytest.mark.parametrize(
    "settings",
    [
        {"advantage": build("signed, keep_negative"), "reward_funcs": every_third, "correct": "every_third > 0"},
        {"advantage": build("ppo"), "critic": "separate"},
        {"advantage": build("grpo"), "critic": "none", "loss_type": "dr_grpo", "pack_prompts": False},
        {"advantage": build("grpo"), "steps_per_generation": 2},  # the old log-probabilities are the sampler's
        {"advantage": build("grpo"), "steps_per_generation": 2, "sampling_dtype": "bfloat16"},  # and here the model's
        {"advantage": build("grpo"), "chunked_head": False},  # a GPU has TRL's fused head
        {"advantage": None},
    ],
    ids=["dropped", "critic", "plain", "old-logps", "bfloat16-sampler", "fused-head", "trl-signal"],
)
def test_a_generation_batch_and_its_loss(settings, make_trainer, monkeypatch):
    """All of TRL's batch around ours: prompts, sampling, rewards, the signal back in the batch, and the loss."""

    def trainer_and_rows():
        own = {k: v for k, v in settings.items() if k != "chunked_head"}
        trainer = make_trainer(**own)
        trainer.forward.chunked_head = settings.get("chunked_head", True)
        torch.manual_seed(9)
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = 1
        return trainer, next(iter(trainer.get_train_dataloader()))

    trainer, rows = trainer_and_rows()
    want = trainer._generate_and_score_completions(rows)
    want_loss = trainer._compute_loss(trainer.model, want).detach()
    trainer, rows = trainer_and_rows()
    monkeypatch.setattr(Accelerator, "device", CUDA)
    with made_up_cuda():
        for module in (trainer.model, trainer.critic):
            on_cuda(module)
        trainer.reward_weights = on_cuda(trainer.reward_weights)
        got = trainer._generate_and_score_completions(rows)
        assert {v.device for v in got.values() if isinstance(v, torch.Tensor)} == {CUDA}
        loss = trainer._compute_loss(trainer.model, got).cpu()
        got = {k: v.cpu() for k, v in got.items() if isinstance(v, torch.Tensor)}
    for name, value in got.items():
        torch.testing.assert_close(value, want[name], atol=1e-5, rtol=1e-4)
    assert want_loss
    torch.testing.assert_close(loss, want_loss, atol=1e-6, rtol=1e-4)


# ------------------------------------------------------------------ the signal, and what is measured

CHAINS = (
    "grpo", "dr_grpo", "rloo", "gdpo", "pkpo(k=2)", "pass_at_k(k=2)", "maxrl", "signed, keep_negative", "gae",
    "grpo, drop_truncated, drop_zero_signal, drop_near_impossible", "group_center, batch_scale", "grpo, batch_whiten",
    "split_confidence", "mask_sign",
)  # fmt: skip


@pytest.mark.parametrize("spec", CHAINS)
def test_every_transform_stays_where_its_rollouts_are(spec):
    transform = build(spec)
    rollouts = Rollouts.of(
        [[1.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0]], truncated_PG=[[0, 0, 1, 0], [0, 0, 0, 0]],
        tokens_PG=[[3, 2, 4, 1], [2, 2, 3, 3]], split_PG=[[2, 1, 4, 1], [1, 2, 2, 3]],
        terms_PGF=torch.rand(2, 4, 2), weights_F=[1.0, 0.5], confidence_PG=torch.rand(2, 4), attempts_P=[8, 8],
        successes_P=[4, 0],
    )  # fmt: skip
    want = transform(rollouts)
    with made_up_cuda():
        moved = Rollouts(**on_cuda({f.name: getattr(rollouts, f.name) for f in fields(rollouts)}))
        got: Signal = transform(moved)
        assert got.adv.device == got.keep_PG.device == CUDA
        metrics = signal_metrics(moved, got, None, ())
        torch.testing.assert_close(got.adv.cpu(), want.adv)
    assert metrics == pytest.approx(signal_metrics(rollouts, want, None, ()), nan_ok=True)


def test_what_selection_and_calibration_measure(tiny):
    _, tokenizer = tiny
    model, (contexts, answers) = small(), ([[5, 6], [7]], [[8, 9], [10, 11, 12]])
    text = "<answer>4</answer><confidence>0.3</confidence>"
    examples = collate([slot(tokenizer, [5, 6], text, True), slot(tokenizer, [7], text, False)], 0)
    with torch.no_grad():
        want = tokenised_brier(value_logps(model, examples), examples["correct"])
    nll, pooled = answer_nll(model, contexts, answers), pooled_embeddings(model, answers)
    with made_up_cuda():
        on_cuda(model)
        moved = on_cuda(examples)
        got = tokenised_brier(value_logps(model, moved), moved["correct"]).cpu()
        again, embedded = answer_nll(model, contexts, answers), pooled_embeddings(model, answers)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(again, nll)
    assert embedded == pytest.approx(pooled, abs=1e-5)
