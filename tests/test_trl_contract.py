"""One test per hook that RLVRTrainer wraps: TRL's signature, and one step of behaviour."""

import ast
import importlib
import inspect
import io
import re

import pytest
import torch
from trl import GRPOConfig, GRPOTrainer

from rlvr.advantages import build
from rlvr.config.settings import TrainConfig
from rlvr.training.callbacks.progress import Watch
from rlvr.training.callbacks.rollout_budget import StopAtRollouts
from rlvr.training.epoch_sampler import EpochRepeatSampler
from rlvr.training.forward import Forward
from rlvr.training.trainer import RLVRTrainer
from tests.conftest import REPO
from tests.trainers import StopAt, loss_and_gradient, one_batch, weights

SIGNATURES = {
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_generate_and_score_completions": ["self", "inputs"],
    "_generate_single_turn": [
        "self",
        "prompt_ids",
        "images",
        "multimodal_fields",
        "num_generations",
        "has_tool_images",
    ],
    "_tokenize_prompts": ["self", "prompts"],
    "_get_train_sampler": ["self", "dataset"],
    "_save_checkpoint": ["self", "model", "trial"],
    "_load_optimizer_and_scheduler": ["self", "checkpoint"],
    "_init_training_state": [
        "self",
        "max_steps",
        "num_update_steps_per_epoch",
        "num_train_epochs",
        "resume_from_checkpoint",
        "trial",
    ],
    "_run_epoch": [
        "self",
        "model",
        "epoch",
        "train_dataloader",
        "steps_in_epoch",
        "num_update_steps_per_epoch",
        "trial",
        "ignore_keys_for_eval",
        "start_time",
        "resume_from_checkpoint",
        "epochs_trained",
        "steps_trained_in_current_epoch",
    ],
    "_compute_loss": ["self", "model", "inputs"],
    "training_step": ["self", "model", "inputs", "num_items_in_batch"],
    "_get_output_dir": ["self", "trial"],
    "create_optimizer": ["self", "model"],
}
# What rlvr reads or sets on TRL's trainer and on transformers', that has no signature.
ATTRIBUTES = {
    "_buffered_inputs", "_entropy_bonus_enabled", "_globalstep_last_logged", "_logs", "_metrics", "_step", "_tokenizer", "_tr_loss", "_is_vlm",
}  # fmt: skip
FUNCTIONS = {"trl.kernels.chunked_logprob._use_triton"}
LONG = {"_get_per_token_logps_and_entropies"}  # only the beginning of its signature: see below
TRAINER = [cls for cls in GRPOTrainer.__mro__ if cls.__module__.startswith(("trl.", "transformers."))]


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_names_of(classes):
    """Return the private methods and attributes that the classes define, and those that they set on `self`."""
    names = {name for cls in classes for name in vars(cls)}
    for cls in classes:
        names |= set(re.findall(r"\bself\.(_\w+)", inspect.getsource(cls)))
    return set(filter(is_private, names))


def private_names_in(source):
    """Return the private names that a file touches (attributes, strings as for getattr, methods) or imports."""
    touched, imported = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            touched.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            touched.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            touched.add(node.value)
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in {
            "trl",
            "transformers",
            "accelerate",
        }:
            imported |= {f"{node.module}.{name.name}" for name in node.names if is_private(name.name)}
    return set(filter(is_private, touched)), imported


ONE_FILE = REPO / "rlvr" / "training" / "trainer.py"


def test_every_private_name_of_the_trainer_that_we_touch_is_listed_and_no_other():
    touched, imported = private_names_in(ONE_FILE.read_text(encoding="utf-8"))
    assert touched & private_names_of(TRAINER) == set(filter(is_private, SIGNATURES)) | ATTRIBUTES | LONG
    assert imported == FUNCTIONS


def test_no_other_file_touches_a_private_name_of_the_trainer():
    """A file may give a method of its own a name that the trainer has too; it imports no private function at all."""
    touching, theirs = {}, private_names_of(TRAINER)
    for path in sorted(set((REPO / "rlvr").rglob("*.py")) - {ONE_FILE}):
        source = path.read_text(encoding="utf-8")
        names, imported = private_names_in(source)
        defined = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
        if touched := names & theirs - defined | imported:
            touching[path.name] = touched
    assert touching == {}


def test_attributes_are_those_of_a_trainer_that_has_trained(make_trainer):
    trainer = make_trainer(GRPOTrainer, max_steps=1)
    trainer.train()
    assert {name for name in ATTRIBUTES if not hasattr(trainer, name)} == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_where_we_import_them(name):
    module, _, function = name.rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("hook", SIGNATURES)
