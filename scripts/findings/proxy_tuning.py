"""Finding: what RLVR did to a small model, added to a larger one's logits, does much of what RLVR would (2401.08565).

    python scripts/findings/proxy_tuning.py            redraw from the committed results
    python scripts/findings/proxy_tuning.py --rerun    run what is missing: pilots and gates, then eight seeds

The criterion is in pages/proxy_tuning.md; it was committed before the first pilot. Models: parts/proxy_models.py.
"""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from finding import REPO, Endpoint, Finding, Gate, Page, detectable, judge, read_rows, run_tasks, signed, table
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parts import proxy_models as models

from rlvr.measure.metrics.seeds import t_interval
from rlvr.measure.plots.style import GREY, look, new_figure, styled
from rlvr.models.sampling import Steered

STORE = REPO / "docs" / "findings" / "proxy_tuning"
PILOTS, SWEEPS, RUNS = (STORE / f"{name}.jsonl" for name in ("pilots", "sweeps", "runs"))
PILOT_WORLDS = (900, 901)
WORLDS = {201: (1, 2), 202: (3, 4), 203: (5, 6), 204: (7, 8)}  # a pair of bases -> the seeds of its RLVR
RATES = (1e-4, 3e-4, 1e-3)
ALPHAS = (0.5, 1.0, 1.5, 2.0)
VALIDATION, TEST = 400, 1000
NAMES = {
    "small": "small, untuned (the anti-expert)",
    "expert": "small, after RLVR (the expert)",
    "base": "large, untuned (the base)",
    "tuned": "large, after RLVR itself",
}

Row = Mapping[str, Any]


def pilot(world: int, size: str, rate: float) -> dict[str, Any]:
    """Tune one size in a pilot world and measure it, before and after, on validation problems."""
    run, questions = models.tune(world, size, rate, world), models.asked(world, "validation", VALIDATION)
    values = {}
    for name, folder in {"before": models.base(world, size), "after": run.model}.items():
        model, tokenizer = models.load(str(folder))
        values |= models.measure((model,), {name: (1.0,)}, tokenizer, questions)
    return values | {"mixed": float(run.metrics["groups/mixed"][:10].mean())}


def four(world: int, seed: int, rates: Mapping[str, float]) -> dict[str, Path]:
    """Return the folders of the four models of one seed."""
    small, base = models.base(world, "small"), models.base(world, "large")
    expert, tuned = (models.tune(world, size, rates[size], seed).model for size in models.SIZES)
    return {"small": small, "expert": expert, "base": base, "tuned": tuned}


def steer(world: int, seed: int, rates: Mapping[str, float], split: str, size: int) -> dict[str, Any]:
    """Measure the four models of a seed and the steered ones at every alpha."""
    folders, questions = four(world, seed, rates), models.asked(world, split, size)
    loaded = {name: models.load(str(folder)) for name, folder in folders.items()}
    (base, tokenizer), (expert, _), (small, _), (tuned, _) = (loaded[n] for n in ("base", "expert", "small", "tuned"))
    weights = {"base": (1.0, 0.0, 0.0), "expert": (0.0, 1.0, 0.0), "small": (0.0, 0.0, 1.0)}
    weights |= {alpha_name(alpha): (1.0, alpha, -alpha) for alpha in ALPHAS}
    values = models.measure((base, expert, small), weights, tokenizer, questions)
    return values | models.measure((tuned,), {"tuned": (1.0,)}, tokenizer, questions)


def sweep(world: int, small_rate: float, large_rate: float) -> dict[str, Any]:
    """Measure a pilot world on validation problems; and its score at alpha 1 by sampling, as a check."""
    rates = {"small": small_rate, "large": large_rate}
    values, folders = steer(world, world, rates, "validation", VALIDATION), four(world, world, rates)
    base, expert, anti = (models.load(str(folders[name]))[0] for name in ("base", "expert", "small"))
    policy, tokenizer = Steered(base, expert, anti, 1.0), models.load(str(folders["base"]))[1]
    return values | {"sampled": models.sampled_score(world, policy, tokenizer, "validation", VALIDATION)}


def after(world: int, seed: int, small_rate: float, large_rate: float) -> dict[str, Any]:
    """Measure one seed on test problems."""
    return steer(world, seed, {"small": small_rate, "large": large_rate}, "test", TEST)


def alpha_name(alpha: float) -> str:
    """Return what the steered model is called at one alpha."""
    return f"alpha {alpha:g}"


def rate_arguments(rates: Mapping[str, float]) -> dict[str, float]:
    """Return the rates as the arguments of `sweep` and `after`; "small" and "large" name what they return."""
    return {f"{size}_rate": rate for size, rate in rates.items()}


