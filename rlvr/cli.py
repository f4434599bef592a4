"""The `rlvr` command: parse, call, print; no logic of its own."""

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from rlvr.errors import RlvrError, did_you_mean
from rlvr.memory import keep_freed_memory

COMMANDS: dict[str, tuple[str, str]] = {
    "train": (
        "Train a model on verifiable rewards: warm up, evaluate, train, evaluate, report.",
        """\
        rlvr train --config demo
        rlvr train --config rlcr smollm2 --learning_rate 2e-6 --seed 1
        rlvr train --config my_recipe.yaml --dry_run
        rlvr train --resume runs/rlcr-smollm2-s0-20260101-120000
        accelerate launch --num_processes 2 -m rlvr train --config grpo smollm2""",
    ),
    "warmup": (
        "Teach a model the tags on worked solutions, and print the folder of the result.",
        """\
        rlvr warmup --config smollm2
        rlvr warmup --config smollm2 --sft_steps 80""",
    ),
    "evaluate": (
        "Sample n completions per problem, store them, and print pass@k and calibration with intervals.",
        """\
        rlvr evaluate smollm2-135m-instruct --set 'arithmetic(levels=[0, 1])' --n 64
        rlvr evaluate runs/demo/model --set arithmetic --n 16 --out after.json""",
    ),
    "report": (
        "Write one self-contained report.html and report.md over one or more runs.",
        """\
        rlvr report runs/demo
        rlvr report runs/* --out comparison/""",
    ),
    "check": (
        "Run every gold answer of a problem set through its verifier (each must score 1).",
        """\
        rlvr check arithmetic countdown
        rlvr check "jsonl(path='mine.jsonl', prompt='question')" --size 1000""",
    ),
    "explain": (
        "Print the learning signal after each step of an advantage chain; loads no model.",
        """\
        rlvr explain --advantage nsr
        rlvr explain --advantage 'grpo, drop_near_impossible(threshold=0.05)'""",
    ),
    "ls": ("List recipes, reward terms, problem sets, advantages and models.", "rlvr ls\nrlvr ls rewards"),
    "cp": (
        "Copy a built-in recipe, reward term or problem set into the working folder, to be changed.",
        """\
        rlvr cp rlcr my_recipe.yaml
        rlvr cp brier my_brier.py""",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; mistakes that a user can mend are printed without a traceback (exit status 2)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return 0
    command, rest = argv[0], argv[1:]
    if command == "--version":
        from importlib.metadata import version

        print(f"rlvr {version('rlvr')}")
        return 0
    if command not in COMMANDS:
        print(f"rlvr: {did_you_mean('command', command, COMMANDS)}", file=sys.stderr)
        return 2
    keep_freed_memory()
    run: Callable[[list[str]], int] = globals()[f"cmd_{command}"]
    try:
        return run(rest)
    except RlvrError as error:
        print(f"rlvr {command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"rlvr {command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"rlvr {command}: {error.strerror or error}{where}", file=sys.stderr)
        return 1


def overview() -> str:
    """Return the text of `rlvr --help`."""
    lines = [
        "usage: rlvr COMMAND [...]",
        "",
        "Reinforcement learning with verifiable rewards on small models.",
        "",
    ]
    lines += [f"  {name:<10} {summary}" for name, (summary, _) in COMMANDS.items()]
    return "\n".join([*lines, "", "rlvr COMMAND --help shows the options of a command, with examples."])


def _parser(command: str, **kwargs) -> argparse.ArgumentParser:
    summary, examples = COMMANDS[command]
    return argparse.ArgumentParser(
        prog=f"rlvr {command}",
        description=summary,
        epilog="examples:\n" + textwrap.indent(textwrap.dedent(examples), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **kwargs,
    )


def _config_help(kind: type, own: argparse.ArgumentParser) -> None:
    """Print the command's own help, then one line for each setting of its config."""
    import dataclasses

    print(own.format_help())
    print("settings (flags here, keys in a recipe):")
    for f in dataclasses.fields(kind):
        text = str(f.metadata.get("help", "")).strip().split("\n")[0]
        if f.init and text:
            default = f.default if f.default is not dataclasses.MISSING else f.default_factory()  # type: ignore[misc, operator]
            print(f"  --{f.name} (default: {default})\n      {textwrap.shorten(text, 160)}")


def cmd_train(argv: list[str]) -> int:
    parser = _parser("train", add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this, and every setting")
    parser.add_argument("--config", nargs="+", default=[], help="recipes, by name or path, merged left to right")
    parser.add_argument("--resume", type=Path, help="go on with this run directory from its newest checkpoint")
    parser.add_argument("--dry_run", action="store_true", help="print the resolved settings and the chain, and stop")
    parser.add_argument("--no_report", action="store_true", help="do not write the report at the end")
    own, rest = parser.parse_known_args(argv)
    from rlvr.config import TrainConfig, parse_config, to_yaml

    if own.help:
        _config_help(TrainConfig, parser)
        return 0
    recipes = [str(own.resume / "config.yaml")] if own.resume else own.config
    config = parse_config(TrainConfig, recipes, rest, "rlvr train")
    from rlvr.callbacks import say
    from rlvr.plan import plan
    from rlvr.train import train

    resolved = plan(config)
    if own.dry_run:
        print(to_yaml(config), end="")
        print(f"# the signal: {resolved.advantage!r}")
        print(f"# {len(resolved.problems)} training problems, e.g. {resolved.problems[0].prompt[-1]['content']!r}")
        return 0
    run = train(resolved, own.config, ["rlvr", "train", *argv], own.resume)
    from accelerate import PartialState

    if not own.no_report and PartialState().is_main_process:
        from rlvr.report import write_report

        page = write_report([run.path], run.path)
        print((page.parent / "report.md").read_text(encoding="utf-8").split("\n## ")[0])
        say(f"report: {page}")
    return 0


def cmd_warmup(argv: list[str]) -> int:
    parser = _parser("warmup", add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this, and every setting")
    parser.add_argument("--config", nargs="+", default=[], help="recipes, by name or path, merged left to right")
    own, rest = parser.parse_known_args(argv)
    from rlvr.config import TrainConfig, parse_config

    if own.help:
        _config_help(TrainConfig, parser)
        return 0
    config = parse_config(TrainConfig, own.config, rest, "rlvr warmup")
    from rlvr.warmup import warmup, warmup_settings

    if not config.sft_steps:
        raise RlvrError("sft_steps is 0, so there is nothing to do. Give --sft_steps 40, or a recipe that sets it.")
    print(warmup(warmup_settings(config)))
    return 0


def cmd_evaluate(argv: list[str]) -> int:
    parser = _parser("evaluate", add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this, and every setting")
    parser.add_argument("model", nargs="?", help="model spec: built-in name, local folder, or hub id")
    parser.add_argument("--out", type=Path, help="file to write (default: evals/<model>-<set>.json)")
    own, rest = parser.parse_known_args(argv)
    from rlvr.config import EvalConfig, parse_config

    if own.help or not own.model:
        _config_help(EvalConfig, parser)
        return 0 if own.help else 2
    config = parse_config(EvalConfig, (), rest, "rlvr evaluate")
    from rlvr.eval_file import save_eval
    from rlvr.evaluate import evaluate_config
    from rlvr.report import eval_table
    from rlvr.runs import slug

    record = evaluate_config(own.model, config)
    out = own.out or Path("evals") / f"{slug(Path(own.model).name)}-{slug(config.set)}.json"
    save_eval(record, out)
    print(eval_table(record))
    print(f"written to {out}", file=sys.stderr)
    return 0


def cmd_report(argv: list[str]) -> int:
    parser = _parser("report")
    parser.add_argument("runs", nargs="+", type=Path, help="run directories")
    parser.add_argument("--out", type=Path, help="folder of the report (default: the run's own, or ./report)")
    own = parser.parse_args(argv)
    from rlvr.report import write_report

    print(write_report(own.runs, own.out or (own.runs[0] if len(own.runs) == 1 else Path("report"))))
    return 0


def cmd_check(argv: list[str]) -> int:
    parser = _parser("check")
    parser.add_argument("sets", nargs="+", help="problem set specs")
    parser.add_argument("--size", type=int, default=200, help="problems per split (default: 200)")
    parser.add_argument("--splits", nargs="+", default=["train", "validation", "test"])
    own = parser.parse_args(argv)
    from rlvr.problems import check

    failed = 0
    for spec in own.sets:
        failures = check(spec, tuple(own.splits), own.size, 0)
        failed += len(failures)
        print(f"{spec}: {'ok' if not failures else f'{len(failures)} failures'}")
        for failure in failures[:10]:
            print(f"  {failure}")
    return 1 if failed else 0


def cmd_explain(argv: list[str]) -> int:
    parser = _parser("explain")
    parser.add_argument("--advantage", default="grpo", help="advantage specs, applied in order (default: grpo)")
    own = parser.parse_args(argv)
    from rlvr.advantages import EXAMPLES, build, explain

    print(explain(EXAMPLES, build(own.advantage)))
    return 0


def cmd_ls(argv: list[str]) -> int:
    parser = _parser("ls")
    parser.add_argument("kind", nargs="?", choices=sorted(_listing()), help="one kind only")
    own = parser.parse_args(argv)
    for kind, entries in _listing().items():
        if own.kind in (None, kind):
            print(f"{kind}:")
            for name, summary in entries().items():
                print(f"  {name:<24} {summary}")
    return 0


def _listing() -> dict[str, Callable[[], dict[str, str]]]:
    import ast

    from rlvr import content

    def first_sentence(path: Path) -> str:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return (ast.get_docstring(tree) or "").split("\n")[0]

    def files(kind: str) -> dict[str, str]:
        return {name: first_sentence(path) for name, path in content.names(kind).items()}

    def recipes() -> dict[str, str]:
        folder = Path(__file__).parent / "recipes"
        return {
            p.stem: p.read_text(encoding="utf-8").split("\n")[0].lstrip("# ") for p in sorted(folder.glob("*.yaml"))
        }

    def transforms() -> dict[str, str]:
        from rlvr.advantages import RECIPES, TRANSFORMS

        both = {**RECIPES, **TRANSFORMS}
        return {name: (thing.__doc__ or "").strip().split("\n")[0] for name, thing in both.items()}

    def models() -> dict[str, str]:
        return {
            "smollm2-135m-instruct": "SmolLM2-135M-Instruct, packaged (no hub needed)",
            "tiny": "a Llama of 1M parameters with one token per byte, built from a seed",
            "FOLDER or OWNER/NAME": "any decoder that transformers can load",
        }

    return {
        "recipes": recipes,
        "rewards": lambda: files("rewards"),
        "data": lambda: files("data"),
        "advantages": transforms,
        "models": models,
    }


def cmd_cp(argv: list[str]) -> int:
    parser = _parser("cp")
    parser.add_argument("name", help="a recipe, reward term or problem set (see rlvr ls)")
    parser.add_argument("target", type=Path, nargs="?", default=Path("."), help="file or folder (default: here)")
    own = parser.parse_args(argv)
    from rlvr import content

    recipes = {p.stem: p for p in (Path(__file__).parent / "recipes").glob("*.yaml")}
    known = {**content.names("data"), **content.names("rewards"), **recipes}
    if own.name not in known:
        raise RlvrError(did_you_mean("recipe, reward term or problem set", own.name, known))
    source = known[own.name]
    target = own.target / source.name if own.target.is_dir() else own.target
    if target.exists():
        raise RlvrError(f"{target} exists already. Choose another name.")
    shutil.copyfile(source, target)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