def test_signature_in_the_installed_trl(hook):
    assert list(inspect.signature(getattr(GRPOTrainer, hook)).parameters) == SIGNATURES[hook]


def test_log_prob_hook_begins_with_the_arguments_we_pass_on():
    names = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    assert names[:8] == [
        "self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size", "compute_entropy", "compute_aux_loss",
    ]  # fmt: skip


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo", "bnpo", "cispo"])
def test_without_rlvr_options_it_is_grpo_trainer(make_trainer, loss_type):
    """Same rollouts, losses, gradients and final weights as TRL's own class, to the bit."""
    ours, theirs = (make_trainer(cls, GRPOConfig, loss_type=loss_type) for cls in (RLVRTrainer, GRPOTrainer))
    for trainer in (theirs, ours):
        torch.manual_seed(5)
        trainer.train()
    assert torch.equal(weights(ours), weights(theirs))
    for mine, his in zip(ours.state.log_history, theirs.state.log_history, strict=True):
        for key in ("loss", "grad_norm", "reward", "entropy"):
            assert mine.get(key) == his.get(key)


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo", "bnpo"])
def test_grpo_chain_equals_trls_own_advantages_loss_and_gradient(make_trainer, loss_type):
    results = []
    for kwargs in ({}, {"advantage": build("grpo")}):
        trainer = make_trainer(config=GRPOConfig, loss_type=loss_type, **kwargs)
        out = one_batch(trainer)
        loss = trainer._compute_loss(trainer.model, out)
        loss.backward()
        results.append(
            (
                out["advantages"],
                loss.detach(),
                torch.cat([p.grad.flatten() for p in trainer.model.parameters()]),
            )
        )
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"])
def test_dropped_rows_leave_the_loss_and_its_normaliser(make_trainer, loss_type):
    """The loss over a batch with dropped rows equals the loss of a batch that never held them (semantic 3)."""
    trainer = make_trainer(
        config=GRPOConfig, loss_type=loss_type, advantage=build("signed, keep_negative"), correct="reward_even > 0"
    )
    out = one_batch(trainer)
    kept = out["tool_mask"].any(1) if "tool_mask" in out else torch.ones(8, dtype=torch.bool)
    assert 0 < kept.sum() < 8
    loss = trainer._compute_loss(trainer.model, out)
    without = {k: v[kept] if torch.is_tensor(v) and v.dim() else v for k, v in out.items() if k != "tool_mask"}
    without["advantages"] = -torch.ones(int(kept.sum()))
    without["num_items_in_batch"] = without["completion_mask"].sum()
    torch.testing.assert_close(loss, trainer._compute_loss(trainer.model, without), rtol=1e-5, atol=1e-7)


def test_kl_with_a_row_mean_loss_is_refused_before_training(make_trainer):
    with pytest.raises(ValueError, match="cannot leave the normaliser exactly"):
        make_trainer(config=GRPOConfig, loss_type="grpo", beta=0.1, advantage=build("nsr"), correct="reward_even > 0")


def test_logged_advantages_are_the_used_ones(make_trainer):
    """Semantic 6: TRL would show its own."""
    trainer = make_trainer(config=GRPOConfig, advantage=build("dr_grpo"))
    out = one_batch(trainer)
    torch.testing.assert_close(torch.tensor(list(trainer._logs["advantages"])), out["advantages"])


def test_per_token_advantages_reach_the_loss(make_trainer):
    """TRL promises (B, T) advantages to subclasses; constant rows must give the (B,) loss."""
    trainer = make_trainer(config=GRPOConfig)
    out = one_batch(trainer)
    flat = trainer._compute_loss(trainer.model, out)
    per_token = {**out, "advantages": out["advantages"][:, None].expand_as(out["completion_ids"])}
    torch.testing.assert_close(trainer._compute_loss(trainer.model, per_token), flat)


