"""Terms by name and by path, their weighted sum, their errors, and the bridge to plain TRL."""

import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from rlvr.core.errors import RlvrError, SpecError
from rlvr.core.parse import render
from rlvr.core.records import Completion, Problem
from rlvr.core.specs import parse_spec
from rlvr.rewards.terms import Term, as_trl_reward, load_terms, reward

REPO = Path(__file__).parents[1]
PROBLEM = Problem("p/1", [{"role": "user", "content": "6 * 7?"}], "42", "t/L1", {"level": 3})
MINE = """
import numpy as np
import torch
from rlvr.core.records import Completion

def mine(c): return 0.25
def annotated(record: Completion, *, scale=1.0): return scale * c_level(record) / 10
def quoted(record: "Completion"): return 0.5
def c_level(c): return c.problem.meta["level"]
def numpy_scalar(c): return np.float32(0.5)
def tensor(c): return torch.tensor(0.5)
def boolean(c): return True
def nothing(c): return None

def as_text(c): return "0.5"
def as_nan(c): return float("nan")
def as_list(c): return [0.5]
def too_big(c): return 1.5
def negative(c): return -0.5
def raises(c): return {}["gone"]
def leaves(c): raise SystemExit(0)
def cancelled(c):
    import asyncio
    raise asyncio.CancelledError

def trl(completions, answer, scale=1.0, **kwargs):
    return [scale * (10.0 if a in c[0]["content"] else -10.0) for c, a in zip(completions, answer)]
def columns(prompts, completions, completion_ids, **kwargs):
    assert completion_ids is None and prompts == [[{"role": "user", "content": "6 * 7?"}]]
    return [float(sorted(kwargs) == ["answer", "id", "level", "task"] and kwargs["level"] == [3])]
def only_kwargs(**kwargs): return [0.125]
def trl_nan(completions, **kwargs): return [float("nan")]
def trl_none(completions, **kwargs): return [None]
def two_values(completions, **kwargs): return [1.0, 2.0]
def no_kwargs(completions): return [1.0]

async def later(c): return 1.0
def neither(text): return 1.0
def needs(c, *, target): return 1.0
NUMBER = 3
"""


@pytest.fixture
def mine(tmp_path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return str(path)


def completion(text="42", correct=True, **kwargs) -> Completion:
    return Completion(PROBLEM, text, correct=correct, **kwargs)


def one(spec: str) -> Term:
    (term,) = load_terms({spec: 1})
    return term


# ---------------------------------------------------------------- what a term is


def test_a_term_is_its_spec():
    a, b = Term(parse_spec("length(target=8)")), Term(parse_spec(" length( target = 8 ) "))
    assert str(a) == "length(target=8)"
    assert a.name == "length"
    assert a == b
    assert hash(a) == hash(b)
    assert a != Term(parse_spec("length"))
    assert Term(parse_spec("no_such_term")).name == "no_such_term"  # looked up when first needed, not before


def test_parameters_reach_the_function():
    c = completion(n_tokens=12, format_ok=True)
    assert one("length")(c) == 1.0
    assert one("length(target=8, slack=8)")(c) == 0.5


@pytest.mark.parametrize(
    ("attr", "value"),
    [
        ("", 0.25),  # the function named like the file
        (":annotated", 0.3),
        (":annotated(scale=2)", 0.6),
        (":quoted", 0.5),
        (":numpy_scalar", 0.5),
        (":tensor", 0.5),
        (":boolean", 1.0),
        (":nothing", None),
        (":trl", 10.0),
        (":trl(scale=-0.5)", -5.0),
        (":columns", 1.0),
        (":only_kwargs", 0.125),
        (":trl_none", None),
    ],
)
def test_terms_by_path(mine, attr, value):
    result = one(mine + attr)(completion())
    assert result == pytest.approx(value)
    assert result is None or type(result) is float


def test_terms_survive_a_new_process(mine):
    terms = load_terms({"length(target=8, slack=8)": 1, f"{mine}:annotated(scale=2)": 2})
    c = completion(n_tokens=12, format_ok=True)
    # Used before pickling, so that the functions, which do not pickle, are there to be left out.
    assert [term(c) for term in terms] == pytest.approx([0.5, 0.6])
    payload = pickle.dumps((terms, c))
    code = (
        "import pickle, sys; terms, c = pickle.load(sys.stdin.buffer); "
        "print([t(c) for t in terms], list(terms.values()))"
    )
    out = subprocess.run([sys.executable, "-c", code], input=payload, capture_output=True, cwd=REPO, check=True)
    assert out.stdout.decode().strip() == "[0.5, 0.6] [1.0, 2.0]"


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("attr", "found"),
    [
        (":as_text", "returned '0.5'"),
        (":as_nan", "returned nan"),
        (":as_list", "returned \\[0.5\\]"),
        (":too_big", "returned 1.5"),
        (":negative", "returned -0.5"),
        (":raises", "raised KeyError: 'gone'"),
        (":leaves", "raised SystemExit: 0"),
        (":cancelled", "raised CancelledError: "),
        (":trl_nan", "returned nan"),
        (":two_values", "2 values for 1 completion"),
    ],
)
def test_a_bug_in_a_term_is_an_error_with_its_name_and_problem(mine, attr, found):
    with pytest.raises(RlvrError, match=f"{attr[1:]}.*{found}.*p/1"):
        one(mine + attr)(completion())


