"""Every problem set: gold answers pass, splits never meet, items depend on (seed, i) alone, verifiers never raise."""

import json
import time
from fractions import Fraction
from itertools import permutations, product

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from rlvr.core import specs
from rlvr.core.errors import DataError, RlvrError, SpecError
from rlvr.problems.check import check
from rlvr.problems.sets import ProblemSet, load_problems, problem_set

GENERATED = [
    "arithmetic", "arithmetic(levels=[6, 7, 8, 9])", "arithmetic(mode='mod')", "arithmetic(mode='choice')", "countdown",
    "countdown(n_numbers=4)", "inverse", "inverse(levels=[6, 7, 8, 9])",
]  # fmt: skip
arithmetic, countdown = (specs.import_file("data", name) for name in ("arithmetic", "countdown"))
gsm8k, jsonl = (specs.import_file("data", name) for name in ("gsm8k", "jsonl"))


@pytest.mark.parametrize("spec", GENERATED)
def test_gold_passes_and_nonsense_fails(spec):
    assert check(spec, ("train", "validation", "test"), 60, 0) == []


@pytest.mark.parametrize("spec", GENERATED)
def test_splits_never_share_a_problem(spec):
    """Not even across seeds: the split is a property of the problem's content."""

    def key(p):
        return p.meta["expression"] if "arithmetic" in p.id else tuple(sorted(p.answer["numbers"]))

    seen = {
        s: {key(p) for seed in (0, 1) for p in load_problems(spec, s, 300, seed)}
        for s in ("train", "validation", "test")
    }
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


@pytest.mark.parametrize("spec", GENERATED)
def test_an_item_depends_on_its_index_alone(spec):
    assert load_problems(spec, "train", 40, 3)[:10] == load_problems(spec, "train", 10, 3)
    assert load_problems(spec, "train", 10, 3) != load_problems(spec, "train", 10, 4)


@pytest.mark.parametrize("spec", GENERATED)
def test_worked_solutions_are_true(spec):
    """Every equation of every working holds, by Python's own arithmetic."""
    module = problem_set(spec)
    for p in load_problems(spec, "train", 80, 0):
        for step in module.solution(p).split(", "):
            if "=" in step:
                left, right = step.rsplit("=", 1)
                a, op, b = next(
                    (left[: i + 1], left[i + 1], left[i + 2 :]) for i in range(len(left) - 1) if left[i + 1] in "+-*/"
                )
                value = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}.get(op)
                assert int(right) == (Fraction(int(a), int(b)) if value is None else value), (p.id, step)


def test_arithmetic_answers_by_an_independent_evaluation():
    for p in load_problems("arithmetic(levels=[0,1,2,3,4,5,6,7,8,9])", "test", 300, 5):
        parts = p.meta["expression"].split()
        terms, sign = [], 1
        i = 0
        while i < len(parts):  # products bind first, then sums from left to right
            factor = int(parts[i])
            while i + 2 < len(parts) and parts[i + 1] == "*":
                factor *= int(parts[i + 2])
                i += 2
            terms.append(sign * factor)
            sign = -1 if i + 1 < len(parts) and parts[i + 1] == "-" else 1
            i += 2
        assert int(p.answer) == sum(terms), p.meta


def test_small_answer_spaces_are_small():
    assert {p.answer for p in load_problems("arithmetic(mode='mod', modulus=3)", "train", 200, 0)} == {
        "0",
        "1",
        "2",
    }
    letters = [p.answer for p in load_problems("arithmetic(mode='choice')", "train", 400, 0)]
    assert set(letters) == set("ABCD")
    assert max(letters.count(c) for c in "ABCD") < 140  # no letter is favoured (100 expected)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("46", True), (" 46 ", True), ("+46", True), ("46.", True), ("046", True),
        ("= 46", False), ("45 or 46", False), ("146", False), ("46.0", False), ("", False), ("4 6", False), ("٤٦", False),
        ("46" * 50, False), ("--46", False), ("4,6", False),
    ],
)  # fmt: skip
def test_arithmetic_verifier_decisions(answer, verdict):
    assert arithmetic.verify(answer, "46") is verdict


