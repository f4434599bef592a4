"""Train the stated confidence by supervision on the model's own samples (tokenised Brier loss)."""

from pathlib import Path

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr calibrate "$(rlvr warmup --config smollm2)" --config smollm2 --out calibrated/warm
rlvr calibrate runs/demo/model --config demo --max_steps 40 --lora_rank 8
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__, train_settings=True)
    parser.add_argument("model", nargs="?", help="model spec: a warmed-up or trained folder, built-in name, or hub id")
    parser.add_argument("--config", nargs="+", default=[], help="recipes, by name or path, merged left to right")
    parser.add_argument("--out", type=Path, help="folder of the result (default: calibrated/<model>)")
    args, rest = parser.parse_known_args(argv)
    if not args.model:
        parser.print_help()
        return 2
    from rlvr.config.settings import TrainConfig, parse_config

    config = parse_config(TrainConfig, args.config, rest, "rlvr calibrate")
    from rlvr.runs.directory import slug
    from rlvr.training.supervised.calibrate import calibrate

    out = args.out or Path("calibrated") / slug(args.model)
    done = calibrate(args.model, config, out)
    print(f"{done.n} held-out samples, {done.accuracy:.1%} right; stating that always would score {done.constant:.4f}")
    print(f"tokenised Brier loss {done.before:.4f} -> {done.after:.4f}")
    print(f"model: {out}")
    return 0
