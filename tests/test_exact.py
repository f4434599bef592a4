"""A unique right completion's probability is pass@1: against every completion listed, and against samples."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

import rlvr
from rlvr.commands.main import main
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import DataError, ModelError, SpecError
from rlvr.measure.exact import check_exact, exact_rates
from rlvr.measure.metrics import compare_evals, pass_at_1_by_task, pass_at_k, summarise_eval
from rlvr.measure.sample import Policy, make_engine
from rlvr.models.chat import encode
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import ProblemSet
from rlvr.problems.verifier import Verifier
from rlvr.report.measured import difference
from rlvr.runs.eval_file import check_eval, load_eval
from tests.fake_run import counted_evaluation
from tests.small_models import listable, taught

ONE = "operators(lengths=[1])"
ASKED = {"tags": ["answer"], "system_prompt": "", "max_completion_length": 12}


@pytest.fixture(scope="module")
def some():
    """Four problems of one operator, and their set."""
    data = ProblemSet.of(ONE)
    return data, data.load("test", 4, 0)


@pytest.fixture(scope="module")
def unsure(tiny, some):
    """`tiny`, taught the right chain of each problem so many times beside wrong ones: it knows each in part."""
    wrong = [f"{p.answer[:2]}{(int(p.answer[2]) + 1) % 10}" for p in some[1]]
    lines = [
        (p.prompt[0]["content"], f"<answer>{p.answer if time < i else wrong[i]}</answer>")
        for i, p in enumerate(some[1])
        for time in range(3)
    ]
    return taught(*tiny, lines, steps=120)


def rates(model, tokenizer, problems, data, tags=("answer",), temperature=1.0):
    return exact_rates(
        Policy(make_engine(model, tokenizer), tokenizer, ""), problems, data, AnswerFormat.of(tags), temperature
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_it_is_the_sum_over_every_completion_that_is_judged_right(some, temperature):
    """All 5-token completions of a model of nine tokens, scored as samples are: no other one is right."""
    data, problems = some
    problem = problems[0]
    characters = "".join(sorted(set(problem.answer + "01")))
    model, tokenizer = listable(characters, ("<answer>", "</answer>"), seed=1)
    [prompt] = encode(tokenizer, [problem.prompt])
    every = torch.tensor(list(itertools.product(range(len(tokenizer)), repeat=5)))
    with torch.no_grad():
        rows = torch.cat([torch.tensor([prompt]).expand(len(every), -1), every], 1)
        logps = (model(rows).logits[:, len(prompt) - 1 : -1] / temperature).log_softmax(-1)
        chances = logps.gather(2, every[:, :, None]).sum((1, 2)).exp().double()
    assert float(chances.sum()) == pytest.approx(1, abs=1e-4)
    texts = tokenizer.batch_decode([row[: [*row.tolist(), 1].index(1)] for row in every], skip_special_tokens=True)
    scored = Scorer(("answer",), Verifier(data))([problem] * len(every), texts, [5] * len(every), [False] * len(every))
    right = torch.tensor([completion.correct for completion in scored])
    assert right.sum() == 1
    found = rates(model, tokenizer, [problem], data, temperature=temperature)
    assert found == [pytest.approx(float(chances[right].sum()), rel=1e-4)] and found[0] > 0


def test_it_agrees_with_128_samples(unsure, tiny, some):
    """Each count within 4.5 standard deviations of n p; so is their sum. The chances are spread, so this can fail."""
    record = rlvr.evaluate(unsure, ONE, tokenizer=tiny[1], n=128, size=4, **ASKED).record
    exact = rlvr.evaluate(unsure, ONE, tokenizer=tiny[1], size=4, exact=True, **ASKED).record
    p = np.array([problem["p"] for problem in exact["problems"]])
    c = np.array([problem["c"] for problem in record["problems"]])
    assert p.min() < 0.2 and p.max() > 0.7 and np.ptp(p) > 0.5
    assert (np.abs(c - 128 * p) < 4.5 * np.sqrt(128 * p * (1 - p)) + 1).all()
    assert abs((c - 128 * p).sum()) < 4.5 * math.sqrt((128 * p * (1 - p)).sum()) + 1
    curves = [summarise_eval(one, ks=[1, 2, 8]) for one in (record, exact)]
    for k in (1, 2, 8):
        assert abs(curves[0][f"pass@{k}"].value - curves[1][f"pass@{k}"].value) < 0.06
    check_eval(json.loads(json.dumps(exact)), "exact")
    assert [(problem["n"], problem["c"], problem["samples"]) for problem in exact["problems"]] == [(0, 0, [])] * 4


def test_what_stands_after_the_answer_does_not_matter(unsure, tiny, some):
    data, problems = some
    alone = rates(unsure, tiny[1], problems, data)
    assert rates(unsure, tiny[1], problems, data, ("answer", "confidence")) == alone
    assert rates(unsure, tiny[1], problems[1:3], data) == [pytest.approx(p, rel=1e-5) for p in alone[1:3]]


def test_pass_at_k_is_that_of_so_many_independent_tries():
    record = counted_evaluation([[True, False], [False, False], [True, True]])
    chances = [0.25, 0.001, 1.0]
    known = {**record, "problems": [{**row, "p": p} for row, p in zip(record["problems"], chances, strict=True)]}
    found = summarise_eval(known)
    for k in (1, 2, 4, 8, 16, 32, 64, 128):
        assert found[f"pass@{k}"].value == pytest.approx(np.mean([1 - (1 - p) ** k for p in chances]), abs=1e-12)
        assert found[f"pass@{k}"].n == 3
    assert found["samples"] == 6 and found["format_rate"].value == 1  # the samples still say what they say
    assert pass_at_1_by_task(known)["arithmetic/L0"].value == pytest.approx((0.25 + 1) / 2)
    sampled = pass_at_k(10**6, round(0.25 * 10**6), 8)  # the estimator from samples, where there are very many
    assert sampled == pytest.approx(1 - 0.75**8, abs=1e-4)
    change = compare_evals(before=record, after=known)["pass@1"]
    assert change.value == pytest.approx(np.mean(chances) - 0.5) and change.n == 3


def test_without_samples_nothing_is_said_of_samples():
    """Two computed evaluations compare like for like whatever they sampled; a vote of nobody is no wrong vote."""
    record = counted_evaluation([[True, False], [False, False]], exact=True)
    problems = [{**row, "p": p} for row, p in zip(record["problems"], (0.5, 0.25), strict=True)]
    some = {**record, "problems": problems}
    none = {**some, "n": 0, "problems": [{**row, "samples": [], "n": 0, "c": 0} for row in problems]}
    found = summarise_eval(none)
    assert found["pass@1"].value == 0.375 and found["samples"] == 0
    assert all(math.isnan(found[name].value) for name in ("majority_vote", "format_rate", "tokens"))
    assert difference(some, none)[1] == [] and difference(some, some | {"seed": 8})[1] != []
    assert difference(some, none | {"temperature": 0.5})[1] != []


@pytest.mark.parametrize(
    ("data", "tags", "given", "message"),
    [
        ("arithmetic", ("answer",), {}, "'arithmetic' may have several right completions"),
        ("operators(answer='last')", ("think", "answer"), {}, "anything may stand before the answer"),
        ("operators", ("answer",), {"temperature": 0}, "needs a temperature above 0"),
        ("operators", ("answer",), {"top_p": 0.9}, "no cut, found temperature 1, top_p 0.9"),
        ("operators", ("answer",), {"top_k": 5}, "and top_k 5"),
    ],
)
def test_where_it_would_not_be_pass_at_1_it_is_refused(data, tags, given, message):
    with pytest.raises(SpecError, match=message):
        check_exact(ProblemSet.of(data), AnswerFormat.of(tags), **{"temperature": 1.0, **given})
    with pytest.raises(SpecError, match=message):
        rlvr.evaluate("no-such/model", data, tags=list(tags), exact=True, **given)


def test_a_steered_model_is_refused_before_anything_is_loaded():
    with pytest.raises(SpecError, match="a steered model is three"):
        rlvr.evaluate("a/b", "operators", tags=["answer"], exact=True, expert="c/d", antiexpert="e/f")


def test_broken_weights_are_told(tiny, some):
    model = taught(*tiny, [("3c", "<answer>3c7</answer>")], steps=1)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        rates(model, tiny[1], some[1], some[0])


def test_the_command_writes_what_the_report_reads(unsure, tiny, tmp_path, capsys):
    unsure.save_pretrained(tmp_path / "model")
    tiny[1].save_pretrained(tmp_path / "model")
    flags = ["--set", ONE, "--tags", "answer", "--system_prompt", "", "--size", "4"]
    for name, more in (("exact", ["--exact"]), ("sampled", ["--n", "8"])):
        assert main(["evaluate", str(tmp_path / "model"), *flags, *more, "--out", str(tmp_path / f"{name}.json")]) == 0
    shown = capsys.readouterr().out
    assert "4 problems, the chance of each computed from the logits, 0 samples" in shown and "pass@128" in shown
    argv = ["--exact", "--against", str(tmp_path / "sampled.json"), "--out", str(tmp_path / "again.json")]
    assert main(["evaluate", str(tmp_path / "model"), *flags, *argv]) == 0
    shown = capsys.readouterr().out
    assert "paired difference" in shown and "n differs: 8 and 0; not like for like" in shown
    record = load_eval(tmp_path / "exact.json")
    record["problems"][0]["p"] = 1.5
    with pytest.raises(DataError, match="p must be a number from 0 to 1, found 1.5"):
        check_eval(record, "it")
