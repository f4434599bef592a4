"""Run `rlvr select`: rows in, kept rows out, and beside them every row's score and why it was kept or dropped."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from rlvr.config.fields import as_mapping
from rlvr.core.answer_format import AnswerFormat
from rlvr.core.errors import DataError, SpecError, did_you_mean
from rlvr.core.files import replacing
from rlvr.core.records import Problem
from rlvr.measure.plots import figure_svg, plot_score_kept
from rlvr.models.chat import encode
from rlvr.models.load import load_model, model_source
from rlvr.models.precision import run_device
from rlvr.problems.prompts import messages
from rlvr.problems.worked import as_chat, read_rows, write_rows
from rlvr.runs.pass_rate import PassRate
from rlvr.select.embed import pooled_embeddings
from rlvr.select.ifd import DIRECT, PairScore, score_pairs
from rlvr.select.prune import Prune
from rlvr.select.scores import SCORES, PassRateScore
from rlvr.select.student import Pair, StudentSelector, candidates

Row = dict[str, Any]


def beside(out: Path, suffix: str) -> Path:
    """Return the path of a file that accompanies `out`.

    >>> str(beside(Path("kept.jsonl"), ".scores.jsonl"))
    'kept.scores.jsonl'
    """
    return out.with_name(out.name.removesuffix(".jsonl") + suffix)


def select_student(
    data: Path,
    model_spec: str,
    out: Path,
    *,
    unimproved: str = "keep",
    threshold: float | str = 1.0,
    direct: str = "empty",
    max_length: int | None = None,
    tags: Sequence[str] = ("think", "answer", "confidence"),
    answer_format: str | AnswerFormat = "tags",
    system_prompt: str | None = None,
    chat_template: str | None = None,
    chat_template_kwargs: Mapping[str, Any] | str | None = None,
) -> Counter[str]:
    """Filter worked rows by what the model would profit from, write both files, and count the reasons.

    Every row is malformed, or scored, or counted as too long. Prompts are scored after the system message that the
    warm-up puts before them. Raises DataError for bad rows before the model is loaded, and when no row was kept.
    """
    rows = read_rows(data)
    _check_out(data, out)
    for row in rows:
        candidates(row)
    if direct not in DIRECT:
        raise SpecError(did_you_mean("way to score a text alone", direct, DIRECT))
    answers = AnswerFormat.of(answer_format, tags)
    template = as_mapping("chat_template_kwargs", chat_template_kwargs)

    def score(pairs: Sequence[Pair]) -> list[PairScore | None]:
        after_system = [(messages(Problem("", chat, None), answers, system_prompt), reply) for chat, reply in pairs]
        return score_pairs(model, tokenizer, after_system, direct=direct, max_length=max_length, template=template)

    selector = StudentSelector(score, unimproved, threshold)
    selector.check()
    model_source(model_spec)
    model, tokenizer = load_model(model_spec, device=run_device(), chat_template=chat_template)
    selector.fit(rows)
    report = selector.report(rows)
    kept = selector.transform(rows)
    _write(out, kept, report)
    counts = Counter(r["reason"] for r in report)
    if unfit := sum(len(r["too_long"]) for r in report):
        counts["(candidates that exceed the context)"] = unfit
    return counts


def prune(
    data: str | Path,
    out: str | Path,
    score: str,
    rule: Prune | str = "auto",
    *,
    model_spec: str | None = None,
    label: str | None = None,
    attempts: Any = None,
    clusters: int = 10,
    seed: int = 0,
    chat_template: str | None = None,
) -> tuple[Prune, Counter[str]]:
    """Prune rows by difficulty, write the kept rows, every row's score and the plot; return the rule and the counts.

    `label` names the column of classes; `attempts`, for the pass rate, is what `PassRate.of` takes: a run or an
    evaluation, as an object or a file. Raises DataError for bad rows before a model is loaded.
    """
    data, out = Path(data), Path(out)
    rule = Prune(rule) if isinstance(rule, str) else clone(rule)  # what "auto" looks at is filled in below
    rule.check()
    rows = read_rows(data)
    _check_out(data, out)
    classes = _column(rows, label) if label else None
    if score == "pass_rate":
        if attempts is None:
            raise SpecError(
                "The score 'pass_rate' reads attempts: --attempts RUN/difficulty.parquet, or an evaluation."
            )
        pass_rates = PassRate.of(attempts)
        rates = PassRateScore(pass_rates).fit(_ids(rows, pass_rates, data.stem))
        if not rates.attempts_.any():
            where = repr(str(attempts)) if isinstance(attempts, str | Path) else "What was given as attempts"
            raise DataError(f"{where} knows none of the ids in {str(data)!r}, for example {rows[0]['id']!r}.")
        fits, scores = np.ones(len(rows), dtype=bool), rates.scores_
        extra: list[Row] = [
            {"attempts": int(n), "interval": [round(float(x), 4) for x in bounds]}
            for n, bounds in zip(rates.attempts_, rates.intervals_, strict=True)
        ]
        rule.set_params(pass_rate=float(1 - scores.mean()))
    else:
        if score != "prototype" and classes is None:
            raise SpecError(f"The score {score!r} trains a classifier on classes. Name their column with --label.")
        if model_spec is None:
            raise SpecError(f"The score {score!r} reads a model's embeddings. Name the model with --model.")
        model_source(model_spec)
        fits, X = _embed(rows, model_spec, chat_template)
        y = None if classes is None else [c for c, fit in zip(classes, fits, strict=True) if fit]
        estimator = SCORES[score](n_clusters=clusters) if score == "prototype" else SCORES[score]()
        features = X if score == "prototype" else StandardScaler().fit_transform(X)
        scores = estimator.set_params(seed=seed).fit(features, y).scores_
        extra = [{} for _ in scores]
        if rule.n_parameters is None:  # a linear readout of the embedding
            rule.set_params(n_parameters=X.shape[1] * max(1, len(set(y or ())) - 1))
    chosen = [row for row, fit in zip(rows, fits, strict=True) if fit]
    rule.fit(scores, None if classes is None else [c for c, fit in zip(classes, fits, strict=True) if fit])
    scored = {
        row["id"]: {"score": round(float(s), 6), "kept": bool(k), "reason": reason} | more
        for row, s, k, reason, more in zip(chosen, scores, rule.kept_, rule.reasons_, extra, strict=True)
    }
    report = [{"id": r["id"]} | scored.get(r["id"], {"score": None, "kept": False, "reason": "too long"}) for r in rows]
    _write(out, rule.transform(chosen), report)
    figure = plot_score_kept(scores, list(rule.reasons_), score, f"keep {rule.keep_}, {rule.fraction:.0%}")
    with replacing(beside(out, ".svg")) as temporary:
        temporary.write_text(figure_svg(figure), encoding="utf-8")
    return rule, Counter(r["reason"] for r in report)


def _embed(rows: Sequence[Row], model_spec: str, chat_template: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows fit the model's context, and the embeddings of those (prompt and completion in one)."""
    model, tokenizer = load_model(model_spec, device=run_device(), chat_template=chat_template)
    prompts = encode(tokenizer, [as_chat(row["prompt"], f"Row {row['id']!r}") for row in rows])
    replies = tokenizer([str(row.get("completion") or "") for row in rows], add_special_tokens=False).input_ids
    texts = [prompt + reply for prompt, reply in zip(prompts, replies, strict=True)]
    room = getattr(model.config, "max_position_embeddings", None) or 10**9
    fits = np.array([len(text) <= room for text in texts])
    if not fits.any():
        raise DataError(f"No row fits the context of {room} tokens; the shortest has {min(map(len, texts))}.")
    return fits, pooled_embeddings(model, [text for text, fit in zip(texts, fits, strict=True) if fit])


def _ids(rows: Sequence[Row], pass_rates: PassRate, stem: str) -> list[str]:
    """Return the ids by which the pass rates know the rows: their own, or `<file>/<id>` as in the set `jsonl`."""
    return [row["id"] if row["id"] in pass_rates.counts else f"{stem}/{row['id']}" for row in rows]


def _column(rows: Sequence[Row], name: str) -> list[str]:
    for row in rows:
        if row.get(name) is None:
            known = ", ".join(map(repr, row))
            raise DataError(f"Row {row['id']!r} has no column {name!r} for its class; it has {known}.")
    return [str(row[name]) for row in rows]


def _check_out(data: Path, out: Path) -> None:
    if out.resolve() == data.resolve():
        raise SpecError(f"--out {str(out)!r} is the data itself; the dropped rows would be lost. Choose another name.")


def _write(out: Path, kept: list[Row], report: list[Row]) -> None:
    write_rows(report, beside(out, ".scores.jsonl"))
    if not kept:
        raise DataError(f"No row was kept, so there is no {out}; {beside(out, '.scores.jsonl')} says why.")
    write_rows(kept, out)