@pytest.mark.parametrize(
    ("attr", "message"),
    [
        (":gone", "no function 'gone'"),
        (":NUMBER", "no function 'NUMBER'"),
        (":neither", "neither a Completion nor TRL's lists"),
        (":needs", "missing a required"),
        (":mine(scale=2)", "unexpected keyword argument 'scale'"),
        (":mine(c=2)", "multiple values for argument 'c'"),
        (":no_kwargs", "unexpected keyword argument 'prompts'"),
        (":trl(completions=3)", "multiple values for keyword argument 'completions'"),
        (":mine(a={1})", "numbers, strings, lists"),
    ],
)
def test_what_cannot_work_fails_when_loaded(mine, attr, message):
    with pytest.raises(SpecError, match=message):
        load_terms({mine + attr: 1})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"breir": 1}, "Did you mean 'brier'"),
        ({"length(goal=3)": 1}, "unexpected keyword argument 'goal'"),
        ({"length(target=abc)": 1}, "Cannot read the parameters"),
        ({"./no_such_file.py": 1}, "No file"),
        ({"correct": -1}, "must be a number >= 0, got -1"),
        ({"correct": math.nan}, "got nan"),
        ({"correct": math.inf}, "got inf"),
        ({"correct": "1"}, "got '1'"),
        ({"correct": True}, "got True"),
        ({"correct": None}, "got None"),
        ({"correct": 0, "brier": 0.0}, "weight above 0"),
        ({}, "weight above 0"),
        ({"length": 1, "length(target=3)": 1}, "Two reward terms are named 'length'"),
    ],
)
def test_wrong_recipes_fail_when_loaded(weights, message):
    with pytest.raises(SpecError, match=message):
        load_terms(weights)


# ---------------------------------------------------------------- the weighted sum


def test_reward_is_the_weighted_sum_without_the_missing():
    terms = load_terms({"correct": 0.5, "brier": 2, "format": 0.25})
    right = completion(confidence=0.5, format_ok=True)
    # 0.5 * 1 + 2 * (1 - 0.25) + 0.25 * 1 = 2.25
    assert reward(terms, right) == ({"correct": 1.0, "brier": 0.75, "format": 1.0}, 2.25)
    unjudged = completion(correct=None, confidence=0.5, format_ok=True)
    assert reward(terms, unjudged) == ({"correct": None, "brier": None, "format": 1.0}, 0.25)


def test_no_score_when_nothing_that_weighs_applies():
    values, total = reward(load_terms({"correct": 1, "format": 0}), completion(correct=None, format_ok=True))
    assert values == {"correct": None, "format": 1.0}
    assert math.isnan(total)


# ---------------------------------------------------------------- plain TRL

TAC = ("think", "answer", "confidence")


def equal(answer: str, gold: str) -> bool:
    if answer == "boom":
        raise ZeroDivisionError
    return answer == gold


def test_as_trl_reward_parses_verifies_and_scores():
    score = as_trl_reward("brier", TAC, verify=equal)
    assert score.__name__ == "brier"
    texts = [render("t", "42", 0.8), render("t", "41", 0.8), render("t", "boom", 0.8), "42"]
    expected = [pytest.approx(0.96), pytest.approx(0.36), None, 0.0]
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    prompts = [[{"role": "user", "content": "6 * 7?"}]] * 4
    assert score(prompts=prompts, completions=chats, answer=["42"] * 4, trainer_state=object()) == expected
    assert score(["6 * 7?"] * 4, texts, answer=["42"] * 4) == expected


