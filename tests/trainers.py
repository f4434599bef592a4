"""What tests ask of a trainer (conftest: make_trainer): a batch, its loss and gradient, the weights."""

import torch
from transformers import TrainerCallback


def reward_even(completion_ids, **kwargs):
    """The reward of `make_trainer`'s trainers: the sum of the token ids modulo 3."""
    return [float(sum(ids) % 3) for ids in completion_ids]


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
