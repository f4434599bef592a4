"""Rewards that see a group or a batch, async rewards, and TRL's columns: values by hand, by Python and by the command."""

import asyncio
import json
import re

import pyarrow.parquet as pq
import pytest

from rlvr.config.settings import TrainConfig
from rlvr.core.errors import RlvrError, SpecError
from rlvr.core.records import Completion, Problem
from rlvr.rewards.audit import audit
from rlvr.rewards.limits import audit_within, term_function, term_worker
from rlvr.rewards.terms import as_trl_reward, load_terms
from rlvr.training.batch import GenerationBatch
from rlvr.training.trainer import RLVRTrainer
from rlvr.training.whole_groups import WholeGroups

TERMS = '''
import asyncio
import time

from rlvr import Completion


def shorter(group: list[Completion], *, slack: float = 0.0) -> list[float]:
    """1 for the shortest of a group, 0 for the longest, linear between; 1 for all where they are equally long."""
    lengths = [c.n_tokens for c in group]
    low, high = min(lengths), max(lengths)
    return [1.0 if high - low <= slack else (high - n) / (high - low) for n in lengths]


def rank(batch):
    """The share of the batch that is longer."""
    return [sum(other.n_tokens > c.n_tokens for other in batch) / len(batch) for c in batch]


def unlike(group):
    """1 for an answer that nobody else in the group gave: it pays for being wrong where the others are right."""
    answers = [c.answer for c in group]
    return [float(answers.count(answer) == 1) for answer in answers]


waiting = []


async def judge(c: Completion):
    """All wait for each other, and end in reverse order: one after another they would wait for ever."""
    mine = asyncio.Event()
    waiting.append(mine)
    if len(waiting) == 4:
        waiting[-1].set()
    await mine.wait()
    waiting.pop()
    if waiting:
        waiting[-1].set()
    return c.n_tokens / 100


async def group_judge(group):
    values = await asyncio.gather(*(asyncio.sleep(0, c.n_tokens / 100) for c in group))
    return [value / sum(values) for value in values]


async def half(c): return 0.5


async def stuck(c):
    if c.problem.id == "2":
        await asyncio.Event().wait()
    return 1.0


async def blocks(c):
    while True:
        time.sleep(0.05)


async def fails(c):
    raise KeyError("no such model")


def solved(prompts, completions, solution, **kwargs):
    """TRL's signature, as in its documentation: the data's own column."""
    return [float(gold in completion[0]["content"]) for completion, gold in zip(completions, solution)]


async def solved_async(completions, solution, **kwargs):
    return [float(gold in completion[0]["content"]) for completion, gold in zip(completions, solution)]


def how_many(completions, completion_ids, **kwargs):
    return [len(completions) + (0 if completion_ids is None else len(ids) / 1000) for ids in completion_ids or completions]


def one_short(group): return [0.5] * (len(group) - 1)
def not_a_list(group): return 0.5
def too_much(group): return [2.0] * len(group)
def many(answers: list[Completion]): return []
def alone(c): return 0.5
'''


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text(TERMS)
    return str(path)


def term(mine, name):
    return next(iter(load_terms({f"{mine}:{name}": 1.0})))


def completions(lengths, ids="12", per=4, text="42", **meta):
    problems = [Problem(name, [{"role": "user", "content": name}], "42", "", meta) for name in ids for _ in range(per)]
    return [Completion(p, text, "42", None, True, True, n) for p, n in zip(problems, lengths, strict=True)]


