"""RLVRTrainer takes what a TRL user has: names, rows, a reward function; and refuses a sign rule that nobody can judge."""

import pyarrow.parquet as pq
import pytest
import torch
from trl import GRPOConfig

import rlvr
from rlvr.advantages import build
from rlvr.core.errors import DataError, ModelError, SpecError
from tests.conftest import run_apart
from tests.trainers import one_batch

ROWS = [{"prompt": f"{i}+{i}=", "answer": str(2 * i), "id": f"row {i}"} for i in range(8)]


def by_row(completions, answer, **kwargs):
    """1 for the completions of even rows: whole groups are right or wrong."""
    return [float(int(gold) % 4 == 0) for gold in answer]


def quarter(completions, **kwargs):
    """A shaped reward: something for everybody."""
    return [0.25] * len(completions)


def trainer(tmp_path, **kwargs):
    settings = {
        "output_dir": str(tmp_path), "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 6,
        "max_steps": 1, "use_cpu": True, "bf16": False, "save_strategy": "no", **kwargs.pop("settings", {}),
    }  # fmt: skip
    usual = {"model": "tiny", "train_dataset": ROWS, "args": rlvr.TrainConfig(**settings)}
    return rlvr.RLVRTrainer(**(usual | kwargs))


def kept(made):
    """How many of the eight completions of a batch are in the loss."""
    out = one_batch(made)
    return int(out["tool_mask"].any(1).sum()) if "tool_mask" in out else 8


