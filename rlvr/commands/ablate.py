"""Train every arm of an ablation under every seed, each run once, and compare them."""

from pathlib import Path

from rlvr.commands.parser import command_parser
from rlvr.core.console import LOG

EXAMPLES = """\
rlvr ablate --config rewards_tiny --out ablations/rewards
rlvr ablate --config my_ablation.yaml --out ablations/mine --jobs 2
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
        "--dry_run", action="store_true", help="check all arms, say how they differ and how long it takes, and stop"
    )
    own = parser.parse_args(argv)
    from rlvr.config.recipe_files import RECIPES, recipe_path
    from rlvr.core.errors import SpecError
    from rlvr.core.files import replacing
    from rlvr.planning.ablation.arms import DESCRIPTION, read_ablation
    from rlvr.planning.ablation.check import check_comparable, resolve_arms
    from rlvr.planning.ablation.estimate import dry_run
    from rlvr.planning.ablation.folder import finished, prepare, run_folder
    from rlvr.planning.ablation.hold import held
    from rlvr.planning.ablation.parallel_jobs import jobs_that_fit
    from rlvr.planning.ablation.pool import run_all
    from rlvr.report.ablation.summary import summarise_ablation
    from rlvr.report.ablation.write import write_comparison

    if own.jobs < 1:
        raise SpecError(f"--jobs must be at least 1, got {own.jobs}.")
    path = recipe_path(own.config, "ablation", RECIPES / "ablations")
    ablation = read_ablation(path)
    folder = own.out or Path("ablations") / path.stem
    check_comparable(ablation)
    if own.dry_run:
        print(dry_run(ablation, folder, resolve_arms(ablation.runs)))
        return 0
    with held(folder):
        prepare(ablation, folder)
        with replacing(folder / DESCRIPTION) as temporary:
            temporary.write_bytes(path.read_bytes())
        resolved = resolve_arms(one for one in ablation.runs if not finished(run_folder(one, folder)))
        outcomes = run_all(ablation.runs, folder, jobs_that_fit(ablation.runs, own.jobs, resolved))
        failures = [(o.run.name, o.log_tail) for o in outcomes if o.status == "failed"]
        print(write_comparison(summarise_ablation(ablation, folder), folder, failures))
    LOG.info(
        f"written to {folder / 'report.md'}; with CSV and LaTeX: rlvr report {folder}; pages of single runs: "
        f"rlvr report {folder}/runs/*"
    )
    return 1 if failures else 0