LENGTHS = [10, 20, 30, 20, 7, 7, 7, 7]
BY_HAND = {
    "shorter": [1.0, 0.5, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0],
    "shorter(slack=99)": [1.0] * 8,
    "rank": [3 / 8, 1 / 8, 0.0, 1 / 8, 4 / 8, 4 / 8, 4 / 8, 4 / 8],
    "group_judge": [10 / 80, 20 / 80, 30 / 80, 20 / 80, 0.25, 0.25, 0.25, 0.25],
    "half": [0.5] * 8,
    "alone": [0.5] * 8,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_values_by_hand_in_this_process_and_as_the_trainer_calls_them(mine, name):
    one, judged = term(mine, name), completions(LENGTHS)
    assert one.values(judged, group_size=4) == pytest.approx(BY_HAND[name])
    worker = term_worker([one], 10.0)
    try:
        groups = WholeGroups(lambda: GenerationBatch(rows=judged, group_size=4))
        reward = term_function(one, worker, groups)
        assert reward(record=judged) == pytest.approx(BY_HAND[name])
    finally:
        worker.close()


def test_async_calls_run_together_and_their_values_stand_in_order(mine):
    judged = completions([40, 30, 20, 10], ids="1234", per=1)
    assert term(mine, "judge").values(judged) == [0.4, 0.3, 0.2, 0.1]

    async def nested():  # a notebook's loop runs already
        return term(mine, "half").values(judged)

    assert asyncio.run(nested()) == [0.5] * 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stuck", r"problem '2'\) took longer than 0.5 s. Mend it, or raise --reward_timeout"),
        ("blocks", r"\(3 completions\) took longer than 0.5 s"),
        ("fails", r"raised KeyError: 'no such model' \(problem '1'\)"),
    ],
)
def test_an_async_term_that_hangs_or_fails_is_named(mine, name, message):
    one = term(mine, name)
    worker = term_worker([one], 0.5)
    try:
        with pytest.raises(RlvrError, match=message):
            term_function(one, worker)(record=completions([1, 2, 3], ids="123", per=1))
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one_short", "3 values for 4 completions"),
        ("not_a_list", "TypeError"),
        ("too_much", r"returned 2.0 .*a number in \[0, 1\]"),
    ],
)
def test_a_group_term_that_returns_something_else_is_named(mine, name, message):
    with pytest.raises(RlvrError, match=message):
        term(mine, name).values(completions(LENGTHS), group_size=4)


def test_what_a_term_sees_is_told_by_its_first_parameter(mine):
    with pytest.raises(SpecError, match="call the parameter 'answers' `group` or `batch`"):
        term(mine, "many")
    with pytest.raises(RlvrError, match="sees a whole group, so one completion by itself has no value"):
        term(mine, "shorter")(completions([1], ids="1", per=1)[0])
    with pytest.raises(RlvrError, match="not whole groups of 3"):
        term(mine, "shorter").values(completions(LENGTHS), group_size=3)


def test_trls_signature_gets_the_data_columns_of_the_whole_batch(mine):
    judged = [*completions([1, 2], ids="1", per=2, solution="42"), *completions([3], ids="2", per=1, solution="7")]
    for name in ("solved", "solved_async"):
        assert term(mine, name).values(judged) == [1.0, 1.0, 0.0]
    assert term(mine, "how_many").values(judged) == [3.0, 3.0, 3.0]
    reward = term_function(term(mine, "how_many"), worker := term_worker([term(mine, "how_many")], 10.0))
    try:
        assert reward(record=judged, completion_ids=[[5], [5, 6], [5, 6, 7]]) == [3.001, 3.002, 3.003]
    finally:
        worker.close()
    with pytest.raises(RlvrError, match="reads the column 'solution', which this problem does not have"):
        term(mine, "solved").values(completions([1], ids="1", per=1))


def test_in_plain_trl_a_group_is_a_run_of_equal_prompts(mine):
    score = as_trl_reward(f"{mine}:shorter", ("answer",))
    assert score(["a", "a", "b", "b"], ["x"] * 4, completion_ids=[[1], [1, 2], [1], [1]]) == [1.0, 0.0, 1.0, 1.0]


# ---------------------------------------------------------------- the audit


def test_the_audit_tries_a_group_term_in_groups_and_says_what_it_did_not(mine):
    safe = audit(load_terms({"correct": 1, f"{mine}:shorter": 0.5}), ("answer",))
    assert safe.safe and "made-up groups of 4" in safe.notes[0] and "not known" in safe.notes[0]
    gamed = audit(load_terms({"correct": 1, f"{mine}:unlike": 1.5}), ("answer",))
    assert not gamed.safe
    assert gamed.reasons[0] == "a wrong answer, in a group of right answers, earns 1.5, a right one earns 1"