def test_arithmetic_verifier_separators_and_signs():
    assert arithmetic.verify("1,234,567", "1234567")
    assert not arithmetic.verify("12,34", "1234")
    assert arithmetic.verify("-7", "-7")
    assert not arithmetic.verify("7", "-7")
    assert not arithmetic.verify("−7", "-7")  # the typographic minus: a doubtful parse is not the profitable one


def test_steps_ok():
    assert arithmetic.steps_ok("34*20=680, 34*7=238, 680+238=918") is True
    assert arithmetic.steps_ok("34*20=680, 680+238=919") is False
    assert arithmetic.steps_ok("I know it is 918") is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_verifiers_never_raise(text):
    assert arithmetic.verify(text, "46") in (True, False)
    assert countdown.verify(text, {"target": 46, "numbers": [40, 6]}) in (True, False)
    assert gsm8k.verify(text, "46") in (True, False)
    arithmetic.steps_ok(text)


@pytest.mark.parametrize("hostile", ["(" * 5_000_000, "9" * 10_000_000, "1+" * 3_000_000, "<" * 10_000_000])
def test_verifiers_are_quick_on_huge_text(hostile):
    start = time.process_time()
    for module, gold in ((arithmetic, "46"), (countdown, {"target": 46, "numbers": [40, 6]}), (gsm8k, "46")):
        assert module.verify(hostile, gold) is False
    arithmetic.steps_ok(hostile[:1_000_000])
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("(3 + 5) * 2", True), ("2 * (5 + 3) = 16", True), ("5 * 3 + 2 - 1", False), ("3 * 5 + 1", False), ("16", False),
        ("2 * (5 + 3) = 17", False), ("(3 + 5 * 2", False), ("3 + 5) * 2", False), ("2 ** 4", False), ("8 * 2", False),
        ("2 × (5 + 3)", True), ("", False), ("-3 + 5", False), ("(3)(5)", False), ("(2 * 5 + 2 * 3)", False), ("3 5", False),
        ("()", False), ("5 / (3 - 3)", False),
    ],
)  # fmt: skip
def test_countdown_verifier_decisions(answer, verdict):
    assert countdown.verify(answer, {"target": 16, "numbers": [2, 3, 5]}) is verdict


def test_countdown_parser_against_exact_enumeration():
    """Every (a op b) op c and a op (b op c) over three numbers, valued with fractions by hand."""
    ops = {
        "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b if b else None,
    }  # fmt: skip
    for a, b, c in permutations((2, 3, 8)):
        for p, q in product(ops, repeat=2):
            inner = ops[p](Fraction(a), Fraction(b))
            value = ops[q](inner, Fraction(c))
            assert countdown._value(countdown._tokens(f"({a} {p} {b}) {q} {c}")) == value
            inner = ops[q](Fraction(b), Fraction(c))
            value = None if inner is None else ops[p](Fraction(a), inner)
            assert countdown._value(countdown._tokens(f"{a} {p} ({b} {q} {c})")) == value


def test_gsm8k_on_real_rows(gsm8k_rows):
    spec = f"gsm8k(path={str(gsm8k_rows)!r})"
    splits = {s: load_problems(spec, s, None, 0) for s in ("train", "validation", "test")}
    assert sum(map(len, splits.values())) == 400
    assert len({p.prompt[0]["content"] for ps in splits.values() for p in ps}) == 400
    assert check(spec, ("train", "test"), 400, 0) == []
    assert all("<<" not in gsm8k.solution(p) for p in splits["train"])


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("72", True),
        ("$72", True),
        ("72.00", True),
        ("72.", True),
        ("72.5", False),
        ("72 apples", False),
        ("7 2", False),
        ("", False),
    ],
)
def test_gsm8k_verifier_decisions(answer, verdict):
    assert gsm8k.verify(answer, "72") is verdict


def test_gsm8k_without_hub_or_file(tmp_path):
    with pytest.raises(DataError, match="Cannot fetch openai/gsm8k from the hub"):
        load_problems("gsm8k", "train", 5, 0)
    with pytest.raises(DataError, match="Cannot read"):
        load_problems(f"gsm8k(path='{tmp_path}/none.jsonl')", "train", 5, 0)
    (tmp_path / "bad.jsonl").write_text('{"question": "a", "answer": "no mark"}\n')
    with pytest.raises(DataError, match="row 1: expected 'question' and an 'answer' with a '#### final' part"):
        load_problems(f"gsm8k(path='{tmp_path}/bad.jsonl')", "train", 5, 0)