def test_names_alone_make_a_trainer(tmp_path, monkeypatch):
    """The set of the settings gives rows, problems and verdicts; no name is asked of the hub."""
    monkeypatch.chdir(tmp_path)
    made = rlvr.RLVRTrainer(advantage="nsr", terms={"correct": 1.0}, model="tiny", args=None)
    assert made.advantage == build("nsr")
    assert made.args.output_dir == "tiny-RLVR"
    assert made.reward_func_names == ["correct"]
    assert made.train_dataset[0]["id"].startswith("arithmetic")
    assert made.scorer.verifier.verify_many([("4", "4")]) == [True]
    config = made.args
    other = rlvr.RLVRTrainer(args=rlvr.TrainConfig(model="tiny", advantage="dr_grpo", rewards={"format": 1.0}, allow_hackable=True,
                                                   data="arithmetic(levels=[2])", train_size=16, output_dir="x"))  # fmt: skip
    assert config.reward_weights == [1.0]
    assert (other.advantage, other.reward_func_names, len(other.train_dataset)) == (build("dr_grpo"), ["format"], 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"advantage": "nrs", "reward_funcs": quarter}, "Did you mean 'nsr'"),
        ({"terms": {"corect": 1.0}}, "Did you mean 'correct'"),
        ({"model": "tinny", "reward_funcs": quarter}, "Did you mean 'tiny'"),
        ({"terms": {"brier": 1.0}, "args": rlvr.TrainConfig(output_dir="x", use_cpu=True, bf16=False), "train_dataset": None}, "can be gamed"),
        ({"terms": {"correct": 1.0}}, "Give data=, a problem set whose verifier judges the column 'answer'"),
        ({"terms": {"correct": 1.0}, "data": "arithmetic", "train_dataset": [{"prompt": "1+1="}]}, "judges the column 'answer'; found prompt"),
        ({"terms": {"correct": 1.0}, "args": GRPOConfig(output_dir="x", use_cpu=True, bf16=False)}, "args=rlvr.TrainConfig"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path, options, message):
    with pytest.raises((SpecError, DataError, ModelError, rlvr.RlvrError)) as caught:
        trainer(tmp_path, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("advantage", ["nsr", "psr", "w_reinforce", "pass_at_k", "grpo, drop_near_impossible"])
def test_a_step_that_asks_what_is_right_needs_somebody_to_say_so(tmp_path, advantage):
    """With `correct := reward > 0` everything was right at 0.25, and nsr trained on nothing without a word."""
    with pytest.raises(SpecError, match="a reward does not say") as caught:
        trainer(tmp_path, advantage=advantage, reward_funcs=quarter)
    assert "'my_reward > 0.5'" in str(caught.value)
    trainer(tmp_path, advantage=advantage, reward_funcs=quarter, correct="quarter > 0.5")
    trainer(tmp_path, advantage="grpo, drop_truncated", reward_funcs=quarter)  # asks for no verdict: nothing is refused


def test_difficulty_needs_verdicts_too(tmp_path):
    settings = {"difficulty_band": [0.2, 0.8]}
    with pytest.raises(SpecError, match="difficulty_band asks which completions are right"):
        trainer(tmp_path, reward_funcs=quarter, settings=settings)
    trainer(tmp_path, reward_funcs=by_row, correct=by_row, settings=settings)


@pytest.mark.parametrize(
    "correct",
    [by_row, "by_row > 0.5", "by_row >= 1", lambda c: int(c.problem.answer) % 4 == 0, lambda completions, **kw: by_row(completions, **kw)],
)  # fmt: skip
def test_every_source_of_verdicts_decides_what_nsr_keeps(tmp_path, correct):
    made = trainer(tmp_path, advantage="nsr", reward_funcs=by_row, correct=correct, rollouts=tmp_path)
    wrong = kept(made)
    assert wrong == 4  # one group of the two
    assert sum(made.batch.judged.verdicts) == 4
    assert sum(pq.read_table(tmp_path / "step-00001.parquet")["correct"].to_pylist()) == 4
    assert len(made.record.state_dict()) == 2  # what training saw is counted, by problem


def test_a_column_of_gold_answers_is_judged_by_math_verify():
    from rlvr.training.verdicts import Verdicts

    judge = Verdicts("answer", {"by_row": by_row}, ["prompt", "answer"])
    texts = [r"\boxed{46}", [{"role": "assistant", "content": r"so it is \boxed{47}"}], "", "46"]
    found = judge([{"prompt": "", "answer": 46}] * 4, [""] * 4, texts, [[]] * 4, {})
    assert found == [True, False, False, False]


def test_a_reward_that_is_the_source_is_not_called_twice(tmp_path):
    calls = []

    def counted(completions, answer, **kwargs):
        calls.append(len(completions))
        return by_row(completions, answer)

    made = trainer(tmp_path, advantage="psr", reward_funcs=counted, correct=counted)
    assert kept(made) == 4
    assert calls == [8]


@pytest.mark.parametrize(
    ("correct", "error", "message"),
    [
        ("by_rov > 0", SpecError, "Did you mean 'by_row'"),
        ("by_row", SpecError, "names a reward: say from where on it means right, 'by_row > 0.5'"),
        ("anwser", SpecError, "Did you mean 'answer'"),
        (0.5, SpecError, "correct= takes a function"),
        (lambda: True, SpecError, "cannot be called"),
    ],
)
def test_a_source_that_is_none_is_named(tmp_path, correct, error, message):
    with pytest.raises(error) as caught:
        trainer(tmp_path, advantage="nsr", reward_funcs=by_row, correct=correct)
    assert message in str(caught.value)


def test_a_verdict_between_right_and_wrong_is_refused(tmp_path):
    made = trainer(tmp_path, advantage="nsr", reward_funcs=quarter, correct=quarter)
    with pytest.raises(DataError, match=r"correct=quarter gave 0.25.*correct='quarter > 0.5'"):
        one_batch(made)


def test_a_run_whose_every_row_is_dropped_says_so_at_its_first_step(tmp_path, capsys):
    made = trainer(tmp_path, advantage="nsr", reward_funcs=quarter, correct="quarter > 0", settings={"max_steps": 2})
    made.train()
    found = [line for line in capsys.readouterr().err.splitlines() if "no completion is left in the loss" in line]
    assert len(found) == 1
    assert "WARNING at step 1" in found[0]
    assert "of 8 completions, 100% of them right, keep_negative took 8" in found[0]


def test_rewards_alone_log_no_accuracy(tmp_path):
    """0.25 for everybody was logged as an accuracy of 1."""
    made = trainer(tmp_path, advantage="grpo", reward_funcs=quarter)
    one_batch(made)
    assert not {"accuracy", "groups/all_right", "groups/mixed"} & made._metrics["train"].keys()
    assert made._metrics["train"]["groups/no_signal"] == [1.0]
    assert made.record.state_dict() == {}
    judged = trainer(tmp_path, advantage="grpo", reward_funcs=quarter, correct="quarter > 0.5")
    one_batch(judged)
    assert judged._metrics["train"]["accuracy"] == [0.0]


def test_rows_of_ones_own_are_judged_by_a_sets_verifier(tmp_path):
    rows = [{"prompt": [{"role": "user", "content": row["prompt"]}], "answer": row["answer"]} for row in ROWS]
    made = trainer(tmp_path, train_dataset=rows, terms={"correct": 1.0}, data="arithmetic", advantage="nsr")
    out = one_batch(made)
    completions = made.batch.judged.completions
    assert len(out["advantages"]) == len(completions) == 8
    assert {c.problem.answer for c in completions} <= {row["answer"] for row in ROWS}
    assert all(c.correct is False for c in completions)  # random text


def test_arguments_in_trls_order_and_settings_left_alone(tmp_path):
    """A second trainer with the same settings is not touched by the weights of the first."""
    config = rlvr.TrainConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, train_size=32, lora_rank=2)
    first = rlvr.RLVRTrainer("tiny", None, config, terms={"correct": 0.5, "brier": 0.5})
    assert first.args.reward_weights == [0.5, 0.5]
    assert config.reward_weights is None
    second = rlvr.RLVRTrainer("tiny", [quarter], config, ROWS)
    assert second.reward_weights.tolist() == [1.0]
    trained = sum(p.numel() for p in second.model.parameters() if p.requires_grad)
    assert 0 < trained < 0.2 * sum(p.numel() for p in second.model.parameters())  # lora_rank is not ignored


