"""Sample n completions per problem, store them, and print pass@k and calibration with intervals."""

from pathlib import Path

from rlvr.commands.parser import command_parser, config_help
from rlvr.core.console import LOG

EXAMPLES = """\
rlvr evaluate smollm2-135m-instruct --set 'arithmetic(levels=[0, 1])' --n 64
rlvr evaluate runs/demo/model --set arithmetic --n 16 --out after.json
rlvr evaluate runs/demo/model --set arithmetic --n 16 --against before.json
rlvr evaluate runs/grpo-operators/model --set operators --tags answer --system_prompt '' --exact
rlvr evaluate Qwen/Qwen3-4B --engine vllm --set math500 --n 64 --vllm_kwargs '{"max_model_len": 8192}'
rlvr evaluate --endpoint http://localhost:8000/v1 --model Qwen/Qwen3-4B --set gsm8k --n 8    (goes on where it stopped)
rlvr evaluate LARGE --expert SMALL_TUNED --antiexpert SMALL --alpha 0 0.5 1 2 --set arithmetic
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__, add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this, and every setting")
    if not any(argument.split("=")[0] == "--model" for argument in argv):  # else it would take a flag's value
        parser.add_argument("model", nargs="?", help="model spec: built-in name, local folder, or hub id")
    parser.add_argument("--model", help="the same by a flag: with --endpoint the name that the server knows")
    parser.add_argument("--against", type=Path, help="an earlier evaluation file: print the paired change from it too")
    parser.add_argument(
        "--confidence",
        default="stated",
        choices=("stated", "expected", "sequence", "sequence_mean", "vote"),
        help="whose calibration the table shows",
    )
    parser.add_argument("--out", type=Path, help="file to write (default: evals/<model>-<set>.json)")
    own, rest = parser.parse_known_args(argv)
    from rlvr.config.eval_settings import EvalConfig
    from rlvr.config.reading import parse_config

    if own.help or not own.model:
        config_help(EvalConfig, parser)
        return 0 if own.help else 2
    config = parse_config(EvalConfig, (), rest, "rlvr evaluate")
    from accelerate import PartialState

    from rlvr.measure.evaluate import evaluate_config
    from rlvr.report import eval_table, sweep_table
    from rlvr.runs.directory import slug
    from rlvr.runs.eval_file import load_eval, save_eval

    against = None if own.against is None else load_eval(own.against)
    out = own.out or Path("evals") / f"{slug(Path(own.model).name)}-{slug(config.set)}.json"
    if config.endpoint and not config.samples_file:
        config.samples_file = str(out.with_suffix(".samples.jsonl"))
    records = []
    for record in evaluate_config(own.model, config):
        file = out.with_stem(f"{out.stem}-alpha{record['proxy']['alpha']:g}") if "proxy" in record else out
        if not PartialState().is_main_process:  # under a launch: one process tells
            continue
        save_eval(record, file)
        records.append(record)
        print(eval_table(record, against, own.confidence))
        LOG.info(f"written to {file}")
    if len(records) > 1:
        print(sweep_table(records, own.confidence))
    return 0
