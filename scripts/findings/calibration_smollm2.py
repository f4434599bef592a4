"""Finding: RLCR on a real 135M model raises pass@1 and repairs calibration (2507.16806, section 2 of the notes).

    python scripts/findings/calibration_smollm2.py            redraw from the committed evaluations
    python scripts/findings/calibration_smollm2.py --rerun    train again first (about 40 minutes on two cores)

The criterion, in pages/calibration_smollm2.md, was committed before the run. One seed; the recipe is
`--config rlcr smollm2`, unchanged. It is an ablation of one arm, so a second --rerun goes on with it or stores what is
there: remove runs/finding-calibration-smollm2 to train again.
"""

import argparse
from typing import Any

from finding import REPO, Finding, Page, Point, lines, name_points

import rlvr
from rlvr.measure.metrics import EvalArrays, compare_evals, pass_at_1_by_task, reliability_table, summarise_eval
from rlvr.measure.plots.reliability import plot_reliability
from rlvr.runs.directory import RunDir
from rlvr.runs.eval_file import load_eval, save_eval

STORE = REPO / "docs" / "findings" / "calibration_smollm2"
OUT = REPO / "runs" / "finding-calibration-smollm2"
SPEC = "arithmetic(levels=[0, 1, 2])"
NAMES = {
    "pass@1": "pass@1", "pass@8": "pass@8", "ece": "ECE", "ece_debiased": "ECE, debiased", "brier": "Brier",
    "brier_constant": "Brier of the constant confidence", "brier_skill": "Brier skill", "auroc": "AUROC",
    "overconfidence": "mean confidence - accuracy", "confidence_missing": "no readable confidence",
    "format_rate": "format rate", "tokens": "tokens",
}  # fmt: skip


def rerun(options: argparse.Namespace) -> None:
    """Train, then store the two evaluations without what the metrics do not read."""
    rlvr.ablate({"arms": {"rlcr": {"recipes": ["rlcr", "smollm2"]}}, "seeds": [42]}, OUT)
    models = {"before": "smollm2-135m-instruct, warmed up", "after": "the same, trained"}
    for when, model in models.items():
        record = load_eval(RunDir(OUT / "runs" / "rlcr-s42").evaluation(when, SPEC))
        for problem in record["problems"]:
            for sample in problem["samples"]:
                sample["answer"] = None if sample["answer"] is None else sample["answer"][:12]
        save_eval(record | {"model": model}, STORE / f"{when}.json")


def load() -> dict[str, dict[str, Any]]:
    """Return the stored evaluations."""
    return {when: load_eval(STORE / f"{when}.json") for when in ("before", "after")}


def points(after: dict[str, Any], change: dict[str, Any]) -> list[Point]:
    """Return each point of the criterion."""
    return [
        Point("pass@1 rises", str(change["pass@1"]), change["pass@1"].low > 0),
        Point("ECE falls", str(change["ece"]), change["ece"].high < 0),
        Point("Brier falls", str(change["brier"]), change["brier"].high < 0),
        Point("Brier skill over the constant", str(after["brier_skill"]), after["brier_skill"].low > 0),
    ]


def page(evals: dict[str, dict[str, Any]]) -> Page:
    """Return what the results say."""
    before, after = (summarise_eval(record) for record in evals.values())
    change = compare_evals(before=evals["before"], after=evals["after"])
    tasks = {when: pass_at_1_by_task(record) for when, record in evals.items()}
    tables = {when: reliability_table(*EvalArrays.of(record, "stated").pairs()) for when, record in evals.items()}
    found = points(after, change)
    names = ("higher pass@1", "lower ECE", "lower Brier score", "skill above the best constant")
    values = {
        "rows": lines((label, before[k], after[k], change[k]) for k, label in NAMES.items() if k in change),
        "levels": lines((task, tasks["before"][task], tasks["after"][task]) for task in tasks["before"]),
        "problems": before["problems"],
    }
    return Page(found, name_points(names, found), {"reliability.svg": plot_reliability(tables)}, values)


FINDING = Finding("calibration_smollm2", load, page, rerun)

if __name__ == "__main__":
    FINDING.main(__doc__)