def test_what_is_trls_stays_trls(tmp_path):
    """With TRL's own settings, a name that is not ours goes to TRL's loader, as does what only it can do."""
    from rlvr.training.inputs import resolve_inputs

    plain = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    found = resolve_inputs(["some/model", quarter, plain], {}, None, None, None, None, None, None)
    assert found.trl["model"] == "some/model"
    assert "processing_class" not in found.trl
    own = rlvr.TrainConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, model_init_kwargs={"dtype": "bfloat16"})
    found = resolve_inputs(
        [], {"model": "some/model", "reward_funcs": quarter, "args": own}, None, None, None, None, None, None
    )
    assert found.trl["model"] == "some/model"


def test_a_trainer_is_evaluated_in_place(tmp_path):
    made = trainer(tmp_path, reward_funcs=quarter, settings={"eval_size": 3, "eval_n": 2})
    made.model.train()
    before = torch.get_rng_state()
    found = rlvr.evaluate(made, "arithmetic(levels=[0])")
    assert torch.equal(before, torch.get_rng_state())
    assert made.model.training
    assert (len(found), found.n, found.record["max_completion_length"]) == (3, 2, 6)


def test_math_verify_is_imported_where_a_column_is_compared_only():
    """It and sympy take a second, for every trainer."""
    program = (
        "import sys; from rlvr.training.trainer import RLVRTrainer; from rlvr.training.verdicts import Verdicts; "
        "assert 'math_verify' not in sys.modules; Verdicts('gold', {}, ['gold']); assert 'math_verify' in sys.modules"
    )
    ended = run_apart("", start=("-c", program))
    assert ended.code == 0, ended.err
