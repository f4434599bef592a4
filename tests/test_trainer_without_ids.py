"""RLVRTrainer on rows of anybody's: without an id column and without a scorer, nothing is silently left undone."""

import pyarrow.parquet as pq
import torch
from trl import GRPOConfig

from rlvr.advantages import build, drop_near_impossible
from rlvr.runs.pass_rate import PassRate
from rlvr.runs.rollouts_file import problem_name, unjudged
from tests.trainers import one_batch


def test_without_ids_a_problem_is_named_by_its_prompt_and_the_near_impossible_one_is_dropped(make_trainer):
    """All ids were "": one record for all problems, so that a filter by problem never fired."""
    record = PassRate({problem_name({"prompt": "1+1="}): (640, 0)})
    trainer = make_trainer(config=GRPOConfig, advantage=build("grpo"), record=record, rows=2)
    one_batch(trainer)
    rollouts = trainer.batch.rollouts
    assert set(rollouts.ids) == {problem_name({"prompt": p}) for p in ("0+0=", "1+1=")}
    hopeless = torch.tensor([name == problem_name({"prompt": "1+1="}) for name in rollouts.ids])
    assert torch.equal(drop_near_impossible()(rollouts).keep_PG.any(1), ~hopeless)


def test_rollouts_are_written_without_a_scorer_too(tmp_path, make_trainer):
    folder = tmp_path / "rollouts"
    trainer = make_trainer(config=GRPOConfig, folder=tmp_path / "out", advantage=build("grpo"), rollouts=folder)
    trainer.train()
    files = sorted(folder.glob("step-*.parquet"))
    assert len(files) == 2
    table = pq.read_table(files[0]).to_pydict()
    assert len(table["step"]) == 8 and len(set(table["group"])) == 2
    assert set(table["prompt"]) <= {f"{i}+{i}=" for i in range(8)}
    assert table["correct"] == [None] * 8
    assert all(n > 0 for n in table["n_tokens"]) and any(table["advantage"])
    assert table["reward"] == table["term/reward_even"]


def test_a_row_whose_prompt_an_environment_gives_has_a_name_and_a_completion():
    """KeyError: 'prompt' ended the run where GRPOTrainer trains (TRL's test_train_with_multiple_environments)."""
    rows = [{"environment": "maze"}, {"environment": "echo"}]
    assert len({problem_name(row) for row in rows}) == 2
    completion = unjudged(rows[0], "north", [1, 2])
    assert (completion.problem.id, completion.text) == (problem_name(rows[0]), "north")
    assert completion.problem.prompt == [{"role": "user", "content": ""}]
