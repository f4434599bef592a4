"""The operators testbed: chains follow the table, nothing tested is trained, the teacher is as right as the dial says."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr import DataError, Problem
from rlvr.commands.main import main
from rlvr.config.recipe_files import read_recipes
from rlvr.core import specs
from rlvr.core.errors import SpecError
from rlvr.core.parse import parse
from rlvr.problems.sets import ProblemSet, load_problems
from rlvr.runs.directory import RunDir
from rlvr.runs.eval_file import load_eval
from rlvr.training.supervised.warmup import Warmup, examples

operators = specs.import_file("data", "operators")
SPLITS = ("train", "validation", "test")
TEXTS = [p.meta["text"] for p in operators.load("train", 300, 3)]


@pytest.mark.parametrize("table", [0, 7])
def test_every_chain_follows_the_table(table):
    facts = operators.results(table)
    assert set(facts) == set("abcdefghijklmnopqrstuvwxyz") and {len(row) for row in facts.values()} == {10}
    for p in operators.load("train", 200, 0, lengths=(1, 2, 5), table=table):
        digit, steps = int(p.prompt[0]["content"][0]), []
        for letter in p.prompt[0]["content"][1:]:
            steps.append(f"{digit}{letter}{facts[letter][digit]}")
            digit = facts[letter][digit]
        assert p.answer == " ".join(steps)


def test_the_two_small_answers_are_the_last_total_and_its_remainder():
    kinds = [operators.load("test", 60, 1, answer=answer) for answer in ("all", "last", "mod")]
    for every, last, mod in zip(*kinds, strict=True):
        assert every.prompt == last.prompt == mod.prompt
        assert last.answer == every.answer[-1] and mod.answer == str(int(every.answer[-1]) % 2)
        assert operators.solution(last) == operators.solution(mod) == every.answer and operators.solution(every) == ""
        assert len({every.id, last.id, mod.id}) == 3


@settings(max_examples=30, deadline=None)
@given(
    seeds=st.tuples(*[st.integers(0, 10**6)] * 3),
    lengths=st.sampled_from([(1,), (2,), (2, 3, 4)]),
    unlearnable=st.sampled_from([0.0, 0.5]),
)
def test_nothing_that_is_tested_was_trained(seeds, lengths, unlearnable):
    texts = [
        {p.meta["text"] for p in operators.load(split, 120, seed, lengths=lengths, unlearnable=unlearnable)}
        for split, seed in zip(SPLITS, seeds, strict=True)
    ]
    assert all(not a & b for a, b in itertools.combinations(texts, 2))


def test_a_problem_depends_on_its_place_and_seed_alone():
    few, many = operators.load("test", 10, 5), operators.load("test", 40, 5)
    assert few == many[:10] and few != operators.load("test", 10, 6)
    assert [p.task for p in few[:3]] == ["operators/2", "operators/3", "operators/4"]


@given(st.sampled_from([p.answer for p in operators.load("test", 40, 0)]), st.data())
def test_no_other_text_is_right(gold, data):
    place = data.draw(st.integers(0, len(gold) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != gold[place]))
    assert operators.verify(gold, gold)
    changed = gold[:place] + other + gold[place + 1 :]
    assert not operators.verify(changed, gold) or changed.strip() == gold
    for form in (gold + ".", gold.replace(" ", ", "), gold.replace(" ", "  "), gold.upper(), gold[2::4], gold * 2):
        assert not operators.verify(form, gold)


def test_the_teacher_knows_each_operator_as_often_as_the_dial_says():
    """Share of right steps, given the digit that the teacher stands on: within 4.5 standard errors for all letters."""
    facts, right, asked, wrong = operators.results(0), Counter(), Counter(), Counter()
    draw = random.Random(0)
    for p in operators.load("train", 6000, 0, lengths=(4,)):
        working, answer = operators.teacher(p, draw)
        assert working == ""
        totals = [p.meta["text"][0]]
        for step in answer.split(" "):
            before, letter, after = step
            assert before == totals[-1]  # it goes on from what it wrote
            totals.append(after)
            asked[letter] += 1
            right[letter] += facts[letter][int(before)] == int(after)
            if facts[letter][int(before)] != int(after):
                wrong[(int(after) - facts[letter][int(before)]) % 10] += 1
        assert "".join(s[1] for s in answer.split(" ")) == p.meta["text"][1:]
    for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz"):
        q = 0.97 + (0.05 - 0.97) * i / 25
        assert abs(right[letter] / asked[letter] - q) < 4.5 * (q * (1 - q) / asked[letter]) ** 0.5
    even = sum(wrong.values()) / 9
    assert set(wrong) == set(range(1, 10)) and all(abs(n - even) < 4.5 * even**0.5 for n in wrong.values())


def test_an_unlearnable_problem_shows_it_and_nobody_knows_it():
    problems = operators.load("test", 4000, 0, lengths=(2,), unlearnable=0.25)
    closed = [p for p in problems if p.prompt[0]["content"][-1].isupper()]
    assert abs(len(closed) / 4000 - 0.25) < 4.5 * (0.25 * 0.75 / 4000) ** 0.5
    assert {p.task for p in closed} == {"operators/unlearnable"}
    draw = random.Random(1)
    known = sum(operators.teacher(p, draw)[1][-1] == p.answer[-1] for p in closed if p.meta["text"][1] == "a")
    asked = sum(p.meta["text"][1] == "a" for p in closed)
    assert known / asked < 0.4  # 0.1 where the first step is right
    by_operator = {}  # the same operator on the same digit gives many results: it is none
    for p in closed:
        step = p.answer.split(" ")[1]
        by_operator.setdefault(step[:2], set()).add(step[2])
    assert max(map(len, by_operator.values())) > 5


def _lessons(spec, **settings):
    rows = examples(Warmup("tiny", spec, steps=10, batch_size=8, tags=("answer",), system_prompt="", **settings))
    return {row["prompt"][0]["content"]: parse(row["completion"][0]["content"], ("answer",)).answer for row in rows}


def test_the_warm_up_teaches_what_the_teacher_says():
    golds = {p.meta["text"]: p.answer for p in load_problems("operators", "train", 80, 7919)}
    assert _lessons("operators(knows=[1, 1])") == golds
    never = _lessons("operators(knows=[0, 0])")
    assert never.keys() == golds.keys() and not never.items() & golds.items()
    assert _lessons("operators", seed=1) == _lessons("operators", seed=1) != _lessons("operators", seed=2)


def test_a_set_without_a_teacher_teaches_its_worked_solution():
    data = ProblemSet.of("arithmetic(levels=[1])")
    [problem] = data.load("train", 1, 0)
    assert data.lesson(problem, random.Random(0)) == (data.solution(problem), problem.answer)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lengths": (0,)}, "lengths must be"), ({"lengths": ()}, "lengths must be"), ({"answer": "some"}, "answer must be"),
        ({"knows": "medium"}, "knows must be"), ({"knows": (0.5,)}, "knows must be"), ({"knows": (0.5, 1.5)}, "knows must be"),
        ({"unlearnable": 1.5}, "unlearnable is a share"),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_named(params, message):
    with pytest.raises(DataError, match=message):
        operators.load("train", 1, 0, **params)
    with pytest.raises(DataError, match="No split 'dev'"):
        operators.load("dev", 1, 0)


def test_the_easy_dial_is_easier_for_every_operator():
    hard, easy = operators.KNOWS["hard"], operators.KNOWS["easy"]
    assert all(operators.chance(c, easy) > operators.chance(c, hard) for c in "abcdefghijklmnopqrstuvwxyz")
    assert isinstance(operators.load("train", 1, 0, knows="easy")[0], Problem)


@pytest.mark.parametrize(("signal", "rate"), [("grpo", 1e-4), ("psr", 1e-4), ("dr_grpo", 5e-5), ("nsr", 3e-5)])
def test_each_signal_trains_at_its_own_rate(signal, rate):
    assert read_recipes([signal, "operators"])["learning_rate"] == rate
    assert read_recipes(["operators", signal])["learning_rate"] == rate
    assert "beside" not in read_recipes([signal, "operators"])


def test_the_tiny_demo_is_grpo_on_the_testbed():
    demo, parts = read_recipes(["demo_tiny"]), read_recipes(["grpo", "operators"])
    assert {k for k in demo.keys() | parts.keys() if demo.get(k) != parts.get(k)} <= {
        "learning_rate", "max_steps", "eval_size"
    }  # fmt: skip
    assert read_recipes(["demo_tiny", "nsr"])["advantage"] == "nsr"
    assert read_recipes(["demo_tiny", "nsr"])["learning_rate"] == read_recipes(["nsr", "operators"])["learning_rate"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beside: [nsr]", "must map names"),
        ("beside: {nsr: 3}", "must map names"),
        ("beside: {nrs: {}}", "Did you mean 'nsr'"),
    ],
)
def test_what_stands_beside_nothing_is_named(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SpecError, match=message):
        read_recipes([str(tmp_path / "mine.yaml")])


def test_a_run_on_the_testbed_measures_every_k_and_shows_its_curve(cache, tmp_path, capsys):
    small = [
        "--sft_steps", "4", "--max_steps", "2", "--train_size", "8", "--eval_size", "6", "--eval_n", "2",
        "--per_device_train_batch_size", "32", "--num_generations", "8",
    ]  # fmt: skip
    run = RunDir(tmp_path / "run")
    assert main(["train", "--config", "nsr", "operators", *small, "--output_dir", str(run.path)]) == 0
    assert "training accuracy over 2 steps: 0% ▁▁ 0%" in capsys.readouterr().out
    for when in ("before", "after"):
        record = load_eval(run.evaluation(when, "operators"))
        assert record["exact"] is True and all(0 <= row["p"] < 1e-3 and row["n"] == 2 for row in record["problems"])
    assert "pass@128" in (run.path / "report.md").read_text()
    kept = run.evaluation("after", "operators").stat().st_mtime_ns
    assert main(["train", "--resume", str(run.path), "--eval_exact", "false", "--no_report"]) == 0
    assert run.evaluation("after", "operators").stat().st_mtime_ns != kept  # another measurement, so made again
    assert "p" not in load_eval(run.evaluation("after", "operators"))["problems"][0]
