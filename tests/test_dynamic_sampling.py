"""Dynamic sampling: the batch fills with mixed groups, nothing is lost or counted twice, and it resumes exactly."""

import math

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.advantages import build
from rlvr.config import TrainConfig
from rlvr.models import build_tiny
from rlvr.select.dynamic_sampling import FreshProblems, fill, merge_batches, mixed_groups
from rlvr.trainer import RLVRTrainer

GROUP, PROMPTS = 4, 4


def reward(completion_ids, id, **kwargs):
    """Problems 0, 3, 6, ... are hopeless, 1, 4, ... sure; the others are right or wrong by their tokens."""
    return [(0.0, 1.0, float(sum(ids) % 2))[int(name) % 3] for ids, name in zip(completion_ids, id, strict=True)]


def trainer(folder, tries, steps=3, **kwargs):
    model, tokenizer = build_tiny(seed=3, hidden=64, layers=2)
    config = TrainConfig(
        output_dir=str(folder), per_device_train_batch_size=GROUP * PROMPTS, num_generations=GROUP, max_steps=steps,
        max_completion_length=6, learning_rate=1e-3, bf16=False, use_cpu=True, lr_scheduler_type="constant",
        dynamic_sampling_tries=tries, save_strategy="no", **kwargs,
    )  # fmt: skip
    data = Dataset.from_list([{"prompt": f"{i}+{i}=", "id": str(i)} for i in range(12)])
    return RLVRTrainer(
        model,
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
        reward_funcs=[reward],
        advantage=build("grpo"),
    )


def batch_of(made):
    torch.manual_seed(9)
    made.model.train()
    made.current_gradient_accumulation_steps = 1
    inputs = next(iter(made.get_train_dataloader()))
    return made._generate_and_score_completions(inputs)


def test_mixed_reads_verdicts_and_ignores_failures():
    correct = torch.tensor([[True, False], [True, True], [False, False], [True, False]])
    scored = torch.tensor([[True, True], [True, True], [True, True], [True, False]])
    assert mixed_groups(correct, scored).tolist() == [True, False, False, False]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=4))
def test_fill_keeps_what_is_mixed_and_uses_nothing_twice(rounds):
    mixed = [torch.tensor(r) for r in rounds]
    places = fill(mixed)
    assert len(places) == len(set(places)) == 4
    for p, good in enumerate(rounds[0]):
        if good:
            assert places[p] == (0, p)
    filled = sum(rounds[r][p] for r, p in places)
    assert filled == min(4, sum(map(sum, rounds)))  # as full as it can be
    assert all(rounds[r][p] for r, p in places if r)  # a later group enters only if it is mixed


def test_fresh_problems_pass_over_the_set_and_go_on_from_their_position():
    fresh = FreshProblems(5, seed=1)
    first = fresh.take(3)
    again = FreshProblems(5, seed=1)
    again.position = 3
    assert sorted(first + fresh.take(2)) == list(range(5))
    assert again.take(7)[2:] == fresh.take(5)


def test_merged_rows_keep_their_own_tokens():
    a = {"prompt_ids": torch.tensor([[1], [2]]), "prompt_mask": torch.ones(2, 1), "completion_ids": torch.tensor([[5, 6], [7, 0]]),
         "completion_mask": torch.tensor([[1, 1], [1, 0]]), "advantages": torch.tensor([0.5, -0.5]), "num_items_in_batch": torch.tensor(3)}  # fmt: skip
    b = {"prompt_ids": torch.tensor([[3, 4]] * 2), "prompt_mask": torch.ones(2, 2), "completion_ids": torch.tensor([[8], [9]]),
         "completion_mask": torch.ones(2, 1).long(), "advantages": torch.tensor([1.0, 2.0]), "num_items_in_batch": torch.tensor(2)}  # fmt: skip
    merged = merge_batches([a, b], [(0, 0), (1, 1)])
    assert merged["prompt_ids"].tolist() == [[0, 1], [3, 4]]  # prompts end at the right
    assert merged["prompt_mask"].tolist() == [[0, 1], [1, 1]]
    assert merged["completion_ids"].tolist() == [[5, 6], [9, 0]]
    assert merged["advantages"].tolist() == [0.5, 2.0]
    assert merged["num_items_in_batch"] == 3  # 2 + 1 tokens


def test_the_batch_fills_with_mixed_groups(tmp_path):
    plain, filled = trainer(tmp_path, 0), trainer(tmp_path, 3)
    before, after = batch_of(plain), batch_of(filled)
    assert after["completion_ids"].shape[0] == before["completion_ids"].shape[0] == GROUP * PROMPTS
    silent = [(out["advantages"].view(PROMPTS, GROUP) == 0).all(1).sum().item() for out in (before, after)]
    assert silent[1] < silent[0]
    metrics = filled._metrics["train"]
    rounds = metrics["dynamic/rollouts"][-1] / (GROUP * PROMPTS)
    assert 2 <= rounds <= 4
    assert metrics["dynamic/filled"][-1] == 1 - silent[1] / PROMPTS
    # Every sampled completion is in the record once: 16 for each round.
    assert sum(n for n, _ in filled.record.counts.values()) == rounds * GROUP * PROMPTS
    logged = list(filled._logs["rewards"]["reward"])[-GROUP * PROMPTS :]
    assert logged == filled._captured["rewards"][:, 0].tolist()
    assert after["num_items_in_batch"] == after["completion_mask"].sum()
    assert math.isfinite(filled._compute_loss(filled.model, after).item())


def test_rounds_draw_their_own_noise(tmp_path):
    """A problem drawn again in a later round gets other completions."""
    made = trainer(tmp_path, 3)
    batch_of(made)
    made._round = 1
    one = made._generate_single_turn([[5, 6]] * GROUP, None, {}, GROUP)[0]
    made._round = 2
    assert made._generate_single_turn([[5, 6]] * GROUP, None, {}, GROUP)[0] != one


def test_nothing_changes_where_every_group_is_mixed(tmp_path):
    made = trainer(tmp_path, 3)
    made.reward_funcs = [lambda completion_ids, **_: [float(i % 2) for i in range(len(completion_ids))]]
    batch_of(made)
    assert made._metrics["train"]["dynamic/rollouts"] == [GROUP * PROMPTS]
    assert made._fresh.position == 0


@pytest.mark.parametrize("stop", [2])
def test_resume_is_exact(tmp_path, stop):
    whole = trainer(tmp_path / "whole", 2, steps=4)
    whole.train()
    first = trainer(tmp_path / "cut", 2, steps=stop, save_steps=stop)
    first.args.save_strategy = "steps"
    first.train()
    first._save_checkpoint(first.model, None)
    second = trainer(tmp_path / "cut", 2, steps=4)
    second.train(resume_from_checkpoint=str(tmp_path / "cut" / f"checkpoint-{stop}"))
    assert second.record == whole.record
    assert second._fresh.position == whole._fresh.position > 0
    for a, b in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)
