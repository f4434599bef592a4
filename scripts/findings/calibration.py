"""Finding: a binary reward leaves stated confidence badly calibrated, a Brier term repairs it (RLCR, 2507.16806).

    python scripts/findings/calibration.py            redraw from the stored samples
    python scripts/findings/calibration.py --rerun    train and measure whatever is not in runs/finding-calibration yet

The problems: parts/chains.py. The arms: parts/calibration.yaml, an ablation that `rlvr ablate` runs. The criterion, in
pages/calibration.md, was committed before the main run; settings were chosen on the warmed-up model and the arm `rlvr`,
seed 900.
"""

import json
from dataclasses import replace
from functools import cached_property

import numpy as np
from finding import Finding, Page, Point, outcome, signed, table
from matplotlib.figure import Figure
from parts import calibration_runs
from parts.calibration_runs import ARMS, FITTED, SEEDS, SETS, SETTINGS, STORE, unpack

from rlvr.decide.recalibrate import RECALIBRATIONS
from rlvr.measure.metrics import EvalArrays, Interval, reliability_table
from rlvr.measure.metrics.seeds import seed_calibration, seed_difference
from rlvr.measure.plots.style import GREY, draw_interval, look, new_figure, styled

WHERE = {"in": "in distribution", "out": "out of distribution"}