def test_packed_training_pass_equals_trls(make_trainer):
    """fp32, the same rollouts: loss to 1e-5, gradient cosine above 0.9999."""
    results = []
    for config, kwargs in ((GRPOConfig, {}), (TrainConfig, {"pack_prompts": True, "engine": "trl"})):
        trainer = make_trainer(config=config, **kwargs)
        out = one_batch(trainer)
        loss = trainer._compute_loss(trainer.model, out)
        loss.backward()
        results.append((loss.detach(), torch.cat([p.grad.flatten() for p in trainer.model.parameters()])))
    (plain, g), (packed, h) = results
    torch.testing.assert_close(packed, plain, rtol=1e-5, atol=1e-7)
    assert torch.cosine_similarity(g, h, 0) > 0.9999


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"])
@pytest.mark.parametrize("old", [False, True], ids=["on-policy", "old-logps"])
def test_skipping_silent_rows_sharing_prompts_and_the_head_change_nothing(make_trainer, loss_type, old):
    """The fast training pass against TRL's own on the same rollouts: loss to 1e-5, gradient cosine above 0.9999."""
    common = {"loss_type": loss_type, "use_cpu": True}
    ours = make_trainer(model="tiny", **common)
    theirs = make_trainer(GRPOTrainer, **common)
    theirs.model.load_state_dict(ours.model.state_dict())
    out = one_batch(ours)
    theirs.model.train()
    theirs.current_gradient_accumulation_steps = 1
    out["advantages"] = torch.tensor([0.0, 1.5, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0])
    if old:
        out["old_per_token_logps"] = torch.randn(out["completion_ids"].shape) * 0.1 - 5.6  # near the log of 1 in 267
    (loss, gradient), (want_loss, want_gradient) = loss_and_gradient(ours, out), loss_and_gradient(theirs, out)
    torch.testing.assert_close(loss, want_loss, rtol=1e-5, atol=1e-8)
    assert torch.nn.functional.cosine_similarity(gradient, want_gradient, 0) > 0.9999
    torch.testing.assert_close(gradient.norm(), want_gradient.norm(), rtol=1e-4, atol=1e-7)
    assert ours._metrics["train"]["rows_skipped"][-1] == 6 / 8


def test_skipped_rows_are_not_computed(make_trainer):
    trainer = make_trainer(model="tiny")
    out = one_batch(trainer)
    seen = []
    trainer.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((kwargs["labels"] != -100).sum().item()), with_kwargs=True
    )
    for live in (8, 3, 1, 0):
        out["advantages"] = (torch.arange(8) < live).float()
        loss_and_gradient(trainer, out)
    tokens = out["completion_mask"].sum(1)
    assert seen == [int(tokens[:n].sum()) for n in (8, 3, 1, 1)]  # one row stays, so that the graph reaches the weights
    out["advantages"] = torch.zeros(8)
    assert not loss_and_gradient(trainer, out)[1].any()


@pytest.mark.parametrize(
    "change",
    [{"beta": 0.1}, {"_entropy_bonus_enabled": True}, {"top_entropy_quantile": 0.5}, {"aux_loss_enabled": True}],
)
def test_rows_are_not_skipped_where_they_matter(make_trainer, change):
    trainer = make_trainer(model="tiny")
    out = one_batch(trainer)
    out["advantages"] = torch.zeros(8)
    assert trainer._without_signal(out) is not None
    for name, value in change.items():
        setattr(trainer, name, value)
    assert trainer._without_signal(out) is None


def test_sampler_order_is_trls_and_can_start_at_any_epoch():
    make_sampler = lambda cls: cls(list(range(10)), mini_repeat_count=2, batch_size=4, repeat_count=2, seed=7)  # noqa: E731
    from trl.trainer.utils import RepeatSampler

    theirs = make_sampler(RepeatSampler)
    epochs = [list(theirs), list(theirs), list(theirs)]
    ours = make_sampler(EpochRepeatSampler)
    for epoch in (2, 0, 1):
        ours.set_epoch(epoch)
        assert list(ours) == epochs[epoch]


def test_in_process_engine_serves_training_and_the_sampling_seed_is_its_own(make_trainer):
    seeds = ((0, 1), (0, 1), (0, 2), (5, 1))
    outs = [one_batch(make_trainer(data_seed=data, sampling_seed=sampling)) for data, sampling in seeds]
    assert torch.equal(outs[0]["completion_ids"], outs[1]["completion_ids"])
    assert torch.equal(outs[0]["prompt_ids"], outs[2]["prompt_ids"])  # same data order
    assert not torch.equal(outs[0]["completion_ids"], outs[2]["completion_ids"])  # other samples
    assert not torch.equal(outs[0]["prompt_ids"], outs[3]["prompt_ids"])  # other data order


def test_old_log_probabilities_are_the_samplers(make_trainer, monkeypatch):
    """They equal the model's to 1e-4 without a forward; truncated sampling asks the model."""
    trainer = make_trainer(steps_per_generation=2)
    calls = []
    score = Forward.score_rows
    monkeypatch.setattr(Forward, "score_rows", lambda self, *a: calls.append(1) or score(self, *a))
    out = one_batch(trainer)
    assert not calls
    ids = torch.cat([out["prompt_ids"], out["completion_ids"]], 1)
    mask = torch.cat([out["prompt_mask"], out["completion_mask"]], 1)
    again, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, out["completion_ids"].shape[1])
    torch.testing.assert_close(out["old_per_token_logps"], again.detach(), atol=1e-4, rtol=0)
    assert calls
    for setting in ({"top_p": 0.9}, {"top_k": 5}):
        calls.clear()
        one_batch(make_trainer(steps_per_generation=2, **setting))
        assert calls


