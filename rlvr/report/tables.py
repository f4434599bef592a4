"""Build the tables that page, Markdown and terminal share: headers, and rows of text."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlvr.decide.on_eval import ACT, ALWAYS, CONSTANT
from rlvr.measure.metrics import Interval
from rlvr.report.show import interval, known_metrics, number
from rlvr.report.words import FEW_PROBLEMS


class Table(NamedTuple):
    """Hold a table: its headers, and as many cells in every row."""

    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def overview(summary: Mapping[str, Any]) -> Table:
    """Return one row for each run and set: how accuracy and calibration moved."""
    headers = (
        "run",
        "set",
        "problems",
        "pass@1 before",
        "pass@1 after",
        "pass@1 change",
        "ECE change",
        "Brier change",
    )
    rows = []
    for run in summary["runs"]:
        for name, measured in run["sets"].items():
            sides = [interval(measured.get(when, {}).get("pass@1")) for when in ("before", "after")]
            gains = [interval(measured["difference"].get(key), signed=True) for key in ("pass@1", "ece", "brier")]
            rows.append((run["name"], name, str(measured["facts"]["problems"]), *sides, *gains))
    return Table(headers, rows)


def metrics(measured: Mapping[str, Any], keys: Sequence[str] | None = None) -> Table:
    """Return one row for each metric of one set of one run (`keys` picks some): before, after, paired difference."""
    gain = measured["difference"]
    sides = {when: measured[when] for when in ("before", "after") if when in measured}
    names = {name for side in sides.values() for name in side}
    headers = ("metric", *sides, *(("paired difference", "reading") if gain else ()), "problems")
    rows = []
    for metric in known_metrics(names if keys is None else names & set(keys)):
        estimates = [side.get(metric.key) for side in sides.values()]
        cells = [interval(one, metric.digits) for one in estimates]
        if gain:
            change = gain.get(metric.key)
            cells += [interval(change, metric.digits, signed=True), reading(change, metric.better)]
        rows.append((metric.label, *cells, str(max(one.n for one in estimates if one))))
    return Table(headers, rows)


def reading(gain: Interval | None, better: bool | None) -> str:
    """Say what a paired difference shows: better, worse, up or down if its interval excludes 0, else "".

    >>> reading(Interval(-0.2, -0.3, -0.1, n=50), better=False)
    'better'
    """
    if gain is None or not gain.excludes_zero or gain.n < FEW_PROBLEMS:
        return ""
    up = gain.value > 0
    if better is None:
        return "up" if up else "down"
    return "better" if up == better else "worse"


def by_task(measured: Mapping[str, Any]) -> Table:
    """Return pass@1 of every task, before and after."""
    sides = measured["by_task"]
    tasks = dict.fromkeys(task for accuracies in sides.values() for task in accuracies)
    problems = {task: max(each[task].n for each in sides.values() if task in each) for task in tasks}
    rows = [(task, *(interval(side.get(task)) for side in sides.values()), str(problems[task])) for task in tasks]
    return Table(("task", *(f"pass@1 {when}" for when in sides), "problems"), rows)


def decisions(measured: Mapping[str, Any]) -> Table:
    """Return what acting on the stated confidence earns at three prices of a wrong answer; right 1, no answer 0."""
    rows = [
        (
            f"{when}, wrong {wrong:g}",
            interval(decisions.policies[ACT]["utility"], signed=True),
            interval(decisions.policies[ACT]["coverage"]),
            interval(decisions.policies[ACT]["selective_accuracy"]),
            interval(decisions.gains[ALWAYS], signed=True),
            interval(decisions.gains[CONSTANT], signed=True),
        )
        for when, prices in measured["decisions"].items()
        for wrong, decisions in prices
    ]
    headers = ("price", "utility", "answered", "right among them", "minus always answering", "minus the best threshold")
    return Table(headers, rows)


def training(run: Mapping[str, Any]) -> Table:
    """Return logged means over the first tenth of the steps, the last tenth, and all."""
    rows = [
        (row["label"], row["key"], *(number(row[part]) for part in ("first", "last", "all"))) for row in run["training"]
    ]
    return Table(("quantity", "logged as", "first tenth", "last tenth", "all steps"), rows)


def groups(run: Mapping[str, Any]) -> Table:
    """Return how many groups were of each kind, and how many completions each transform took out of the loss."""
    counts = run["counts"]
    total, completions = sum(counts["groups"].values()), counts["completions"]
    kinds = [kind for kind in ("mixed", "all right", "all wrong", "unverified") if kind in counts["groups"]]
    rows = [(f"groups {kind}", counts["groups"][kind], total) for kind in kinds]
    rows += [(f"completions dropped by {name}", count, completions) for name, count in counts["dropped"].items()]
    return Table(("what", "count", "of", "share"), [(w, f"{c}", f"{n}", f"{c / n:.1%}") for w, c, n in rows])


def between(summary: Mapping[str, Any]) -> Table:
    """Compare trained models with that of the first run, paired by problem."""
    keys = ("pass@1", "ece", "brier")
    rows = [
        (
            row["run"],
            row["to"],
            row["set"],
            *(interval(row["difference"].get(key), signed=True) for key in keys),
        )
        for row in summary["between"]
    ]
    return Table(("run", "minus", "set", "pass@1", "ECE", "Brier"), rows)


def seeds(summary: Mapping[str, Any]) -> Table:
    """Return what each setting that was run with several seeds gained in pass@1, by seed, and the mean."""
    rows = []
    for row in summary["seeds"]:
        for name, gains in row["gains"].items():
            if len(gains) > 1:
                each = ", ".join(number(gain, signed=True) for gain in gains)
                rows.append(
                    (
                        row["runs"][0],
                        name,
                        str(len(gains)),
                        each,
                        number(sum(gains) / len(gains), signed=True),
                    )
                )
    return Table(("first run of the setting", "set", "seeds", "pass@1 change, each seed", "mean"), rows)


def config_diff(summary: Mapping[str, Any]) -> Table:
    """Return the settings that are not the same in all runs."""
    headers = ("setting", *(run["name"] for run in summary["runs"]))
    rows = [
        (row["key"], *("(not listed)" if value is None else value for value in row["values"]))
        for row in summary["config_diff"]
    ]
    return Table(headers, rows)
