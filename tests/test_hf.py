"""A table of the user's or of the hub as a problem set: formats, splits, columns, errors, and the sets built on it."""

import json

import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr import DataError, SpecError, load_problems, load_rows
from rlvr.core import specs
from rlvr.problems.check import check
from rlvr.problems.copies import paid_copies
from rlvr.problems.source import choose_rows
from rlvr.problems.verifier import Verifier
from rlvr.rewards.terms import load_terms

ROWS = [{"question": f"What is {i} + 1?", "final": i + 1, "level": i % 3} for i in range(30)]
COLUMNS = "prompt='question', answer='final', verifier='number'"


def written(folder, suffix, rows=ROWS):
    """Write a table in one of the formats that a user brings."""
    path = folder / f"table{suffix}"
    table = Dataset.from_list(rows)
    if suffix == ".jsonl":
        table.to_json(path)
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    elif suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".csv":
        table.to_csv(path)
    elif suffix == ".tsv":
        table.to_csv(path, sep="\t")
    elif suffix == "-saved":
        DatasetDict({"train": table.select(range(20)), "test": table.select(range(20, 30))}).save_to_disk(path)
    return str(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".csv", ".tsv"])
def test_a_file_that_is_measured_is_measured_whole(tmp_path, suffix):
    problems = load_problems(f"hf(path={written(tmp_path, suffix)!r}, {COLUMNS})", "test", None, 0)
    assert {p.prompt[0]["content"]: p.answer["text"] for p in problems} == {
        row["question"]: str(row["final"]) for row in ROWS
    }
    assert all(p.meta["level"] == (int(p.answer["text"]) - 1) % 3 for p in problems)


def test_the_seed_shuffles_and_the_size_takes_the_first(tmp_path):
    spec = f"hf(path={written(tmp_path, '.parquet')!r}, {COLUMNS})"
    ids = [[p.id for p in load_problems(spec, "test", size, seed)] for size, seed in ((None, 0), (7, 0), (None, 1))]
    assert ids[1] == ids[0][:7]
    assert ids[2] != ids[0]
    assert sorted(ids[2]) == sorted(ids[0])


def test_a_data_set_on_disk_has_its_own_splits(tmp_path):
    spec = f"hf(path={written(tmp_path, '-saved')!r}, {COLUMNS})"
    parts = {s: {p.answer["text"] for p in load_problems(spec, s, None, 0)} for s in ("train", "validation", "test")}
    assert parts["test"] == {str(i + 1) for i in range(20, 30)}
    assert not parts["train"] & parts["validation"]
    assert parts["train"] | parts["validation"] == {str(i + 1) for i in range(20)}


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ("test='train[:5]'", range(5)), ("test='train[:10%]+test'", [0, 1, *range(20, 30)]), ("test='all'", range(30)),
        ("test='test[-3:]'", range(27, 30)), ("test='test[2:4]'", (22, 23)),
    ],
)  # fmt: skip
def test_a_split_is_what_the_user_says(tmp_path, parts, wanted):
    spec = f"hf(path={written(tmp_path, '-saved')!r}, {COLUMNS}, {parts})"
    problems = load_problems(spec, "test", None, 0)
    assert {int(p.answer["text"]) - 1 for p in problems} == set(wanted)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_shares_never_meet_and_lose_nothing(test, validation):
    table = DatasetDict({"rows": Dataset.from_dict({"prompt": [f"question {i}" for i in range(200)]})})
    parts = {"train": None, "validation": validation, "test": test}
    chosen = [set(choose_rows(table, s, parts, "x", "prompt")["prompt"]) for s in ("train", "validation", "test")]
    assert sum(map(len, chosen)) == len(set.union(*chosen)) == 200
    assert abs(len(chosen[2]) - 200 * test) < 40  # six standard deviations of a binomial draw


def test_a_row_keeps_its_share_wherever_it_stands(tmp_path):
    one = DatasetDict({"rows": Dataset.from_list(ROWS)})
    other = DatasetDict({"rows": Dataset.from_list([{**r, "question": f" {r['question']}\n"} for r in ROWS[::-1]])})
    parts = {"train": None, "validation": None, "test": 0.3}
    texts = [
        {" ".join(q.split()) for q in choose_rows(source, "test", parts, "x", "question")["question"]}
        for source in (one, other)
    ]
    assert texts[0] == texts[1] != set()