class CollapseAt(Watch):
    """The watch of --stop_on_collapse, alarmed by what it keeps over a resume: so many logged rows."""

    def __init__(self, rows):
        super().__init__(window=rows, stop=True, stream=io.StringIO())

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "reward" in logs:
            found = logs | {"groups/all_wrong": 1.0, "format_rate": 1.0, "entropy": 1.0 + 9 * (state.global_step == 3)}
            super().on_log(args, state, control, logs=found, **kwargs)


@pytest.mark.parametrize(
    ("steps_per_generation", "accumulation", "num_iterations"),
    [(2, 1, 1), (1, 1, 2), (4, 1, 1), (2, 1, 2), (4, 2, 1), (2, 2, 2)],
)
@pytest.mark.parametrize("stop", [3, 5, *(pytest.param(s, marks=pytest.mark.slow) for s in (4, 6))])
def test_resume_gives_the_weights_of_an_uninterrupted_run(
    tmp_path, make_trainer, steps_per_generation, accumulation, num_iterations, stop
):
    """Eight prompts, so the data run into a second epoch; checkpoints fall inside generation windows too.

    TRL alone resumes exactly in 3 of 16 such configurations; here all 24 must.
    """

    def build_trainer(folder, steps):
        return make_trainer(
            folder=folder,
            max_steps=steps,
            per_device_train_batch_size=4,
            num_generations=4,
            gradient_accumulation_steps=accumulation,
            steps_per_generation=steps_per_generation,
            num_iterations=num_iterations,
            save_strategy="steps",
            save_steps=stop,
            lr_scheduler_type="constant",
            advantage=build("grpo"),
        )

    whole = build_trainer(tmp_path / "whole", 8)
    whole.train()
    first = build_trainer(tmp_path / "cut", 8)
    first.args.max_steps = 8
    first.add_callback(StopAt(stop))
    first.train()
    second = build_trainer(tmp_path / "cut", 8)
    second.train(resume_from_checkpoint=str(tmp_path / "cut" / f"checkpoint-{stop}"))
    assert second.state.global_step == 8
    assert torch.equal(weights(second), weights(whole))
    assert second.record == whole.record


@pytest.mark.parametrize("ends", ["max_steps", "max_rollouts", "stop_on_collapse"])
def test_what_has_ended_trains_nothing_more(tmp_path, make_trainer, ends):
    """Resumed from its last checkpoint, which is no epoch's end; transformers alone trains one step too many."""

    def trainer(watch):
        steps = 3 if ends == "max_steps" else 6
        extra = [StopAtRollouts(3 * 8, per_batch=8)] if ends == "max_rollouts" else [watch]
        found = make_trainer(
            rows=16, max_steps=steps, save_strategy="steps", save_steps=1, logging_steps=1, advantage=build("grpo")
        )
        for callback in extra if ends != "max_steps" else []:
            found.add_callback(callback)
        return found

    first = trainer(CollapseAt(3))
    first.train()
    assert first.state.global_step == 3
    second = trainer(CollapseAt(3))
    second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert second.state.global_step == 3
    assert torch.equal(weights(second), weights(first))
    third = trainer(CollapseAt(3))  # from the middle: it ends where it ended
    third.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert third.state.global_step == 3
    assert torch.equal(weights(third), weights(first))


@pytest.mark.parametrize("logging_steps", [1, 3, 99])
def test_a_budget_of_completions_holds_however_often_is_logged(make_trainer, logging_steps):
    """Only logged steps counted: with a line every third step, three times the budget was sampled."""
    trainer = make_trainer(max_steps=6, logging_steps=logging_steps, advantage="grpo")
    trainer.add_callback(StopAtRollouts(2 * 8, per_batch=8))
    trainer.train()
    assert trainer.state.global_step == 2


def test_how_often_to_save_is_the_commands_after_a_resume(tmp_path, make_trainer):
    """transformers goes on with the number in the checkpoint."""
    settings = {"save_strategy": "steps", "advantage": build("grpo"), "max_steps": 4}
    make_trainer(save_steps=2, **settings).train()
    again = make_trainer(save_steps=1, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert (tmp_path / "checkpoint-3").is_dir()


def test_evaluating_does_not_change_training(make_trainer):
    """Semantic 9: final weights are the same with and without evaluations in between."""
    results = []
    for evals in ({}, {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 4}):
        trainer = make_trainer(max_steps=3, engine="trl", **evals)
        trainer.train()
        results.append(weights(trainer))
    assert torch.equal(*results)
