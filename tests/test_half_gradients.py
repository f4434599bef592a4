"""The cosine between the gradients of two halves of a batch, by brute force: each half's gradient computed alone."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity
from transformers import TrainerCallback

from rlvr.training.half_gradients import HalfGradients, half_cosine
from rlvr.training.trainer import RLVRTrainer
from tests.trainers import weights

KEY = "health/gradient_cosine"


class Recording(RLVRTrainer):
    """Keeps the inputs of the micro-batches of the newest update."""

    inputs = ()

    def _compute_loss(self, model, inputs):
        self.inputs = (*self.inputs, dict(inputs))
        return super()._compute_loss(model, inputs)


class Alone(TrainerCallback):
    """Computes the gradient of each micro-batch alone, before the weights move, and the cosine of the halves' sums."""

    trainer, cosines = None, ()

    def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
        recorded, self.trainer.inputs, halves = self.trainer.inputs, (), []
        kept = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        for part in (recorded[: len(recorded) // 2], recorded[len(recorded) // 2 :]):
            model.zero_grad()
            for inputs in part:
                RLVRTrainer._compute_loss(self.trainer, model, inputs).backward()
            halves.append(torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None]))
        self.cosines = (*self.cosines, cosine_similarity(*halves, dim=0).item())
        for p, grad in zip(model.parameters(), kept, strict=True):
            p.grad = grad


@pytest.mark.parametrize("accumulated", [2, 4])
def test_the_cosine_is_that_of_both_halves_computed_alone(make_trainer, accumulated):
    """Under clipping to a hundredth: what is clipped minus what was not is no half."""
    settings = {"gradient_accumulation_steps": accumulated, "max_grad_norm": 0.01, "advantage": "grpo", "max_steps": 2}
    trainer = make_trainer(Recording, **settings)
    alone = Alone()
    alone.trainer = trainer
    trainer.add_callback(alone)
    trainer.train()
    logged = [row[KEY] for row in trainer.state.log_history if KEY in row]
    assert logged == pytest.approx(alone.cosines, abs=1e-5)
    assert len(logged) == 2 and 1e-3 < abs(logged[0]) < 0.999
    assert trainer.half_gradients.first is None  # no copy of the gradient is kept between updates


def test_measuring_changes_no_weight(make_trainer):
    results = []
    for measure in (True, False):
        trainer = make_trainer(gradient_accumulation_steps=2, advantage="grpo")
        trainer.half_gradients.whole = measure
        trainer.train()
        assert measure is any(KEY in row for row in trainer.state.log_history)
        results.append(weights(trainer))
    assert torch.equal(*results)


def test_one_micro_batch_has_no_halves(make_trainer):
    trainer = make_trainer(advantage="grpo", max_steps=1)
    trainer.train()
    assert not any(KEY in row for row in trainer.state.log_history)


def test_by_hand():
    one, total = [torch.tensor([3.0, 0.0]), None], [torch.tensor([3.0, 4.0]), torch.tensor([3.0])]
    assert half_cosine(one, total) == pytest.approx(0.0)  # (3, 0, 0) and (0, 4, 3)
    assert half_cosine([torch.tensor([1.0])], [torch.tensor([0.5])]) == -1.0
    assert half_cosine([torch.tensor([1.0])], [torch.tensor([1000.0])]) == pytest.approx(1.0)
    assert math.isnan(half_cosine([None], [torch.ones(2)]))  # half a batch without credit
    assert math.isnan(half_cosine([None], [None]))


def test_which_updates_are_measured_and_where_the_middle_is():
    logged = []
    part, model = HalfGradients(lambda name, value: logged.append((update, round(value, 4)))), torch.nn.Linear(2, 1)
    for update in range(1, 31):
        for i in range(3):  # one micro-batch, then two: (1, 0) and (2, 2)
            model.weight.grad = torch.tensor([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]][i]).view(1, 2)
            part.after_backward(model, update, 3)
    assert logged == [(update, 0.7071) for update in [*range(1, 11), 20, 30]]
