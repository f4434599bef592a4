"""--min_mixed_groups: an update on a batch with too few mixed groups moves neither weights nor optimizer, to the bit."""

import copy

import pytest
import torch
from transformers import TrainerCallback, TrainerState, TrainingArguments

from rlvr.advantages.rollouts import Rollouts
from rlvr.config.settings import TrainConfig
from rlvr.core.errors import SpecError
from rlvr.training.batch import GenerationBatch
from rlvr.training.callbacks.skip_unmixed import SkipUnmixed
from tests.trainers import weights


class Judge:
    """Give mixed groups, then groups that are all wrong but differ in reward, then mixed groups again."""

    __name__ = "judge"

    def __init__(self):
        self.batches = 0

    def __call__(self, completion_ids, **kwargs):
        self.batches += 1
        scale = 0.1 if self.batches == 2 else 1.0
        return [scale * (i % 2) for i in range(len(completion_ids))]


class Snapshots(TrainerCallback):
    """Keep weights, optimizer state and learning rate after each update."""

    def __init__(self):
        self.taken = []

    def on_step_end(self, args, state, control, model, optimizer, lr_scheduler, **kwargs):
        flat = torch.cat([p.detach().flatten() for p in model.parameters()])
        self.taken.append((flat, copy.deepcopy(optimizer.state_dict()["state"]), lr_scheduler.get_last_lr()[0]))


def trained(make_trainer, **settings):
    judge, snapshots = Judge(), Snapshots()
    trainer = make_trainer(
        reward_funcs=[judge], correct="judge > 0.5", advantage="grpo", max_steps=3, weight_decay=0.1, **settings
    )
    trainer.add_callback(snapshots)
    start = weights(trainer)
    trainer.train()
    assert judge.batches == 3
    return start, snapshots.taken, trainer


def test_weights_moments_and_step_counts_are_the_same_to_the_bit(make_trainer):
    start, (one, two, three), trainer = trained(make_trainer, min_mixed_groups=0.5)
    assert not torch.equal(start, one[0]) and not torch.equal(two[0], three[0])
    assert torch.equal(one[0], two[0])
    assert one[1].keys() == two[1].keys() and one[1]
    for before, after in zip(one[1].values(), two[1].values(), strict=True):
        assert before.keys() == after.keys() >= {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert trainer.state.global_step == 3 and two[2] < one[2]  # the update counts, and the schedule goes on
    assert [row["health/no_step"] for row in trainer.state.log_history if "reward" in row] == [0.0, 1.0, 0.0]
    assert all(row["grad_norm"] > 0 for row in trainer.state.log_history if "reward" in row)  # there was one to take


def test_without_the_option_the_same_update_takes_its_step(make_trainer):
    _, (one, two, _), trainer = trained(make_trainer)
    assert not torch.equal(one[0], two[0])
    assert not any("health/no_step" in row for row in trainer.state.log_history)


@pytest.mark.parametrize(("least", "skips"), [(0.5, False), (0.51, True)])
def test_the_share_is_of_groups_and_a_critic_rests_too(tmp_path, least, skips):
    """Two groups, one of them mixed; the second parameter group stands for a critic's."""
    body, critic = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD([{"params": body.parameters()}, {"params": critic.parameters()}], lr=0.1, momentum=0.9)
    for p in (*body.parameters(), *critic.parameters()):
        p.grad = torch.ones_like(p)
    batch, logged = GenerationBatch(), []
    batch.rollouts = Rollouts.of([[1.0, 0.0], [1.0, 1.0]])
    skip = SkipUnmixed(least, lambda name, value: logged.append((name, value)))
    skip.on_generation_batch(batch)
    again = SkipUnmixed(least, skip.log)
    again.load_resume_state(skip.resume_state())
    before = [p.detach().clone() for p in (*body.parameters(), *critic.parameters())]
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    again.on_pre_optimizer_step(arguments, TrainerState(), None, optimizer=optimizer)
    optimizer.step()
    after = (*body.parameters(), *critic.parameters())
    assert all(torch.equal(a, b) is skips for a, b in zip(before, after, strict=True))
    assert logged == [("health/no_step", float(skips))] and (not optimizer.state) is skips


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(SpecError, match=r"min_mixed_groups must lie in \[0, 1\]"):
        TrainConfig(min_mixed_groups=share)


def test_somebody_has_to_say_what_is_right(make_trainer):
    with pytest.raises(SpecError, match="min_mixed_groups asks which completions are right"):
        make_trainer(min_mixed_groups=0.5)


def test_fp16_cannot_leave_an_update_out():
    with pytest.raises(SpecError, match="min_mixed_groups and fp16 do not go together"):
        TrainConfig(min_mixed_groups=0.5, fp16=True, bf16=False)
