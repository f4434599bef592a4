"""Gather everything that a report shows, as one dict, from run directories and evaluation files alone."""

import re
from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

from rlvr.core.errors import RunError
from rlvr.report.measured import decided, difference, summarise_sides
from rlvr.report.read import read_run
from rlvr.report.training import difficulty_table, group_counts, training_table
from rlvr.report.transcripts import transcripts
from rlvr.report.validation import validation
from rlvr.report.words import about, limits, signal, verdict
from rlvr.training.health import health_verdict

SEEDS = ("seed", "data_seed", "sampling_seed")  # settings that make a repetition, not another arm
DIFF = 20_000  # characters of code.diff that go on the page


def summarise(run_dirs: Sequence[Path]) -> dict[str, Any]:
    """Return what a report over `run_dirs` shows; the same directories give the same dict.

    Keys: `verdict` (a paragraph for each run and set); `runs`; `between` (trained models paired with that of
    the first run); `seeds`; `transcripts`; `config_diff`; `limits`. Each run has `name`, `folder`, `notes` on
    what is missing, `health` (could it learn?), `about`, `sets` (see `summarise_sides` and `decided`), `training`,
    `validation` (see there), `counts`, `signal`, `difficulty`, `metrics`, `config`, `env`, `command` and `diff`. A
    directory given twice counts once.

    Raises:
        RunError: no directory was given, or one is none of a run.
    """
    paths = list(dict.fromkeys(Path(run).resolve() for run in run_dirs))
    if not paths:
        raise RunError("A report needs at least one run directory, e.g. rlvr report runs/demo")
    folders = _folders([path.with_suffix("") if path.suffix == ".json" else path for path in paths])
    read = {name: read_run(path) for name, path in zip(short_names(folders), paths, strict=True)}
    runs = [_run(*each) for each in zip(read, folders, read.values(), strict=True)]
    seeds = _seeds(runs)
    return {
        "runs": runs,
        "verdict": _verdicts(runs),
        "between": _between(read),
        "seeds": seeds,
        "transcripts": transcripts({name: contents["rollouts"] for name, contents in read.items()}),
        "config_diff": _config_diff(runs),
        "limits": limits(runs, [row["seeds"] for row in seeds]),
    }


def _folders(paths: Sequence[Path]) -> list[str]:
    """Return the folder of each run, with as many parents as it takes to tell all apart."""
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


def short_names(folders: Sequence[str]) -> list[str]:
    """Return names that fit a legend: without the time of the run and what all runs have in common.

    >>> short_names(["rlcr-tiny-s0-20260101-120000", "grpo-tiny-s0-20260101-120500"])
    ['rlcr', 'grpo']
    """
    if len(folders) == 1:
        return list(folders)
    names = [re.sub(r"-\d{8}-\d{6}$", "", folder) for folder in folders]
    if len(set(names)) < len(names):
        names = list(folders)
    parts = [name.split("-") for name in names]
    if len({len(part) for part in parts}) == 1:
        differ = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
        names = ["-".join(compress(part, differ)) for part in parts]
    return names


def _run(name: str, folder: str, contents: Mapping[str, Any]) -> dict[str, Any]:
    trained = not contents.get("alone", False)  # an evaluation by itself is of whatever was measured
    training, counts = training_table(contents["metrics"]), group_counts(contents["rollouts"])
    kept = {key: contents[key] for key in ("config", "env", "command", "metrics")}
    cut = len(contents["diff"]) - DIFF
    notice = f"\n[{cut} more characters are in code.diff]" if cut > 0 else ""
    return {
        "name": name,
        "folder": folder,
        "notes": contents["notes"],
        "sets": {
            key: summarise_sides(sides) | decided(sides) | {"trained": trained}
            for key, sides in contents["evals"].items()
        },
        "trained": trained,
        "training": training,
        "validation": validation(contents["steps"], contents["best"]),
        "counts": counts,
        "health": health_verdict(contents["metrics"]) if contents["metrics"] else "",
        "about": about(contents["config"], contents["metrics"]),
        "signal": signal(training, counts),
        "difficulty": difficulty_table(contents["difficulty"]),
        "diff": contents["diff"][:DIFF] + notice,
        **kept,
    }


def _verdicts(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    verdicts = [
        {"run": run["name"], "set": name, "text": verdict(measured)}
        for run in runs
        for name, measured in run["sets"].items()
    ]
    return verdicts or [{"run": "", "set": "", "text": "Nothing was measured, so there is no verdict."}]


def _between(read: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Compare every trained model with that of the first run, on each set that both were measured on."""
    (first, base), *others = read.items()
    rows = []
    for name, run in others:
        for key, sides in run["evals"].items():
            if "after" in sides and "after" in base["evals"].get(key, {}):
                gain, notes = difference(base["evals"][key]["after"], sides["after"])
                rows.append({"run": name, "to": first, "set": key, "difference": gain, "notes": notes})
    return rows


def _seeds(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Gather runs that differ in nothing but seeds, and what each of them gained in pass@1."""
    arms: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        arm = {key: value for key, value in run["config"].items() if key not in SEEDS}
        # Without its settings nobody can say which arm a run belongs to: it is one of its own.
        arms.setdefault(repr(sorted(arm.items())) if arm else run["name"], []).append(run)
    rows = []
    for members in arms.values():
        gains: dict[str, list[float]] = {}
        for run in members:
            for key, measured in run["sets"].items():
                if "pass@1" in measured["difference"]:
                    gains.setdefault(key, []).append(measured["difference"]["pass@1"].value)
        rows.append({"runs": [run["name"] for run in members], "seeds": len(members), "gains": gains})
    return rows


def _config_diff(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the settings that are not the same in all runs; None where a run does not list one."""
    keys = sorted({key for run in runs for key in run["config"]}, key=str)
    rows = [{"key": str(key), "values": [_value(run["config"], key) for run in runs]} for key in keys]
    return [row for row in rows if len(set(row["values"])) > 1]


def _value(config: Mapping[str, Any], key: Any) -> str | None:
    return str(config[key]) if key in config else None