def test_as_trl_reward_passes_tokens_and_columns(mine):
    length = as_trl_reward("length(target=2, slack=2)", ("answer",))
    assert length(["?"], ["<answer>1</answer>"], completion_ids=[[5, 6, 7]]) == [0.5]
    assert length(["?"], ["<answer>1</answer>"]) == [None]  # the number of tokens is not known
    columns = as_trl_reward(f"{mine}:columns", ("answer",))
    assert columns(["6 * 7?"], ["x"], answer=["42"], id=["p/1"], level=[3], task=["t"]) == [1.0]


def test_as_trl_reward_without_what_it_needs():
    with pytest.raises(RlvrError, match=r"column 'answer'.*gold"):
        as_trl_reward("correct", ("answer",), verify=equal)(["?"], ["<answer>1</answer>"], gold=["1"])
    assert as_trl_reward("correct", ("answer",))(["?"], ["<answer>1</answer>"], answer=["1"]) == [None]


def test_plain_grpo_trainer_takes_terms(tiny, tmp_path):
    from trl import GRPOConfig, GRPOTrainer

    model, tokenizer = tiny
    trainer = GRPOTrainer(
        model,
        reward_funcs=[as_trl_reward(name, ("answer",), verify=equal) for name in ("correct", "format", "length")],
        args=GRPOConfig(
            str(tmp_path),
            per_device_train_batch_size=2,
            num_generations=2,
            report_to="none",
            bf16=False,
            use_cpu=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": PROBLEM.prompt, "answer": "42", "id": "p/1"}]),
        processing_class=tokenizer,
    )
    assert trainer.reward_func_names == ["correct", "format", "length"]
    rewards = trainer._calculate_rewards(
        [{"prompt": PROBLEM.prompt, "answer": "42", "id": "p/1"}] * 2,
        [PROBLEM.prompt] * 2,
        [[{"role": "assistant", "content": f"<answer>{a}</answer>"}] for a in ("42", "boom")],
        [[1] * 64, [1] * 96],
    )
    # right, well-formed, at the target; not judged (NaN in TRL), well-formed, 32 of 64 tokens over
    assert rewards[0].tolist() == [1.0, 1.0, 1.0]
    assert math.isnan(rewards[1][0])
    assert rewards[1][1:].tolist() == [1.0, 0.5]


def test_the_weighted_sum_does_not_depend_on_the_order_of_the_terms(make_trainer):
    """Neither for one completion nor in the trainer, whose terms come in one order whatever the recipe's."""
    from functools import partial

    from rlvr.config.settings import TrainConfig
    from rlvr.problems.scorer import Scorer
    from rlvr.problems.verifier import Verifier
    from rlvr.training.trainer import RLVRTrainer

    weights = {"repetition": 0.1, "random_control": 0.37, "format": 0.11, "correct": 0.7, "brier": 0.13}
    c = Completion(Problem("1", [], "4"), "a b a b c", answer="4", confidence=0.3, format_ok=True, correct=True)
    orders = [load_terms(dict(order)) for order in (weights.items(), sorted(weights.items()), [*weights.items()][::-1])]
    assert len({reward(terms, c)[1] for terms in orders}) == 1
    judged = partial(RLVRTrainer, problems={}, scorer=Scorer(("answer",), Verifier("arithmetic")))
    found = [make_trainer(partial(judged, terms=terms), TrainConfig, reward_funcs=None) for terms in orders]
    assert len({tuple(trainer.reward_func_names) for trainer in found}) == 1
    assert len({tuple(trainer.reward_weights.tolist()) for trainer in found}) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0"),
        ("while True: pass", "takes longer than 0.5 s to import"),
    ],
)
def test_a_reward_file_that_exits_or_hangs_when_imported_is_named(tmp_path, monkeypatch, line, message):
    monkeypatch.setenv("RLVR_IMPORT_SECONDS", "0.5")
    (tmp_path / "mine.py").write_text(line + "\ndef mine(c): return 1.0\n")
    with pytest.raises(SpecError, match=rf"mine\.py {message}"):
        load_terms({str(tmp_path / "mine.py"): 1.0})
