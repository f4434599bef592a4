"""One form of answer for the audit, the copies that rlvr check tries, prompts, warm-up, confidence and settings."""

import json

import pytest

from rlvr.config.settings import EvalConfig, TrainConfig, parse_config
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import RlvrError, SpecError
from rlvr.core.parse import Parsed
from rlvr.models.chat import encode, prompt_end
from rlvr.models.load import tiny_tokenizer
from rlvr.problems.check import check
from rlvr.problems.copies import paid_copies
from rlvr.problems.prompts import messages
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import load_problems
from rlvr.problems.verifier import Verifier
from rlvr.problems.worked import lessons
from rlvr.rewards.audit import assert_safe, audit
from rlvr.rewards.terms import as_trl_reward, load_terms
from rlvr.training.confidence_start import confidence_start
from rlvr.training.supervised.tokenised_brier import slot
from rlvr.training.supervised.warmup import Warmup, as_sampled, examples, own_thinking
from tests.qwen_like import template

STATED = [
    f"{place}confidence={kind!r}, thinking={thinking!r})"
    for place in ("boxed(", "last_number(", "regex(pattern='#### (.+)', ", "tags(")
    for kind in ("tag", "line")
    for thinking in ("native", "tags")
]
SILENT = [
    "boxed",
    "last_number",
    "regex(pattern='#### (.+)')",
    "regex(pattern='Answer: ([A-E])$')",
    "tags(confidence='none')",
]
RLCR = {"correct": 0.5, "brier": 0.5, "format": 0.5}


# ---------------------------------------------------------------------- the audit


@pytest.mark.parametrize("spec", STATED)
def test_what_is_safe_in_tags_is_safe_in_every_form(spec):
    found = audit(load_terms(RLCR), spec)
    assert (found.safe, found.proper, found.reasons) == (True, True, [])
    greedy = audit(load_terms({"brier": 1}), spec)
    assert not greedy.safe
    assert "a wrong answer at confidence 0.00 earns 1" in greedy.reasons[0]


@pytest.mark.parametrize("spec", SILENT)
def test_a_form_without_confidence_refuses_terms_that_read_one_and_says_what_to_do(spec):
    assert audit(load_terms({"correct": 1, "format": 1}), spec).safe
    with pytest.raises(RlvrError) as error:
        assert_safe(load_terms(RLCR), spec)
    assert "not ask for one" in str(error.value)
    asked = "--tags ... confidence" if spec.startswith("tags") else "confidence='tag' or 'line' in --answer_format"
    assert asked in str(error.value)
    assert "at least the weight" not in str(error.value)  # review C: more weight mends nothing here


BROKEN = """
def no_answer(c):
    return 0.2 if c.answer is None else float(bool(c.correct))

def bad_form(c):
    return 0.9 if not c.format_ok else float(bool(c.correct))

def solved(completions, solution, **kwargs):
    return [1.0 for _ in completions]
"""


