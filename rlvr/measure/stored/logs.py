"""Read the sample logs of other tools as stored completions, with the verdicts that those tools gave.

Read from the tools themselves: lm-eval 0.4.13 (`--log_samples`), inspect-ai 0.3.285 (`.eval`, `.json`), TRL 1.16
(`log_completions`), and from its source lighteval (`--save-details`, both the columns of 0.8 and those since 0.10).
Whatever has a text and a gold answer can be judged anew: rlvr score EVAL.json --verifier math.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr.core.errors import DataError, ModelError, SpecError, did_you_mean
from rlvr.measure.stored.completion import StoredCompletion
from rlvr.measure.stored.rows import read_rows

CUT_OFF = ("max_tokens", "model_length")  # inspect's stop reasons of a completion that ran into its limit


@dataclass(frozen=True)
class Wanted:
    """Hold what is taken from a log: whether its verdicts, by which score, after which answer filter (lm-eval)."""

    verdicts: bool = True
    metric: str | None = None
    filter: str | None = None


def read_log(
    path: Path, kind: str | None = None, wanted: Wanted = Wanted()
) -> tuple[list[StoredCompletion], dict[str, Any]]:
    """Return the completions of a log, and what an evaluation says of them (model, set, temperature where known).

    Args:
        kind: one of `KINDS`; None tells it from the columns.
        wanted: its verdicts, by the score whose value 1 means right (None: the only one there is); or the texts alone.

    Raises DataError naming the row, SpecError where several metrics or filters could be meant.
    """
    if kind is not None and kind not in KINDS:
        raise SpecError(did_you_mean("kind of log", kind, KINDS))
    if kind == "inspect" or (kind is None and path.suffix in (".eval", ".json")):
        return _inspect(path, wanted)
    rows = list(read_rows(path))
    if not rows:
        raise DataError(f"{path} holds no completions.")
    kind = kind or _kind(path, rows[0][1])
    found = list(KINDS[kind](path, rows, wanted))
    return found, {"set": path.stem, "model": path.parent.name or path.stem, "source": kind}


def _kind(path: Path, row: Mapping[str, Any]) -> str:
    marks = {"lm_eval": {"doc_id", "resps"}, "trl": {"prompt", "completion", "step", "advantage"}}
    for kind, columns in marks.items():
        if columns <= row.keys():
            return kind
    if {"doc", "model_response"} <= row.keys() or {"full_prompt", "predictions"} <= row.keys():
        return "lighteval"
    raise DataError(
        f"{path} is no log of {', '.join(KINDS)}: its columns are {', '.join(map(repr, row))}. Completions in columns "
        "of your own are read by: rlvr score FILE --columns completion=NAME"
    )


Rows = Sequence[tuple[str, Mapping[str, Any]]]


def _lm_eval(path: Path, rows: Rows, wanted: Wanted) -> Iterator[StoredCompletion]:
    """Yield the completions of samples_<task>_<time>.jsonl: one line for each problem and answer filter.

    lm-eval gives one score for all repeats of a problem, so its verdict stands only where there is one completion;
    else `correct` is left to a verifier.
    """
    filters = list(dict.fromkeys(str(row.get("filter", "none")) for _, row in rows))
    chosen = _one("filter", wanted.filter, filters, path) if wanted.verdicts else filters[0]
    for where, row in rows:
        if str(row.get("filter", "none")) != chosen:
            continue
        for field in ("doc_id", "target", "arguments", "resps", "filtered_resps", "metrics"):
            if field not in row:
                raise DataError(f"{where} has no {field!r}, which lm-eval's sample logs have since 0.4.5.")
        first: Mapping[str, Any] = (
            next(iter(row["arguments"].values()), {}) if isinstance(row["arguments"], Mapping) else {}
        )
        prompt, texts = first.get("arg_0", ""), row["resps"]
        if not (isinstance(texts, list) and len(texts) == 1 and all(isinstance(t, str) for t in texts[0])):
            raise DataError(
                f"{where}: its responses are no texts (a task of log-likelihoods: nothing was written, so there is "
                "nothing to judge or to sample again). Import a task of generated answers."
            )
        answers = row["filtered_resps"]
        filtered = answers[0] if len(answers) == 1 and isinstance(answers[0], str) else None
        single = len(texts[0]) == 1 and wanted.verdicts
        score = row.get(_one("metric", wanted.metric, row["metrics"], path)) if single else None
        for text in texts[0]:
            yield StoredCompletion(
                where=where,
                text=text,
                id=str(row["doc_id"]),
                messages=[{"role": "user", "content": str(prompt)}],
                gold=row["target"] if isinstance(row["target"], str) else str(row["target"]),
                answer=filtered if single else None,
                correct=_verdict(where, score) if single else None,
                given=frozenset({"answer", "correct"}) if single else frozenset(),
            )


def _trl(path: Path, rows: Rows, wanted: Wanted) -> Iterator[StoredCompletion]:
    """Yield the completions of completions_<step>.parquet; right is what the reward column `metric` gives 1."""
    known = {"step", "prompt", "completion", "advantage"}
    rewards = [name for name, value in rows[0][1].items() if name not in known and _is_number(value)]
    chosen = _one("metric", wanted.metric, rewards, path) if wanted.verdicts else ""
    for where, row in rows:
        text = row["completion"]
        prompt = row["prompt"]
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [_message(m) for m in prompt]
        yield StoredCompletion(
            where=where,
            text=text if isinstance(text, str) else "".join(str(m["content"]) for m in text),
            messages=messages,
            correct=_verdict(where, row[chosen]) if chosen else None,
            given=frozenset({"correct"} if chosen else ()),
        )


def _lighteval(path: Path, rows: Rows, wanted: Wanted) -> Iterator[StoredCompletion]:
    """Yield the completions of details_<task>_<time>.parquet; one score stands for all completions of a problem."""
    for i, (where, row) in enumerate(rows):
        new = "model_response" in row
        scores = row.get("metric") or row.get("metrics") or {}
        if new:
            doc, texts = row["doc"], row["model_response"].get("text") or []
            golds = [doc["choices"][g] for g in _as_list(doc.get("gold_index")) if doc.get("choices")]
            prompt, id = doc["query"], str(doc.get("id") or i)
        else:
            texts, golds, prompt, id = row["predictions"], _as_list(row.get("gold")), row["full_prompt"], str(i)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{where}: its predictions are no texts (a task of log-likelihoods). Import another.")
        single = len(texts) == 1 and wanted.verdicts
        names = [name for name, value in scores.items() if _is_number(value)]
        score = scores[_one("metric", wanted.metric, names, path)] if single else None
        for text in texts:
            yield StoredCompletion(
                where=where,
                text=text,
                id=id,
                messages=[{"role": "user", "content": str(prompt)}],
                gold=str(golds[0]) if golds else None,
                correct=_verdict(where, score) if single else None,
                given=frozenset({"correct"}) if single else frozenset(),
            )


def _inspect(path: Path, wanted: Wanted) -> tuple[list[StoredCompletion], dict[str, Any]]:
    """Return the samples of an inspect log: each epoch is one completion, and its score is C, I, P or a number."""
    try:
        from inspect_ai.log import read_eval_log
    except ImportError:
        raise ModelError("Reading inspect logs needs inspect-ai: pip install 'rlvr[inspect]'.") from None
    try:
        log = read_eval_log(str(path))
    except Exception as error:  # zip, JSON and validation errors of its own kinds
        raise DataError(f"{str(path)!r} is no inspect log: {type(error).__name__}: {error}") from error
    found = []
    for sample in log.samples or []:
        where = f"{path}, sample {sample.id!r}, epoch {sample.epoch}"
        scores = sample.scores or {}
        score = scores[_one("metric", wanted.metric, scores, path)] if scores and wanted.verdicts else None
        prompt = sample.input if isinstance(sample.input, str) else sample.input[-1].text
        usage = sample.output.usage
        found.append(
            StoredCompletion(
                where=where,
                text=sample.output.completion,
                id=str(sample.id),
                messages=[{"role": "user", "content": prompt}],
                gold=sample.target if isinstance(sample.target, str) else str(sample.target[0]),
                answer=None if score is None else score.answer,
                tokens=None if usage is None else usage.output_tokens,
                truncated=sample.output.stop_reason in CUT_OFF if sample.output.choices else None,
                correct=None if score is None else _verdict(where, score.value),
                given=frozenset({"tokens", "truncated"} | ({"answer", "correct"} if wanted.verdicts else set())),
            )
        )
    if not found:
        raise DataError(f"{path} holds no samples (status {log.status}).")
    generated = log.eval.model_generate_config
    facts = {"set": log.eval.task, "model": log.eval.model, "source": "inspect"}
    for config in (log.plan.config, generated):  # the later one wins
        facts |= {} if config.temperature is None else {"temperature": config.temperature}
    return found, facts


KINDS: dict[str, Callable[[Path, Rows, Wanted], Iterable[StoredCompletion]]] = {
    "lm_eval": _lm_eval,
    "trl": _trl,
    "lighteval": _lighteval,
    "inspect": lambda path, rows, wanted: _inspect(path, wanted)[0],
}


def _one(what: str, asked: str | None, known: Iterable[str], path: Path) -> str:
    """Return the one that was asked for, or the only one there is."""
    known = list(known)
    if asked is not None and asked not in known:
        raise SpecError(did_you_mean(what, asked, known))
    if asked is None and len(known) != 1:
        listed = ", ".join(known) or "none"
        raise SpecError(f"{path} has {len(known)} of {what} ({listed}): say which with --{what} NAME.")
    return asked or known[0]


def _verdict(where: str, score: Any) -> bool | None:
    """Return whether a score means right: 1, True, "C"; wrong: 0, False, "I", "N"; a part of it is neither."""
    if score is None or score in ("P",):
        return None
    if score in ("C", "I", "N"):
        return score == "C"
    if not _is_number(score) or score not in (0, 1):
        raise DataError(
            f"{where}: the score {score!r:.40} is neither right (1, C) nor wrong (0, I). Name another --metric, or "
            "judge the texts: --verifier math, or --set SPEC."
        )
    return bool(score)


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _message(message: Mapping[str, Any]) -> dict[str, str]:
    return {"role": str(message.get("role", "user")), "content": str(message.get("content", ""))}
