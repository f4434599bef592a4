"""Trainers over the `tiny` model, and what tests ask of one: a batch, its loss and gradient, the weights."""

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig

from rlvr.models.load import build_tiny


def reward_even(completion_ids, **kwargs):
    return [float(sum(ids) % 3) for ids in completion_ids]


def make(cls, tmp_path, config=GRPOConfig, *, rows=8, **kwargs):
    model, tokenizer = build_tiny(seed=3, hidden=64, layers=2)
    names = {
        k: kwargs.pop(k) for k in list(kwargs) if k in {"advantage", "record", "rollouts", "reward_funcs", "correct"}
    }
    settings = {
        "output_dir": str(tmp_path), "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 6,
        "max_steps": 2, "learning_rate": 1e-3, "report_to": "none", "bf16": False, "gradient_checkpointing": False,
        "disable_tqdm": True, "logging_steps": 1, "save_strategy": "no", "use_cpu": True, **kwargs,
    }  # fmt: skip
    names.setdefault("reward_funcs", reward_even)
    data = Dataset.from_dict({"prompt": [f"{i}+{i}=" for i in range(rows)]})
    return cls(
        model,
        args=config(**settings),
        train_dataset=data,
        eval_dataset=data,
        processing_class=tokenizer,
        **names,
    )


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def one_batch(trainer):
    """Generate and score one batch and return what the loss would get."""
    torch.manual_seed(9)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batch = next(iter(trainer.get_train_dataloader()))
    return trainer._generate_and_score_completions(batch)


def loss_and_gradient(trainer, out):
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, out)
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in trainer.model.parameters()])


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step
        return control