def write(path, rows):
    path.write_text("\n".join(json.dumps(r) if not isinstance(r, str) else r for r in rows) + "\n")
    return str(path)


def test_jsonl_maps_columns_and_splits_by_prompt(tmp_path):
    path = write(tmp_path / "mine.jsonl", [{"q": f"{i} + 1?", "a": i + 1, "key": f"k{i}"} for i in range(200)])
    spec = f"jsonl(path={path!r}, prompt='q', answer='a', id='key', verifier='number')"
    splits = {s: load_problems(spec, s, None, 0) for s in ("train", "validation", "test")}
    assert sum(map(len, splits.values())) == 200
    assert len(splits["train"]) > len(splits["test"]) > 0
    assert all(p.id.startswith("mine/k") for p in splits["train"])
    assert check(spec, ("train", "test"), 200, 0) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{broken", "line 2 is not JSON"),
        ('["a"]', "line 2 holds a list, not an object"),
        ({"prompt": "x"}, "line 2 has no column 'answer'; it has 'prompt'"),
        (
            {"prompt": "", "answer": "1"},
            "line 2, column 'prompt': expected a text or chat messages, found ''",
        ),
        ({"prompt": [{"role": "user"}], "answer": "1"}, "line 2, column 'prompt'"),
        ({"prompt": "x", "answer": None}, "line 2, column 'answer': expected a text or number, found None"),
    ],
)
def test_jsonl_names_the_bad_row(tmp_path, row, message):
    path = write(tmp_path / "bad.jsonl", [{"prompt": "ok", "answer": "1"}, row])
    with pytest.raises(DataError) as caught:
        load_problems(f"jsonl(path={path!r})", "train", None, 0)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("verifier", "gold", "answer", "verdict"),
    [
        ("exact", "Paris", " paris ", True), ("exact", "Paris", "in Paris", False),
        ("number", "1000", "1,000.0", True), ("number", "1000", "1000 or 1", False), ("number", "x", "y", False),
        ("math", "\\frac{1}{2}", "0.5", True), ("math", "\\frac{1}{2}", "\\frac{2}{4}", True), ("math", "2", "3", False),
        ("math", "x^2-1", "(x-1)(x+1)", True), ("exact", "Paris", "  ", False),
    ],
)  # fmt: skip
def test_jsonl_verifiers(verifier, gold, answer, verdict):
    assert jsonl.verify(answer, {"text": gold, "verifier": verifier}) is verdict


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("arithmetik", SpecError, "No problem set 'arithmetik'. Did you mean 'arithmetic'"),
        ("arithmetic(level=[0])", SpecError, "No parameter of 'arithmetic' 'level'. Did you mean 'levels'"),
        ("arithmetic(levels=[11])", DataError, "levels must be some of"),
        ("arithmetic(levels=[0]", SpecError, "Cannot read"),
        ("arithmetic([0])", SpecError, "parameters must be given by name"),
        ("./none.py", SpecError, "No file './none.py'"),
        ("jsonl(path='none.jsonl')", DataError, "No file 'none.jsonl'"),
    ],
)
def test_wrong_specs(spec, error, message):
    with pytest.raises(error) as caught:
        load_problems(spec, "train", 3, 0)
    assert message in str(caught.value)


def user_set(tmp_path, body):
    path = tmp_path / "mine.py"
    path.write_text("from rlvr.core.records import Problem\nVERSION = 1\n" + body)
    return str(path)


