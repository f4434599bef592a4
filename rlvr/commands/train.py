"""Train a model on verifiable rewards: warm up, evaluate, train, evaluate, report."""

import argparse
import textwrap
from contextlib import nullcontext
from pathlib import Path

from rlvr.commands.parser import command_parser, config_help

EXAMPLES = """\
rlvr train --config demo
rlvr train --config rlcr smollm2 --learning_rate 2e-6 --seed 1
rlvr train --config my_recipe.yaml --dry_run
rlvr train --resume runs/rlcr-smollm2-s0-20260101-120000
rlvr train --config rlcr smollm2 --save_strategy steps --save_steps 5 --output_dir runs/long --resume auto
torchrun --nproc_per_node 2 -m rlvr train --config grpo smollm2
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__, add_help=False)
    parser.add_argument(
        "-h",
        "--help",
        nargs="?",
        const="rlvr",
        choices=("rlvr", "all"),
        help="show this and rlvr's settings; all: TRL's too",
    )
    parser.add_argument("--config", nargs="+", default=[], help="recipes, by name or path, merged left to right")
    parser.add_argument(
        "--resume",
        type=Path,
        help="go on with this run directory from where it stopped; 'auto': with the one in --output_dir, or start it",
    )
    parser.add_argument("--dry_run", action="store_true", help="print the resolved settings and the chain, and stop")
    parser.add_argument("--no_report", action="store_true", help="do not write the report at the end")
    args, rest = parser.parse_known_args(argv)
    if args.help:
        _show_help(parser, every_setting=args.help == "all")
        return 0
    from rlvr.config.settings import to_yaml
    from rlvr.core.console import say
    from rlvr.planning.resolve import resolve_config
    from rlvr.runs.directory import RunDir, locked
    from rlvr.runs.resume import asked_run, finished
    from rlvr.train import train_run

    config, resume = asked_run(args.resume, args.config, rest)
    resolved = resolve_config(config)
    if args.dry_run:
        print(to_yaml(config), end="")
        print(f"# the signal: {resolved.advantage!r}")
        print(f"# {len(resolved.problems)} training problems, e.g. {resolved.problems[0].prompt[-1]['content']!r}")
        return 0
    from accelerate import PartialState

    main = PartialState().is_main_process
    wanted = not args.no_report and main
    if resume and finished(RunDir(resume), resolved.eval_problems, resolved.config):
        run = RunDir(resume)
        with locked(run.path) if main else nullcontext():
            say(f"{resume} is finished, trained and measured: nothing is changed")
            wanted = wanted and not (resume / "report.html").is_file()
            if wanted:  # killed while it was written
                run.sweep()
    else:
        run = train_run(resolved, args.config, ["rlvr", "train", *argv], resume)
    if wanted:
        from rlvr.report import write_report
        from rlvr.report.terminal import accuracy_curve
        from rlvr.report.validation import validation_curve
        from rlvr.runs.directory import read_metrics

        page = write_report([run.path], run.path)
        print((page.parent / "report.md").read_text(encoding="utf-8").split("\n## ")[0])
        if run.metrics.is_file() and (curve := accuracy_curve(read_metrics(run.metrics))):
            print(curve)
        if curve := validation_curve(run.path):
            print(curve)
        say(f"report: {page}")
    return 0


def _show_help(parser: argparse.ArgumentParser, every_setting: bool) -> None:
    """Print the help; TRL's own settings, which take seconds of imports, only where `every_setting` asks for them."""
    if every_setting:
        from rlvr.config.settings import TrainConfig

        config_help(TrainConfig, parser)
        return
    from rlvr.config.run_settings import TRL_SETTINGS, RunSettings

    config_help(RunSettings, parser)
    names = textwrap.fill(
        ", ".join(f"--{name}" for name in TRL_SETTINGS), 116, initial_indent="  ", subsequent_indent="  "
    )
    print(f"\nand every setting of TRL's GRPOConfig, which rlvr train --help all lists; most used:\n{names}")
