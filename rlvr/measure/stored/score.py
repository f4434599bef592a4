"""Judge stored completions and return their evaluation: the same that sampling a model gives."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlvr.config.score_settings import ScoreConfig
from rlvr.core.console import say
from rlvr.core.errors import DataError, SpecError
from rlvr.core.records import Completion, Problem
from rlvr.measure.record import describe, form_facts, problem_row, sample_row
from rlvr.measure.stored.completion import StoredCompletion
from rlvr.measure.stored.logs import Wanted, read_log
from rlvr.measure.stored.match import match
from rlvr.measure.stored.rows import EACH, Row, stored_completions
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import ProblemSet
from rlvr.problems.verifiers import verifier_function
from rlvr.runs.eval_file import SCHEMA, load_eval
from rlvr.runs.texts_file import has_texts, without_texts

GOLD_SET = "jsonl"  # the set whose verifier reads a gold mapping: {"text": ..., "verifier": name}
Group = tuple[Problem, list[StoredCompletion]]


def score(source: Path | Mapping[str, Any] | Iterable[Row], config: ScoreConfig) -> dict[str, Any]:
    """Judge the completions of a file, of rows in memory, or of a stored evaluation with its texts.

    A set (`config.set`) judges by its own verifier and gold answers; `config.verifier` compares with the `gold` column,
    or with the gold answers of the evaluation; without both an evaluation is judged by its own set, and rows by their
    `correct` column.

    Raises DataError for a row that cannot be read or that answers no problem of the set, SpecError where nothing says
    what is right.
    """
    if isinstance(source, Path) and source.suffix == ".json":
        source = load_eval(source, texts=True)
    if isinstance(source, Mapping):
        if not has_texts(source):
            raise DataError("This evaluation holds no texts, so nothing can be judged again. Measure again.")
        return _score_evaluation(source, config)
    name = config.model or (source.stem if isinstance(source, Path) else "completions")
    return judge(stored_completions(source, config.columns), config, {"model": name})


def score_log(
    path: Path, config: ScoreConfig, kind: str | None = None, metric: str | None = None, filter: str | None = None
) -> dict[str, Any]:
    """Return the evaluation of another tool's log: by the verdicts in it, or judged anew by a set or a verifier.

    Raises as `read_log` and `score` do.
    """
    anew = bool(config.set or config.verifier)
    rows, facts = read_log(path, kind, Wanted(not anew, metric, filter))
    if not anew and not all("correct" in row.given for row in rows):
        raise SpecError(
            f"{path} has several completions of a problem and one score for all of them, so nothing says which are "
            "right. Judge the texts: --verifier math (or number, exact), or --set SPEC."
        )
    return judge(rows, config, {**facts, "model": config.model or facts["model"]})


def judge(rows: Sequence[StoredCompletion], config: ScoreConfig, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Judge completions as `config` says; `facts` are what the evaluation says of them beside."""
    data, verifier = _judges(config, rows)
    if data is None:
        groups = problems_of(rows)
        return record(groups, _as_given(groups), {"set": "judged", **facts, "tags": []})
    if verifier is None:
        groups = match(rows, data.load(config.split, config.size, config.data_seed), data.spec)
        facts = {**facts, **describe(data, config.split, facts["model"])}
        golds = [problem.answer for problem, _ in groups]
    else:
        groups = problems_of(rows)
        golds = [_gold(problem, verifier, mine[0]) for problem, mine in groups]
        facts = {"set": f"gold-{verifier}", **facts}
    return _judged(groups, golds, data, config, facts)


def _judges(config: ScoreConfig, rows: Sequence[StoredCompletion]) -> tuple[ProblemSet | None, str | None]:
    """Return the set that judges, and the verifier's name where the gold answers come with the rows."""
    if config.set:
        return ProblemSet.of(config.set), None
    if config.verifier:
        lacking = next((row for row in rows if row.gold is None), None)
        if lacking:
            raise DataError(
                f"{lacking.where} has no gold answer for the verifier {config.verifier!r} to compare with. Name the "
                "column: gold=COLUMN. Or name the set that was asked: --set SPEC."
            )
        return _gold_set(config.verifier), config.verifier
    if all("correct" in row.given for row in rows):
        return None, None
    raise SpecError(
        "Nothing says which completions are right: give --set SPEC (the problems that were asked), or --verifier "
        "number (or math, exact) with a column of gold answers, or a column 'correct'."
    )


def _gold_set(verifier: str) -> ProblemSet:
    verifier_function(verifier)  # SpecError for a name that nothing has
    return ProblemSet.of(GOLD_SET)


def _gold(problem: Problem, verifier: str, row: StoredCompletion) -> dict[str, Any]:
    return {"text": str(problem.answer), "verifier": verifier, **row.facts}