class Results:
    """The stored samples as EvalArrays, one per seed."""

    def __init__(self) -> None:
        with np.load(STORE / "samples.npz", allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        self.costs: dict[str, dict[str, float]] = json.loads((STORE / "costs.json").read_text(encoding="utf-8"))
        self._records: dict[tuple[str, str, str], list[EvalArrays]] = {}
        self._calibration: dict[tuple[str, str], dict[str, Interval]] = {}

    def records(self, arm: str, where: str = "in", confidence: str = "stated") -> list[EvalArrays]:
        """Return the records of an arm on a set, one per seed."""
        key = (arm, where, confidence)
        if key not in self._records:
            found = [unpack(self.arrays, f"{arm}/{seed}/{where}") for seed in SEEDS]
            self._records[key] = [EvalArrays.of(record, confidence) for record in found]
        return self._records[key]

    def calibration(self, arm: str, where: str = "in") -> dict[str, Interval]:
        """Return the calibration metrics of what an arm states, over seeds and problems: bootstrapped once."""
        if (arm, where) not in self._calibration:
            self._calibration[arm, where] = seed_calibration(self.records(arm, where))
        return self._calibration[arm, where]

    def recalibrated(self, arm: str, method: str, confidence: str = "stated", where: str = "in") -> list[EvalArrays]:
        """Return an arm's records, its confidence mapped by a recalibration fitted on its own validation samples."""
        mapped = []
        for test, validation in zip(
            self.records(arm, where, confidence), self.records(arm, "validation", confidence), strict=True
        ):
            fitted = RECALIBRATIONS[method]().fit(*validation.pairs()[:2])
            q_S = test.confidence_S
            honest_S = np.where(np.isnan(q_S), np.nan, fitted.predict(np.nan_to_num(q_S)))
            mapped.append(replace(test, confidence_S=honest_S))
        return mapped

    def accuracy(self, arm: str, where: str = "in") -> np.ndarray:
        """Return pass@1, (S, P)."""
        return np.stack([r.c_P / r.n_P for r in self.records(arm, where)])

    @cached_property
    def gaps(self) -> dict[str, dict[str, Interval]]:
        """Calibration metrics of rlcr minus rlvr, by set."""
        return {w: seed_calibration(self.records("rlcr", w), self.records("rlvr", w)) for w in SETS}


def lead(results: Results, ours: str, theirs: str) -> Interval:
    """Return pass@1 in distribution of one arm minus another, paired by seed and problem."""
    return seed_difference(results.accuracy(ours), results.accuracy(theirs))[0]


def points(results: Results) -> list[Point]:
    """Return each point of the criterion."""

    def gain(arm: str, where: str = "in") -> Interval:
        return seed_difference(results.accuracy(arm, where), results.accuracy("rlvr", where))[0]

    rlcr, rlvr = (results.calibration(arm) for arm in ("rlcr", "rlvr"))
    votes = [np.stack([getattr(r, f"{kind}_P") for r in results.records("rlcr")]) for kind in ("weighted", "majority")]
    vote = seed_difference(*votes)[0]
    fair = seed_calibration(results.records("rlcr"), results.recalibrated("rlvr", "temperature"))["brier"]
    hacked = {arm: gain(arm) for arm in ("brier_only", "log_1")}
    both = {name: [results.gaps[w][name] for w in SETS] for name in ("ece", "brier")}
    rows = [
        ("1. pass@1, rlcr - rlvr", f"{signed(gain('rlcr'))} (out: {signed(gain('rlcr', 'out'))})",
         gain("rlcr").low > -0.02),
        *((f"{i}. {label}, rlcr - rlvr", f"in {signed(both[name][0])}; out {signed(both[name][1])}",
           all(g.high < 0 for g in both[name])) for i, name, label in ((2, "ece", "ECE"), (3, "brier", "Brier"))),
        ("4. AUROC", f"rlcr {rlcr['auroc']}; rlvr {rlvr['auroc']}",
         rlcr["auroc"].value >= 0.6 and 0.45 <= rlvr["auroc"].value <= 0.55),
        ("5. weighted - majority vote, rlcr", signed(vote), vote.value >= 0),
        ("6. Brier skill of rlcr over the constant", str(rlcr["brier_skill"]), rlcr["brier_skill"].low > 0),
        ("7. Brier, rlcr - (rlvr + temperature)", signed(fair), fair.high < 0),
        ("8. pass@1 of hackable rewards - rlvr", "; ".join(f"{a} {signed(g)}" for a, g in hacked.items()),
         all(g.high < 0 for g in hacked.values())),
    ]  # fmt: skip
    return [Point(*row) for row in rows]


COLUMNS = {
    "ece": "ECE", "brier": "Brier", "brier_skill": "Brier skill", "brier_reliability": "reliability",
    "brier_resolution": "resolution", "auroc": "AUROC", "nll": "NLL", "overconfidence": "mean q - accuracy",
}  # fmt: skip


def arm_table(results: Results, where: str) -> str:
    """Return every arm on one set: pass@1, the calibration metrics, and what the confidence looks like."""
    rows = [_cells(arm, results.records(arm, where), results.calibration(arm, where)) for arm in ("untrained", *ARMS)]
    for arm in FITTED:
        for confidence in ("stated", "sequence_mean"):
            for method in ("temperature", "platt"):
                label = f"{arm}, {'stated' if confidence == 'stated' else 'sequence'} + {method}"
                mapped = results.recalibrated(arm, method, confidence, where)
                rows.append(_cells(label, mapped, seed_calibration(mapped)))
    return table(("arm", "pass@1", *COLUMNS.values(), "ECE, debiased", "std of q", "q = 1", "formatted"), rows)


def _cells(label: str, records: list[EvalArrays], found: dict[str, Interval]) -> tuple[object, ...]:
    q = np.concatenate([r.pairs()[0] for r in records])
    debiased = max(0.0, found["ece"].value - found["ece"].bias)
    return (
        label, f"{np.mean([(r.c_P / r.n_P).mean() for r in records]):.3f}",
        *(found[name] for name in COLUMNS), f"{debiased:.3f}", f"{q.std():.3f}", f"{(q == 1).mean():.3f}",
        f"{np.mean([r.format_ok_S.mean() for r in records]):.3f}",
    )  # fmt: skip


def by_task(results: Results) -> str:
    """Return accuracy and mean stated confidence by number of terms, for the arms the claim is about."""
    tasks = [(w, t) for w in SETS for t in dict.fromkeys(results.records("rlvr", w)[0].tasks)]
    rows = []
    for arm in ("untrained", "rlvr", "rlcr", "split"):
        cells = []
        for where, task in tasks:
            pairs = [(q[m], y[m]) for r in results.records(arm, where) for q, y, p in [r.pairs()]
                     for m in [np.array(r.tasks)[p] == task]]  # fmt: skip
            q, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
            cells.append(f"{y.mean():.2f} / {q.mean():.2f}")
        rows.append((arm, *cells))
    return table(("arm", *(f"{t.split('/')[1]} terms" for _, t in tasks)), rows)


@styled
def figure(results: Results) -> Figure:
    """Draw reliability pooled over seeds, in and out of distribution, above pass@1, ECE and Brier of each seed."""
    fig = new_figure(5.6)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1.15, 1])
    shown = ("untrained", *ARMS)
    for ax, where in zip(top.subplots(1, 2, sharey=True), SETS, strict=True):
        ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        for arm in ("rlvr", "rlcr", "split"):
            pairs = [r.pairs()[:2] for r in results.records(arm, where)]
            found = reliability_table(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
            used = found.n > 0
            colour, marker = look(shown.index(arm))
            ax.plot(found.confidence[used], found.accuracy[used], color=colour, marker=marker, markersize=4, label=arm)
        ax.set(title=WHERE[where], xlabel="stated confidence", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    top.axes[0].set_ylabel("accuracy")
    top.axes[0].legend(loc="upper left")
    for ax, name in zip(bottom.subplots(1, 3), ("pass@1", "ece", "brier"), strict=True):
        for i, arm in enumerate(shown):
            values, interval = _points(results, arm, name)
            ax.plot([i] * len(values), values, ".", color=look(i)[0], markersize=5, alpha=0.6)
            draw_interval(ax, i + 0.25, interval, look(i)[0])
        ax.set_xticks(range(len(shown)), shown, rotation=60, ha="right")
        ax.set(title={"pass@1": "pass@1", "ece": "ECE", "brier": "Brier"}[name])
    return fig


def _points(results: Results, arm: str, name: str) -> tuple[list[float], Interval]:
    records = results.records(arm)
    if name == "pass@1":
        values = results.accuracy(arm)
        return list(values.mean(1)), seed_difference(values, np.zeros_like(values))[0]
    return [seed_calibration([r], n_resamples=1)[name].value for r in records], results.calibration(arm)[name]


def page(results: Results) -> Page:
    """Return what the results say."""
    found = points(results)
    held = [bool(point.held) for point in found[:6]]
    gaps = {w: seed_calibration(results.records("split", w), results.records("rlcr", w)) for w in SETS}
    leads = {
        "gain": ("rlvr", "untrained"), "brier_lost": ("brier_only", "rlvr"), "format_lost": ("format_only", "rlvr"),
        "brier_above": ("brier_only", "format_only"),
    }  # fmt: skip
    values = {
        **{name: signed(lead(results, *arms)) for name, arms in leads.items()},
        "completions": SETTINGS["budget"]["updates"] * SETTINGS["set"]["per_device_train_batch_size"],
        "inside": arm_table(results, "in"), "outside": arm_table(results, "out"), "tasks": by_task(results),
        "split": "; ".join(f"{WHERE[w]} Brier {signed(g['brier'])}, ECE {signed(g['ece'])}" for w, g in gaps.items()),
        "minutes": sum(c["seconds"] for c in results.costs.values()) / 60, "runs": len(results.costs),
        "tokens": sum(c["num_tokens"] for c in results.costs.values()) / 1e6,
    }  # fmt: skip
    claims = {"calibration": "not testable here"}
    return Page(found, claims, {"calibration.svg": figure(results)}, values, outcome(held), sum(held))


FINDING = Finding("calibration", Results, page, calibration_runs.rerun)

if __name__ == "__main__":
    FINDING.main(__doc__)