@pytest.mark.parametrize("spec", [*STATED[:12], *SILENT[:4]])
@pytest.mark.parametrize(("term", "message"), [("no_answer", "earns 0.2"), ("bad_form", "earns 0.9")])
def test_no_gap_pays_in_any_form(spec, term, message, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    found = audit(load_terms({f"{tmp_path / 'broken.py'}:{term}": 1}), spec)
    assert any(message in reason for reason in found.reasons)


def test_a_reward_that_reads_a_missing_column_is_told_its_name(tmp_path):
    """review C: it was told to give `correct` more weight."""
    (tmp_path / "broken.py").write_text(BROKEN)
    with pytest.raises(RlvrError) as error:
        assert_safe(load_terms({f"{tmp_path / 'broken.py'}:solved": 1}), "boxed")
    for part in ("reads the column 'solution'", "the gold answer is `answer`", "Mend the term", "allow_hackable: true"):
        assert part in str(error.value)
    assert "at least the weight" not in str(error.value)


# ---------------------------------------------------------------------- rlvr check


@pytest.mark.parametrize(
    "spec", ["boxed", "boxed(confidence='line')", "regex(pattern='#### (.+)')", "tags", "last_number"]
)
@pytest.mark.parametrize("data", ["arithmetic", "arithmetic(mode='mod')"])
def test_nothing_that_solves_nothing_is_paid_in_the_built_in_sets(spec, data):
    assert check(data, ("test",), 30, 0, spec) == []
    assert paid_copies(data, ("test",), 30, 0, spec) == []


def rows_of(tmp_path, rows) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"jsonl(path={str(path)!r}, split='all', verifier='math')"


def test_a_question_that_ends_in_its_answer_pays_the_last_number_and_is_named(tmp_path, cli):
    data = rows_of(
        tmp_path, [{"prompt": f"Tom has {a} eggs. How many eggs has Tom, with {a}", "answer": a} for a in (3, 4)]
    )
    assert paid_copies(data, ("all",), 10, 0, "boxed") == []
    [line] = paid_copies(data, ("all",), 10, 0, "last_number")
    assert "the prompt as the whole reply is paid in 2 of 2 problems" in line
    done = cli("check", data, "--splits", "all", "--answer_format", "boxed", "last_number")
    assert done.code == 1
    assert "answers in boxed: ok" in done.out
    assert "answers in last_number: 1 failures" in done.out


def test_a_verifier_that_takes_one_of_several_is_named_in_the_form(tmp_path):
    (tmp_path / "lenient.py").write_text(
        "from rlvr.core.records import Problem\nVERSION, INLINE = 1, True\n"
        "def load(split, size, seed):\n"
        "    return [Problem(str(i), [{'role': 'user', 'content': f'{i} + {i}?'}], str(2 * i)) for i in range(3, 9)]\n"
        "def verify(answer, gold): return gold in answer.split(', ')\n"
    )
    for spec in ("boxed", "regex(pattern='#### (.+)')", "tags"):
        assert any("a list of guesses is paid in 6 of 6" in line for line in paid_copies(
            str(tmp_path / "lenient.py"), ("test",), 10, 0, spec
        ))  # fmt: skip


def test_a_gold_answer_that_the_form_cannot_hold_is_a_failure(tmp_path):
    data = rows_of(tmp_path, [{"prompt": "Solve.", "answer": "x^2"}, {"prompt": "Solve again.", "answer": "42"}])
    [failure] = check(data, ("all",), 10, 0, "last_number")
    assert "the answer 'x^2' cannot be given in the form 'last_number'" in failure
    assert check(data, ("all",), 10, 0, "boxed") == []


# ---------------------------------------------------------------------- prompts and thinking


@pytest.mark.parametrize(
    ("name", "kwargs", "opened"),
    [
        ("qwen3", None, False),
        ("qwen3", {"enable_thinking": False}, False),
        ("qwen3_5_think", None, True),
        ("deepseek_r1_distill", None, True),
        ("qwen2_5", None, False),
    ],
)
def test_the_end_of_the_prompt_is_what_the_model_reads(name, kwargs, opened, capsys):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template(name)
    end = prompt_end(tokenizer, kwargs)
    [problem] = load_problems("arithmetic(levels=[0])", "test", 1, 0)
    (ids,) = encode(tokenizer, [messages(problem, "boxed")], kwargs)
    assert end
    assert tokenizer.decode(ids).endswith(end)
    assert end.rstrip().endswith("<think>") == opened
    text = f"6 * 7 = {problem.answer}</think>So \\boxed{{{problem.answer}}}."
    with_verifier = Scorer("boxed", Verifier("arithmetic"))
    [c] = with_verifier([problem], [text], [9], [False], end)
    assert (c.correct, c.format_ok) == (True, opened)
    Scorer(("answer",), with_verifier.verifier)([problem], [text], [9], [False], end)
    assert ("take thinking='native'" in capsys.readouterr().err) == opened  # no completion could have the form
    with_verifier.verifier.close()


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_think", "deepseek_r1_distill", "qwen2_5"])
@pytest.mark.parametrize("spec", ["boxed", "boxed(confidence='line')", "tags", "tags(thinking='native')"])
def test_the_warm_up_teaches_what_reads_back_behind_every_template(name, spec):
    """A template may drop the reasoning of a reply, or open the thinking in prompts alone."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template(name)
    settings = Warmup("tiny", "arithmetic(levels=[0])", steps=1, batch_size=3, answer_format=spec)
    rows = as_sampled(examples(settings, own_thinking(tokenizer, None)), tokenizer, None)
    end, answers = prompt_end(tokenizer), AnswerFormat.of(spec)
    for row in rows:
        if "input_ids" in row:
            taught = [i for i, kept in zip(row["input_ids"], row["completion_mask"], strict=True) if kept]
            before = row["input_ids"][: -len(taught)]
            assert tokenizer.decode(before).endswith(end)
            assert taught[-1] == tokenizer.eos_token_id
            text = tokenizer.decode(taught[:-1])
        else:
            head = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
            whole = tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
            assert whole.startswith(head)
            text = whole[len(head) :].partition("<|im_end|>")[0]
        read = answers.parse(text, end)
        assert read.format_ok, text
        assert ("<think>" in end + text) == (name != "qwen2_5" or answers.thinking == "tags")


def test_lessons_add_the_confidence_in_the_form_that_is_asked_for():
    rows = [{"id": "1", "prompt": "6 * 7?", "completion": "6 * 7 = 42\n\\boxed{42}"}]
    [(_, text)] = lessons(rows, "boxed(confidence='line')", 0)
    read = AnswerFormat.of("boxed(confidence='line')").parse(text)
    assert read.answer == "42"
    assert read.confidence in [i / 10 for i in range(11)]
    with pytest.raises(RlvrError, match=r"expected the form \.\.\n\\boxed\{\.\.\}"):
        lessons([{"id": "1", "prompt": "6 * 7?", "completion": "42"}], "boxed", 0)


# ---------------------------------------------------------------------- the confidence


@pytest.mark.parametrize("spec", STATED)
def test_the_confidence_begins_where_its_statement_does(spec):
    answers, tokenizer = AnswerFormat.of(spec), tiny_tokenizer()
    text = answers.render("6 * 7 = 42", "42", 0.3)
    ids = tokenizer(text)["input_ids"]
    at = confidence_start(tokenizer, ids, answers)
    mark = "Confidence: 0.3" if answers.confidence == "line" else "<confidence>0.3</confidence>"
    assert tokenizer.decode(ids[at:]) == mark
    assert confidence_start(tokenizer, ids[:at], answers) == at
    one = slot(tokenizer, [1], text, True, answers)
    assert tokenizer.decode(one.context[1:]) == text[: text.rindex("0.3")]
    assert [tokenizer.decode(tail) for tail in one.tails[:2]] == ["0.0", "0.1"]


def test_a_reward_for_plain_trl_reads_the_same_form():
    score = as_trl_reward("correct", "boxed", verify=lambda answer, gold: answer == gold)
    assert score(["?", "?\n<think>"], ["\\boxed{4}", "\\boxed{4}"], answer=["4", "4"]) == [1.0, 0.0]


# ---------------------------------------------------------------------- settings


def test_settings_take_the_spec_as_the_command_does(tmp_path):
    for kind in (TrainConfig, EvalConfig):
        assert parse_config(kind, argv=["--answer_format", "boxed"]).answers == AnswerFormat.of("boxed")
        assert parse_config(kind, argv=["--tags", "answer"]).answers == AnswerFormat.of(["answer"])
        assert parse_config(kind, argv=[]).answers == AnswerFormat()
        with pytest.raises(SpecError, match="Did you mean 'boxed'"):
            parse_config(kind, argv=["--answer_format", "boxd"])
        with pytest.raises(SpecError, match="belong to answer_format 'tags'"):
            parse_config(kind, argv=["--answer_format", "boxed", "--tags", "answer"])
    mine = parse_config(EvalConfig, argv=["--answer_format", "tags(thinking='native')", "--tags", "think", "answer"])
    assert mine.answers.parse("<think>a</think><answer>4</answer>") == Parsed("4", None, True)


def test_a_warm_up_in_tags_keeps_its_name_in_the_cache(monkeypatch):
    plain = Warmup("tiny", "arithmetic")
    assert plain.key() != Warmup("tiny", "arithmetic", answer_format="boxed").key()
    assert "answer_format" not in json.dumps(plain.key())