@pytest.mark.parametrize(
    ("spec", "split", "message"),
    [
        ("hf", "test", "Which data?"),
        ("hf(path='no.parquet')", "test", "No file 'no.parquet'"),
        ("hf(path={path!r})", "test", "No column 'prompt'"),
        ("hf(path={path!r}, prompt='qestion', answer='final')", "test", "Did you mean 'question'?"),
        ("hf(path={path!r}, prompt='question', answer='final')", "train", "Write test=0.1"),
        ("hf(path={path!r}, prompt='question', answer='final', test='tset')", "test", "No split of"),
        ("hf(path={path!r}, prompt='question', answer='final', test='rows[3')", "test", "Cannot read the split"),
        ("hf(path={path!r}, prompt='question', answer='final', test=1.5)", "test", "lies between 0 and 1"),
        ("hf(path={path!r}, prompt='question', answer='final', test=0.6, validation=0.5)", "train", "nothing is left"),
        ("hf(path={path!r}, prompt='question', answer='question', verifier='number')", "test", "expected a number"),
        ("hf(path={path!r}, prompt='question', answer='final', options='level')", "test", "2 to 26 texts"),
        ("hf(path={path!r}, prompt='level', answer='final')", "test", "expected a text or chat messages"),
        ("hf(path={path!r}, prompt='question', answer='final', answer_after='####')", "test", "an answer after '####'"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(tmp_path, spec, split, message):
    path = written(tmp_path, ".jsonl")
    with pytest.raises(DataError) as caught:
        load_problems(spec.format(path=path), split, None, 0)
    assert message in str(caught.value)


def test_a_file_that_is_none(tmp_path):
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(DataError, match="Cannot read"):
        load_rows("test", None, 0, str(path))
    with pytest.raises(SpecError, match="Did you mean 'math'"):
        load_rows("test", None, 0, str(path), verifier="maths")


def test_text_that_looks_like_nothing_stays_text(tmp_path):
    path = tmp_path / "na.csv"
    path.write_text('prompt,answer\nWhich element is Na?,NA\nSay nothing,"None"\n')
    assert {p.answer["text"] for p in load_rows("test", None, 0, str(path))} == {"NA", "None"}


def test_columns_reach_reward_functions_under_their_names(tmp_path):
    path = written(tmp_path, ".jsonl", [{"prompt": "2 + 2?", "answer": "4", "solution": "It is 4.", "level": 3}])
    reward = tmp_path / "mine.py"
    reward.write_text(
        "def mine(completions, solution, level, answer, **kwargs):\n"
        "    return [float(s == 'It is 4.' and l == 3 and a == '4') for s, l, a in zip(solution, level, answer)]\n"
    )
    [problem] = load_problems(f"hf(path={path!r})", "test", None, 0)
    [term] = load_terms({f"{reward}": 1.0})
    from rlvr import Completion

    assert term(Completion(problem, "text")) == 1.0


# The columns of each set as its page on the hub shows them; made up rows.
FIXTURES = {
    "math500": [{"problem": "What is $1/2+1/4$?", "solution": "It is \\boxed{3/4}.", "answer": "\\frac{3}{4}",
                 "subject": "Algebra", "level": 1, "unique_id": "test/a/1.json"}],
    "aime": [{"id": 1, "problem": "Find n.", "solution": "n = 25", "answer": "025", "url": "", "year": "2024"}],
    "amc": [{"id": 0, "question": "How many?", "answer": 27.0, "url": "https://example.org"}],
    "gsm8k_platinum": [{"question": "Ann has 17 pens and buys one. How many?", "answer": "17+1=<<17+1=18>>18\n#### 18",
                        "cleaning_status": "consensus"}],
    "mmlu_pro": [{"question_id": 70, "question": "Which is red?", "options": ["sky", "blood", "grass"], "answer": "B",
                  "answer_index": 1, "cot_content": "", "category": "biology", "src": ""}],
    "hotpotqa": [{"id": "5a8b", "question": "Who wrote it?", "answer": "Ann Smith", "type": "bridge", "level": "hard",
                  "supporting_facts": {"title": ["x"], "sent_id": [0]}, "context": {"title": [], "sentences": []}}],
    "triviaqa": [{"question": "Which road?", "question_id": "tc_1", "question_source": "", "entity_pages": {},
                  "answer": {"value": "Sunset Boulevard", "aliases": ["Sunset Blvd"], "type": "WikipediaEntity"}}],
    "simpleqa": [{"metadata": "{'topic': 'Art'}", "problem": "In which year?", "answer": "1998"}],
    "commonsenseqa": [{"id": "1afa", "question": "Where is it?", "question_concept": "it", "answerKey": "C",
                       "choices": {"label": ["A", "B", "C"], "text": ["bank", "library", "mall"]}}],
}  # fmt: skip
RIGHT_AND_WRONG = {
    "math500": ("3/4", "1/2+1/4"), "aime": ("\\boxed{25}", "25 or 26"), "amc": ("27", "27+0"),
    "gsm8k_platinum": ("18 pens", "17+1"), "mmlu_pro": ("(B)", "A or B"), "hotpotqa": ("ann smith.", "Ann"),
    "triviaqa": ("sunset blvd", "Sunset"), "simpleqa": ("1998", "1998 or 1999"), "commonsenseqa": ("mall", "A, B, C"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXTURES)
def test_published_sets_read_their_columns(tmp_path, name):
    path = written(tmp_path, ".jsonl", FIXTURES[name])
    spec = f"{name}(path={path!r}, test='all')" if name != "aime" else f"aime(path={path!r}, test='all')"
    [problem] = load_problems(spec, "test", None, 0)
    assert check(spec, ("test",), 10, 0) == []
    assert paid_copies(spec, ("test",), 10, 0) == []
    verifier = Verifier(spec, timeout=60)
    try:
        right, wrong = RIGHT_AND_WRONG[name]
        assert verifier.verify_many([(right, problem.answer), (wrong, problem.answer)]) == [True, False]
    finally:
        verifier.close()


def test_options_stand_under_the_question(tmp_path):
    path = written(tmp_path, ".jsonl", FIXTURES["mmlu_pro"])
    [problem] = load_problems(f"mmlu_pro(path={path!r})", "test", None, 0)
    assert problem.prompt[0]["content"] == "Which is red?\nA. sky\nB. blood\nC. grass"
    assert problem.answer["text"] == "B"


@pytest.mark.parametrize("name", [*FIXTURES, "hf"])
def test_a_set_is_one_short_file(name):
    assert specs.find("data", name).read_text().count("\n") < 50