def _judged(
    groups: Sequence[Group], golds: Sequence[Any], data: ProblemSet, config: ScoreConfig, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Judge every completion against its gold answer: read by the Scorer, unless the row gives the answer itself."""
    rows = [row for _, mine in groups for row in mine]
    problems = [
        replace(problem, answer=gold) for (problem, mine), gold in zip(groups, golds, strict=True) for _ in mine
    ]
    with Scorer.of(data, config.answers, config.verify_timeout) as scorer:
        read = [i for i, row in enumerate(rows) if "answer" not in row.given]
        scored = scorer(
            [problems[i] for i in read],
            [rows[i].text for i in read],
            [0] * len(read),
            [False] * len(read),
            facts.get("prompt_end"),
        )
        verdicts: dict[int, Completion] = dict(zip(read, scored, strict=True))
        rest = [i for i in range(len(rows)) if i not in verdicts]
        judged = scorer.verifier.verify_many([(rows[i].answer, problems[i].answer) for i in rest])
        for i, verdict in zip(rest, judged, strict=True):
            verdicts[i] = Completion(problems[i], rows[i].text, rows[i].answer, correct=verdict)
        facts = {key: value for key, value in facts.items() if key not in ("answer_format", "tags")}
        facts |= form_facts(scorer.answers) | {"verifier_errors": sum(scorer.verifier.errors.values())}
    silent = sum(verdicts[i].answer is None for i in read)
    if read and silent > len(read) / 2:
        say(
            f"WARNING: {silent} of {len(read)} completions have no answer in the form that is read "
            f"(answer_format {scorer.answers}), and count as wrong. Name the form they have (--answer_format boxed, "
            "last_number, ...), or the column that holds their answers (--columns answer=COLUMN)."
        )
    return record(groups, [verdicts[i] for i in range(len(rows))], facts)


def _as_given(groups: Sequence[Group]) -> list[Completion]:
    return [
        Completion(problem, row.text, row.answer, row.confidence, correct=row.correct)
        for problem, mine in groups
        for row in mine
    ]


def record(groups: Sequence[Group], completions: Sequence[Completion], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evaluation of judged completions, in the order of `groups`; what their rows give wins.

    `n` is the smallest number of completions that a problem has: pass@k is known up to there.
    """
    left, problems = iter(completions), []
    for problem, mine in groups:
        samples = [_sample(next(left), row) for row in mine]
        problems.append(problem_row(problem, samples))
    counts = [problem["n"] for problem in problems]
    if min(counts) < max(counts):
        say(
            f"WARNING: the problems have from {min(counts)} to {max(counts)} completions. pass@k goes up to "
            f"k = {min(counts)}, where it is known of all of them; every other number uses all completions."
        )
    given = sorted({field for _, mine in groups for row in mine for field in row.given})
    return {"schema": SCHEMA, "n": min(counts), **facts, "given": given, "problems": problems}


def _sample(completion: Completion, row: StoredCompletion) -> dict[str, Any]:
    sample = sample_row(completion, row.logp) | {"tokens": row.tokens, "truncated": row.truncated}
    if "confidence" in row.given:
        sample["confidence"] = row.confidence
    if "answer" in row.given:
        sample |= {"answer": row.answer, "format_ok": None}  # nothing was read, so there was no form to keep
    return sample


def problems_of(rows: Iterable[StoredCompletion]) -> list[Group]:
    """Return the problems that rows name themselves, by id or else by prompt, each with its completions.

    Raises DataError, naming the row, where rows of one problem give it other gold answers or another prompt.
    """
    groups: dict[str, Group] = {}
    for row in rows:
        chat = json.dumps(row.messages, sort_keys=True)
        id = row.id if row.id is not None else f"prompt-{hashlib.sha256(chat.encode()).hexdigest()[:12]}"
        if id not in groups:
            groups[id] = (Problem(id, row.messages, row.gold, row.task), [])
        problem, mine = groups[id]
        if (problem.answer, problem.prompt) != (row.gold, row.messages):
            what = "gold answer" if problem.answer != row.gold else "prompt"
            raise DataError(
                f"{row.where}: the problem {id!r} has another {what} here than in {mine[0].where}. "
                "One id is one problem."
            )
        mine.append(row)
    return list(groups.values())


def _score_evaluation(stored: Mapping[str, Any], config: ScoreConfig) -> dict[str, Any]:
    """Judge a stored evaluation again: by another set, another verifier, other tags, or as it was judged."""
    given = frozenset(stored.get("given", ()))
    facts = {
        key: value for key, value in without_texts(stored).items() if key not in ("schema", "n", "given", "problems")
    }
    if config.answers == ScoreConfig().answers and stored.get("tags"):  # nothing else was asked for: as it was read
        form = stored.get("answer_format")
        config = replace(config, answer_format=form) if form else replace(config, tags=stored["tags"])
    facts |= {"model": config.model or facts.get("model", "")}
    groups = []
    for problem in stored["problems"]:
        name = f"problem {problem['id']!r}"
        mine = [
            StoredCompletion(
                f"{name}, sample {i}",
                sample["text"],
                problem["id"],
                problem["messages"],
                problem["gold"],
                given=given,
                **{field: sample[field] for field in EACH},
            )
            for i, sample in enumerate(problem["samples"], 1)
        ]
        groups.append((Problem(problem["id"], problem["messages"], problem["gold"], problem["task"]), mine))
    own = stored.get("spec")
    if config.set:
        return judge([row for _, mine in groups for row in mine], config, facts)
    if config.verifier:
        golds = [_gold(replace(p, answer=_gold_text(p, own)), config.verifier, mine[0]) for p, mine in groups]
        return _judged(groups, golds, _gold_set(config.verifier), config, {**facts, "verifier": config.verifier})
    if not own:
        raise SpecError("This evaluation names no problem set, so give what judges: --set SPEC or --verifier NAME.")
    return _judged(groups, [problem.answer for problem, _ in groups], ProblemSet.of(own), config, facts)


def _gold_text(problem: Problem, spec: str | None) -> str:
    """Return the gold answer as the text that a verifier by name compares with."""
    if isinstance(problem.answer, Mapping) and "text" in problem.answer:
        return str(problem.answer["text"])
    return ProblemSet.of(spec).gold(problem) if spec else str(problem.answer)