def chosen_rates(pilots: Sequence[Row]) -> dict[str, float]:
    """Return each size's learning rate: the highest score after tuning, mean over pilots; within 0.01, the lowest."""
    rates = {}
    for size in models.SIZES:
        final = {
            rate: np.mean([row["after"]["score"] for row in pilots if (row["size"], row["rate"]) == (size, rate)])
            for rate in RATES
        }
        rates[size] = min(rate for rate in RATES if final[rate] >= max(final.values()) - 0.01)
    return rates


def chosen_alpha(sweeps: Sequence[Row]) -> float:
    """Return the alpha with the highest score on the pilots' validation problems; within 0.01, the lowest."""
    scores = {alpha: np.mean([row[alpha_name(alpha)]["score"] for row in sweeps]) for alpha in ALPHAS}
    return min(alpha for alpha in ALPHAS if scores[alpha] >= max(scores.values()) - 0.01)


def gates() -> list[Gate]:
    """Run the pilots; return what must hold before a seed is run."""
    tasks = [
        {"world": world, "size": size, "rate": rate}
        for world in PILOT_WORLDS
        for size in models.SIZES
        for rate in RATES
    ]
    pilots = run_tasks(PILOTS, tasks, pilot)
    rates = chosen_rates(pilots)
    sweeps = run_tasks(SWEEPS, [{"world": world, **rate_arguments(rates)} for world in PILOT_WORLDS], sweep)
    mixed = [row["mixed"] for row in pilots if row["rate"] == rates[row["size"]]]

    def mean(name: str, measure: str, minus: str | None = None) -> float:
        return float(np.mean([row[name][measure] - (row[minus][measure] if minus else 0) for row in sweeps]))

    off = np.mean([row["sampled"] - row["alpha 1"]["score"] for row in sweeps])
    return [
        Gate("score of the base", mean("base", "score"), 0.05, 0.2),
        Gate("facts that the base recalls", mean("base", "facts"), low=0.9),
        Gate("facts that the small model recalls", mean("small", "facts"), high=0.05),
        Gate(f"mixed groups of {models.GROUP}, first ten updates, both sizes", float(np.mean(mixed)), low=0.3),
        Gate("gain of the small model in score", mean("expert", "score", "small"), low=0.15),
        Gate("gain of the large model in score", mean("tuned", "score", "base"), low=0.15),
        Gate("its gain in form", mean("tuned", "form", "base"), low=0.2),
        Gate("its gain in value", mean("tuned", "value", "base"), low=0.08),
        Gate("score at alpha 1, sampled minus computed", float(off), -0.03, 0.03),
    ]


def rerun(options: argparse.Namespace) -> None:
    """Train and measure the seeds that are missing."""
    rates = chosen_rates(read_rows(PILOTS))
    tasks = [
        {"world": world, "seed": seed, **rate_arguments(rates)} for world, seeds in WORLDS.items() for seed in seeds
    ]
    run_tasks(RUNS, tasks, after, options.jobs)
    shutil.rmtree(REPO / "runs" / "finding-proxy_tuning", ignore_errors=True)  # the rows have all that is used


# ---------------------------------------------------------------- what it says


class Seeds:
    """The stored seeds: one number each, of one model on one measure."""

    def __init__(self, rows: Sequence[Row], alpha: float):
        self.rows, self.alpha = rows, alpha

    def __call__(self, name: str, measure: str) -> NDArray[np.float64]:
        """Return one number per seed; "steered" is the model at the alpha that the pilots chose."""
        name = alpha_name(self.alpha) if name == "steered" else name
        return np.array([row[name][measure] for row in self.rows])

    def closed(self, measure: str, share: float) -> NDArray[np.float64]:
        """Return steered - base - share (tuned - base), seed by seed: above 0 where more than the share is closed."""
        base = self("base", measure)
        return self("steered", measure) - base - share * (self("tuned", measure) - base)


def endpoints(seeds: Seeds) -> tuple[Endpoint, list[Endpoint]]:
    """Return the primary endpoint and the others, each a number for every seed."""
    steered = {measure: seeds("steered", measure) for measure in models.MEASURES}
    return (
        Endpoint("1. score: steered - base - half of (tuned - base)", list(seeds.closed("score", 0.5))),
        [
            Endpoint("2. form: steered - base - three quarters of (tuned - base)", list(seeds.closed("form", 0.75))),
            Endpoint("3. value: steered - base", list(steered["value"] - seeds("base", "value"))),
            Endpoint("4. value: steered - base - half of (tuned - base)", list(seeds.closed("value", 0.5))),
            Endpoint("5. value: steered - expert", list(steered["value"] - seeds("expert", "value"))),
            Endpoint("6. facts: steered - tuned", list(steered["facts"] - seeds("tuned", "facts"))),
            Endpoint("7. facts: steered - base", list(steered["facts"] - seeds("base", "facts")), above=-0.05),
        ],
    )