def test_the_audit_does_not_ask_an_async_judge_and_assumes_the_worst(mine):
    within = audit(load_terms({"correct": 1, f"{mine}:blocks": 0.9}), ("answer",))
    assert within.safe and "is async and was not asked" in within.notes[0]
    above = audit(load_terms({"correct": 1, f"{mine}:blocks": 1.1}), ("answer",))
    assert above.reasons == ["a wrong answer may earn 1.1, a right one may earn only 1"]
    unbounded = audit(load_terms({"correct": 1, f"{mine}:solved_async": 0.1}), ("answer",))
    assert not unbounded.safe and "may earn inf" in unbounded.reasons[0]
    with pytest.raises(RlvrError, match="can be gamed: a wrong answer may earn 1.1"):
        audit_within(load_terms({"correct": 1, f"{mine}:half": 1.1}), ("answer",), False, 10.0)


def test_the_audit_of_a_trl_term_answers_a_problem_that_has_the_column(mine):
    terms = load_terms({f"{mine}:solved": 1.0, "correct": 1.0})
    assert "cannot be checked" in audit(terms, ("answer",)).reasons[0]
    problem = Problem("real", [{"role": "user", "content": "?"}], "17", "", {"solution": "17"})
    found = audit(terms, ("answer",), problem)
    assert not any("cannot be checked" in reason for reason in found.reasons)
    assert any("right" in reason or "twice" in reason for reason in found.reasons) or found.safe


# ---------------------------------------------------------------- the whole way


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [{"question": f"{i} + 1 =", "final": str(i + 1), "solution": str(i % 3)} for i in range(60)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_command_takes_all_of_them_by_path(mine, rows, tmp_path, cli):
    rewards = {f"{mine}:{name}": 0.2 for name in ("shorter", "rank", "half", "solved")} | {"correct": 1.0}
    data = f"hf(path='{rows}', prompt='question', answer='final', verifier='number', test=0.2)"
    settings = "--sft_steps 0 --eval_size 0 --train_size 16 --max_steps 2 --per_device_train_batch_size 16"
    more = "--num_generations 4 --max_completion_length 12 --allow_hackable true --steps_per_generation 1"
    ended = cli(
        f"train --config grpo tiny {settings} {more} --tags answer",
        *("--rewards", json.dumps(rewards), "--data", data, "--output_dir", tmp_path / "run"),
    )
    assert ended.code == 0, ended.err
    assert "sees a whole group" in ended.err and "is async and was not asked" in ended.err
    for file in sorted((tmp_path / "run" / "rollouts").glob("*.parquet")):
        table = pq.read_table(file).to_pydict()
        lengths = table["n_tokens"]
        assert len(set(lengths)) > 1
        for start in range(0, 16, 4):
            part = lengths[start : start + 4]
            low, high = min(part), max(part)
            by_hand = [1.0 if high == low else (high - n) / (high - low) for n in part]
            assert table["term/shorter"][start : start + 4] == pytest.approx(by_hand)
        assert table["term/rank"] == pytest.approx([sum(m > n for m in lengths) / 16 for n in lengths])
        assert table["term/half"] == [0.5] * 16
        golds = [str(int(re.search(r"(\d+) \+ 1 =", prompt)[1]) % 3) for prompt in table["prompt"]]
        by_hand = [float(gold in text) for gold, text in zip(golds, table["completion"], strict=True)]
        assert table["term/solved"] == by_hand


def test_the_trainer_gives_own_rows_their_columns(mine, tmp_path):
    rows = [{"prompt": f"{i}+{i}=", "answer": str(2 * i), "solution": str(i)} for i in range(8)]
    config = TrainConfig(
        output_dir=str(tmp_path), model="tiny", per_device_train_batch_size=8, num_generations=4, max_completion_length=6,
        max_steps=1, use_cpu=True, save_strategy="no", tags=["answer"], allow_hackable=True,
    )  # fmt: skip
    terms = {f"{mine}:solved": 1.0, f"{mine}:shorter": 0.5}
    trainer = RLVRTrainer(args=config, train_dataset=rows, data="arithmetic(levels=[0])", terms=terms)
    trainer.train()
    judged = trainer.batch.judged
    values = dict(zip(trainer.reward_func_names, judged.rewards_NF.T.tolist(), strict=True))
    solved = [float(c.problem.meta["solution"] in c.text) for c in judged.completions]
    assert values["solved"] == solved
    assert values["shorter"] == pytest.approx(term(mine, "shorter").values(judged.completions, 4))
    trainer.term_worker.close()