def test_a_users_set_is_checked(tmp_path):
    twice = "def load(split, size, seed): return [Problem('a', [{'role': 'user', 'content': 'x'}], '1')] * 2\ndef verify(a, g): return True\n"
    spec = user_set(tmp_path, twice)
    with pytest.raises(DataError, match="gives the id 'a' twice"):
        load_problems(spec, "train", 2, 0)
    empty = tmp_path / "b"
    empty.mkdir()
    spec = user_set(
        empty,
        "def load(split, size, seed): return [Problem('a', [{'role': 'user', 'content': ' '}], '1')]\ndef verify(a, g): return True\n",
    )
    with pytest.raises(DataError, match="has an empty prompt"):
        load_problems(spec, "train", 1, 0)
    lenient = tmp_path / "c"
    lenient.mkdir()
    spec = user_set(
        lenient,
        "def load(split, size, seed): return [Problem('a', [{'role': 'user', 'content': 'x'}], '1')]\ndef verify(a, g): return True\n",
    )
    assert any("verify('', '1') gave True, not False" in f for f in check(spec, ("train",), 1, 0))
    lacking = tmp_path / "d"
    lacking.mkdir()
    with pytest.raises(SpecError, match="defines no 'verify'"):
        load_problems(user_set(lacking, "def load(split, size, seed): return []\n"), "train", 1, 0)


@pytest.mark.parametrize("evals", [[], ["countdown"]])
def test_a_spec_is_read_once_and_handed_on(evals, monkeypatch):
    """plan() checks, loads and measures one value: the spec of a set is not parsed again at each of these."""
    from rlvr.config.settings import TrainConfig, build_config
    from rlvr.planning.resolve import plan

    asked = {"model": "tiny", "data": "arithmetic(levels=[0])", "eval_data": evals, "bf16": False, "use_cpu": True}
    config, read, parse = build_config(TrainConfig, asked), [], specs.parse_spec
    monkeypatch.setattr(specs, "parse_spec", lambda text: (read.append(text), parse(text))[1])
    resolved = plan(config)
    sets = [config.data, *evals]
    assert [text for text in read if text in sets] == sets  # it was 16 times for one set
    assert list(resolved.sets) == sets


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"model": "./no-such-folder"}, "no-such-folder"),
        ({"rewards": {"breir": 1}}, "Did you mean 'brier'"),
        ({"rewards": {"brier": 1}}, "can be gamed"),
        ({"advantage": "gpro"}, "Did you mean 'grpo'"),
        ({"critic": "shared"}, "needs an advantage that gives it its targets"),
        ({"eval_exact": True}, "may have several right completions"),
        ({"scale_rewards": "none"}, "would change nothing"),
    ],
)
def test_what_is_only_named_is_refused_before_a_set_is_loaded(wrong, why, tmp_path):
    """A set may take minutes to load; the sum of these takes a second."""
    from rlvr.config.settings import TrainConfig, build_config
    from rlvr.planning.resolve import resolve_config

    (tmp_path / "slow.py").write_text(
        "VERSION = 1\ndef load(split, size, seed): raise AssertionError('loaded')\ndef verify(answer, gold): pass\n"
    )
    asked = {"model": "tiny", "data": str(tmp_path / "slow.py"), "bf16": False, "use_cpu": True}
    with pytest.raises(AssertionError, match="loaded"):
        resolve_config(build_config(TrainConfig, asked))
    with pytest.raises(RlvrError, match=why):
        resolve_config(build_config(TrainConfig, asked | wrong))


def test_one_value_has_what_the_file_and_the_spec_say(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from rlvr import Problem\nVERSION = '7b'\n"
        "def load(split, size, seed, top=3):\n"
        "    return [Problem(f'{split}{i}', [{'role': 'user', 'content': f'{i}?'}], i) for i in range(top)]\n"
        "def verify(answer, gold): return answer == f'<{gold}>'\n"
        "def gold_answer(problem): return f'<{problem.answer}>'\n"
    )
    mine = ProblemSet.of(f"{path}(top=2, split='all')")
    assert ProblemSet.of(mine) is mine
    problems = mine.load("test", None, 0)
    assert [p.id for p in problems] == ["all0", "all1"]
    assert problems == load_problems(mine.spec, "test", None, 0)
    assert (mine.version, mine.inline, mine.solution, mine.split("test")) == ("7b", False, None, "all")
    assert (mine.file, mine.module) == (str(path.resolve()), problem_set(mine.spec))
    assert check(mine, ("train",), 2, 0) == []
    [problem] = ProblemSet.of("arithmetic").load("train", 1, 0)
    assert ProblemSet.of("arithmetic").solution(problem) == arithmetic.solution(problem)
    assert ProblemSet.of("arithmetic").inline
