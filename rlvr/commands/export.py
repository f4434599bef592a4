"""Export a run's model for other programs, or a stored evaluation as JSONL, CSV or a LaTeX table."""

from pathlib import Path

from rlvr.commands.parser import command_parser

EXAMPLES = """\
rlvr export runs/demo --merge                         (runs/demo/export: weights, tokenizer, template, card)
rlvr export runs/demo --merge --dtype float16 --out demo-model --gguf
rlvr export runs/demo --merge --push owner/name
rlvr export evals/warm.json --out samples.jsonl       (with texts; rlvr score reads it back)
rlvr export evals/warm.json --out samples.csv
rlvr export evals/warm.json --out table.tex --against evals/before.json
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument(
        "source",
        type=Path,
        help="run directory; or evaluation file, as rlvr evaluate, score, import or train writes it",
    )
    parser.add_argument("--out", type=Path, help="folder (default: RUN/export); or file: .jsonl, .csv or .tex")
    parser.add_argument("--against", type=Path, help="with .tex: an earlier evaluation, for the paired change")
    parser.add_argument("--merge", action="store_true", help="merge the run's LoRA adapter into its base")
    parser.add_argument("--dtype", help="precision of the weights: bfloat16 (default), float16, float32")
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload the folder to the hub, too (a new one is private)")
    parser.add_argument("--gguf", action="store_true", help="write a GGUF file, too (needs llama.cpp's converter)")
    args = parser.parse_args(argv)
    from rlvr.core.errors import SpecError
    from rlvr.report.results import Evaluation, Run

    of_a_run = {"--merge": args.merge, "--dtype": args.dtype, "--push": args.push, "--gguf": args.gguf}
    if args.source.is_dir():
        if args.against:
            raise SpecError("--against is for an evaluation (.json); a run's model is exported by itself.")
        made = Run(args.source).export(
            args.out, merge=args.merge, dtype=args.dtype or "bfloat16", push=args.push, gguf=args.gguf
        )
        print(made)
        return 0
    if given := [flag for flag, value in of_a_run.items() if value]:
        raise SpecError(f"{given[0]} is for a run directory, and {args.source} is none.")
    if args.out is None:
        raise SpecError("An evaluation is written to a file: --out samples.jsonl, .csv or .tex.")
    if args.against and args.out.suffix != ".tex":
        raise SpecError("--against is for a LaTeX table: a file of samples holds those of one evaluation.")
    exported = Evaluation(args.source)
    print(
        exported.export(args.out)
        if args.against is None
        else Evaluation(args.against).compare(exported).export(args.out)
    )
    return 0
