"""Train every arm of an ablation under every seed, each run once, and compare them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr.commands.parser import command_parser
from rlvr.core.console import LOG

if TYPE_CHECKING:
    from rlvr.report.results import Ablation

EXAMPLES = """\
rlvr ablate --config rewards_tiny --out ablations/rewards
rlvr ablate --config my_ablation.yaml --out ablations/mine --jobs 2 --measure mine.py:after
rlvr ablate --config my_ablation.yaml --dry_run
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("--config", required=True, help="a built-in ablation (rlvr ls ablations) or a YAML file")
    parser.add_argument("--out", type=Path, help="folder of the runs, logs and report (default: ablations/<name>)")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="runs at a time, fewer if memory is short; the cores are shared out (default: 1)",
    )
    parser.add_argument(
        "--measure",
        metavar="FILE.py:FUNCTION",
        help="measure each finished run by a function that takes its directory and returns names and values",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="check all arms, say how they differ and how long it takes, and stop"
    )
    given = parser.parse_args(argv)
    done = ablate(given.config, given.out, jobs=given.jobs, measure=given.measure, dry_run=given.dry_run)
    if done is None:
        return 0
    print((done.path / "report.md").read_text(encoding="utf-8"), end="")
    LOG.info(
        f"written to {done.path / 'report.md'}; with CSV and LaTeX: rlvr report {done.path}; pages of single runs: "
        f"rlvr report {done.path}/runs/*"
    )
    return 1 if done.failed else 0


def ablate(
    config: str | os.PathLike[str] | Mapping[str, Any],
    out: str | os.PathLike[str] | None = None,
    *,
    jobs: int = 1,
    measure: str | Callable[[Path], Mapping[str, Any]] | None = None,
    dry_run: bool = False,
) -> "Ablation | None":
    """Train every arm of an ablation under every seed, each run once, compare them, and return the comparison.

        arms = {"grpo": {"recipes": ["grpo"]}, "nsr": {"recipes": ["nsr"], "set": {"learning_rate": 3e-5}}}
        found = rlvr.ablate({"base": ["tiny"], "arms": arms, "seeds": [0, 1]}, "ablations/signs", measure=after)
        found.differences        # arm minus baseline: pass@1, Brier, ECE, and each number that `after` returned
        found.table              # each arm's means over seeds, and what it cost
        found.measured("nsr", 0) # all that `after` returned for one run

    Args:
        config: a built-in ablation, a YAML file, or what such a file holds (docs/ablate.md).
        out: folder of the runs, logs and report; None: ablations/<name of the file>.
        jobs: runs at a time, fewer if memory is short.
        measure: a function of a file, or "path.py:function", called on each finished run's directory in a process of
            its own; it returns names and values. None takes the one under `measure` in `config`, if any.
        dry_run: check all arms, print how they differ and how long it takes, train nothing and return None.

    What has finished is skipped, so the same call goes on after an interruption. A run that fails stops no other: it is
    listed in `missing` and, with the end of its log, in report.md. Raises SpecError for a mistake in `config`.
    """
    import yaml

    from rlvr.config.recipe_files import RECIPES, recipe_path
    from rlvr.core.errors import SpecError
    from rlvr.core.files import replacing
    from rlvr.planning.ablation.arms import DESCRIPTION, check_ablation, read_ablation, without_tokens
    from rlvr.planning.ablation.check import check_comparable, resolve_arms
    from rlvr.planning.ablation.estimate import dry_run as estimate
    from rlvr.planning.ablation.folder import finished, prepare, run_folder
    from rlvr.planning.ablation.hold import held
    from rlvr.planning.ablation.measure import find_measure
    from rlvr.planning.ablation.parallel_jobs import jobs_that_fit
    from rlvr.planning.ablation.pool import run_all
    from rlvr.report.ablation.summary import summarise_ablation
    from rlvr.report.ablation.write import write_comparison
    from rlvr.report.results import Ablation

    if jobs < 1:
        raise SpecError(f"--jobs must be at least 1, got {jobs}.")
    if isinstance(config, Mapping):
        if out is None:
            raise SpecError(
                "An ablation that is given as a mapping has no name: say where it goes, out='ablations/...'."
            )
        arms, folder = check_ablation(config), Path(out)
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True).encode()
    else:
        path = recipe_path(os.fspath(config), "ablation", RECIPES / "ablations")
        arms, folder, text = read_ablation(path), Path(out or Path("ablations") / path.stem), path.read_bytes()
    asked = measure or arms.measure
    measuring = None if asked is None else find_measure(asked)
    check_comparable(arms)
    if dry_run:
        print(estimate(arms, folder, resolve_arms(arms.runs)))
        return None
    with held(folder):
        prepare(arms, folder)
        with replacing(folder / DESCRIPTION) as temporary:
            temporary.write_bytes(without_tokens(text))
        resolved = resolve_arms(one for one in arms.runs if not finished(run_folder(one, folder)))
        outcomes = run_all(arms.runs, folder, jobs_that_fit(arms.runs, jobs, resolved), measuring)
        failures = [(o.run.name, o.log_tail) for o in outcomes if o.status == "failed"]
        write_comparison(summarise_ablation(arms, folder), folder, failures)
    done = Ablation(folder)
    done.failed = [name for name, _ in failures]
    return done