@styled
def sweep_figure(seeds: Seeds) -> Figure:
    """Draw each measure against alpha: the steered model (line; a thin line for each seed), the tuned ones (levels)."""
    fig = new_figure(4.6)
    colour, marker = look(0)
    names = ["base", *map(alpha_name, ALPHAS)]
    for i, (ax, measure) in enumerate(zip(fig.subplots(2, 2, sharex=True).flat, models.MEASURES, strict=True)):
        values = np.array([seeds(name, measure) for name in names])
        ax.plot((0, *ALPHAS), values, color=colour, linewidth=0.6, alpha=0.5)
        ax.plot((0, *ALPHAS), values.mean(1), color=colour, marker=marker, markersize=4, label="steered")
        for name, style in (("tuned", "--"), ("expert", ":")):
            ax.axhline(seeds(name, measure).mean(), color=GREY, linestyle=style, label=NAMES[name])
        ax.set(title=measure)
        if i > 1:
            ax.set_xlabel("alpha")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


def load() -> tuple[list[Row], list[Row], list[Row]]:
    """Return pilots, sweeps and seeds; FileNotFoundError while a seed is missing."""
    rows = read_rows(RUNS)
    wanted = [(world, seed) for world, seeds in WORLDS.items() for seed in seeds]
    stored = {(row["world"], row["seed"]): row for row in rows}
    if missing := [key for key in wanted if key not in stored]:
        raise FileNotFoundError(f"{len(missing)} of {len(wanted)} seeds are missing in {RUNS}")
    return read_rows(PILOTS), read_rows(SWEEPS), [stored[key] for key in wanted]


def page(results: tuple[list[Row], list[Row], list[Row]]) -> Page:
    """Return what the results say."""
    pilots, sweeps, rows = results
    rates, alpha = chosen_rates(pilots), chosen_alpha(sweeps)
    seeds = Seeds(rows, alpha)
    primary, others = endpoints(seeds)
    points = judge(primary, others)
    sd = float(np.std(primary.values_S, ddof=1))
    names = [
        *list(NAMES.items())[:3],
        ("steered", f"**large, steered** (alpha = {alpha:g})"),
        ("tuned", NAMES["tuned"]),
    ]

    def means(name: str) -> list[str]:
        return [f"{seeds(name, measure).mean():.3f}" for measure in models.MEASURES]

    def tried(size: str, rate: float) -> str:
        return f"{np.mean([r['after']['score'] for r in pilots if (r['size'], r['rate']) == (size, rate)]):.3f}"

    at_one = [
        (measure, signed(t_interval(seeds("alpha 1", measure) - seeds("base", measure), 0.95)[0]),
         signed(t_interval(seeds("alpha 1", measure) - seeds("tuned", measure), 0.95)[0]))
        for measure in models.MEASURES
    ]  # fmt: skip
    alphas = [("0 (the base)", *means("base")), *((alpha, *means(alpha_name(alpha))) for alpha in ALPHAS)]
    grid = [(size, *(tried(size, rate) for rate in RATES), f"{rates[size]:g}") for size in models.SIZES]
    values = {
        "alpha": alpha, "sd": sd, "sees": detectable(sd, len(rows)),
        "grid": table(("size", *(f"{q:g}" for q in RATES), "taken"), grid),
        "models": table(("mean over seeds", *models.MEASURES), [(label, *means(name)) for name, label in names]),
        "sweep": table(("alpha", *models.MEASURES), alphas),
        "at_one": table(("at alpha = 1", "steered - base", "steered - tuned"), at_one),
        "minutes": sum(row["seconds"] for row in (*pilots, *sweeps, *rows)) / 60,
    }  # fmt: skip
    claims = {
        "half of the gap in score": points[0].held,
        "three quarters of the gap in form": points[1].held,
        "a better value than the base": points[2].held,
        "half of the gap in value": points[3].held,
        "a better value than the expert": points[4].held,
        "more facts than direct tuning": points[5].held,
        "the base's facts": points[6].held,
    }
    return Page(points, claims, {"sweep.svg": sweep_figure(seeds)}, values)


SETTINGS = {
    "rates": ", ".join(f"{q:g}" for q in RATES), "alphas": ", ".join(f"{a:g}" for a in ALPHAS),
    "validation": VALIDATION, "test": TEST, **models.settings(),
}  # fmt: skip
FINDING = Finding("proxy_tuning", load, page, rerun, gates, SETTINGS)

if __name__ == "__main__":
    FINDING.main(__doc__)
