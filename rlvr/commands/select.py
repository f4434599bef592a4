"""Choose the training data: by what the student profits from, or by difficulty."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr.commands.given_model import asked_as, model_spec
from rlvr.commands.parser import command_parser
from rlvr.core.console import LOG

if TYPE_CHECKING:
    from rlvr.report.results import Run

EXAMPLES = """\
rlvr select student --data warmup.jsonl --model smollm2-135m-instruct --out kept.jsonl
rlvr select student --data warmup.jsonl --model tiny --threshold shuffled --unimproved drop --out kept.jsonl
rlvr select prune --data rows.jsonl --score prototype --model tiny --keep hard --fraction 0.5 --out kept.jsonl
rlvr select prune --data rows.jsonl --score pass_rate --attempts runs/demo/difficulty.parquet --out kept.jsonl
rlvr warmup --config smollm2 --sft_data kept.jsonl
"""


def _threshold(text: str) -> float | str:
    return text if text == "shuffled" else float(text)


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{student,prune}")

    student = commands.add_parser(
        "student", help="keep the best of each row and its rewrites, under the student itself"
    )
    student.add_argument("--model", required=True, help="the student that will be trained")
    student.add_argument("--unimproved", default="keep", help="rows no rewritten reply improves: keep (paper) or drop")
    student.add_argument("--threshold", type=_threshold, default=1.0, help="bound of both ratios, or 'shuffled'")
    student.add_argument("--direct", default="empty", help="what precedes a text scored alone: empty (chat) or bare")
    student.add_argument("--max_length", type=int, help="tokens that fit (default: the model's context)")
    student.add_argument("--answer_format", default="tags", help="form of answer of the warm-up (default: tags)")
    student.add_argument("--tags", nargs="+", default=["think", "answer", "confidence"], help="tags of the warm-up")
    student.add_argument("--system_prompt", help="system message of the warm-up (default: derived from the tags)")
    student.add_argument("--chat_template_kwargs", help="what the chat template is to know in training, YAML or JSON")

    prune = commands.add_parser("prune", help="keep a fraction of the rows by a difficulty score")
    prune.add_argument("--score", required=True, help="el2n, forgetting, memorisation, pass_rate or prototype")
    prune.add_argument("--model", help="whose embeddings are read (not for pass_rate)")
    prune.add_argument("--label", help="column of classes: what the supervised scores learn; classes stay balanced")
    prune.add_argument("--attempts", type=Path, help="difficulty.parquet or an evaluation, for pass_rate")
    prune.add_argument("--keep", default="auto", help="hard, easy, window, random or auto (default)")
    prune.add_argument("--fraction", type=float, default=0.5, help="share of the rows kept (default: 0.5)")
    prune.add_argument("--tail", type=float, default=0.1, help="hardest share that 'window' leaves out (default: 0.1)")
    prune.add_argument("--random_share", type=float, default=0.1, help="of the kept, drawn at random (default: 0.1)")
    prune.add_argument("--parameters", type=float, help="free parameters, for auto (default: a linear readout's)")
    prune.add_argument("--clusters", type=int, default=10, help="centres of the prototype score (default: 10)")
    prune.add_argument("--seed", type=int, default=0)
    for sub in (student, prune):
        sub.add_argument("--chat_template", help="chatml or a file, in place of the model's own chat template")
        sub.add_argument("--data", type=Path, required=True, help="JSONL of rows with a prompt and a completion")
        sub.add_argument("--out", type=Path, required=True, help="kept rows; <out>.scores.jsonl says why, row by row")
    args = parser.parse_args(argv)
    return _student(args) if args.command == "student" else _prune(args)


def select_student(
    data: str | os.PathLike[str],
    model: "str | os.PathLike[str] | Run",
    out: str | os.PathLike[str],
    **settings: Any,
) -> Counter[str]:
    """Keep of each row and its rewrites what this student profits from, write the kept rows, and count the reasons.

    Args:
        data: JSONL of rows with a prompt, a completion and perhaps rewrites (docs/select.md).
        model: the student that will be trained: a spec, a folder, or a Run, whose trained model scores the rows after
            the system message and with the tags of the run.
        out: file of the kept rows; <out>.scores.jsonl says why, row by row.
        settings: what `rlvr select student` takes beside these (`threshold="shuffled"`, `unimproved="drop"`).

    Raises DataError for bad rows before a model is loaded, and where no row was kept.
    """
    from rlvr.select.command import select_student as select

    return select(Path(data), model_spec(model), Path(out), **{**asked_as(model), **settings})


def _student(args) -> int:
    settings = {k: v for k, v in vars(args).items() if k not in ("command", "data", "model", "out")}
    _print(select_student(args.data, args.model, args.out, **settings), args.out)
    return 0


def _prune(args) -> int:
    from rlvr.core.errors import SpecError, did_you_mean
    from rlvr.select.command import prune
    from rlvr.select.prune import Prune
    from rlvr.select.scores import SCORES

    if args.score not in SCORES:
        raise SpecError(did_you_mean("score", args.score, SCORES))
    rule = Prune(args.keep, args.fraction, args.tail, args.random_share, args.parameters, seed=args.seed)
    rule, counts = prune(
        args.data, args.out, args.score, rule, model_spec=args.model, label=args.label, attempts=args.attempts,
        clusters=args.clusters, seed=args.seed, chat_template=args.chat_template,
    )  # fmt: skip
    print(f"keep {rule.keep_}{' (auto)' if args.keep == 'auto' else ''}")
    _print(counts, args.out)
    return 0


def _print(counts: Counter[str], out: Path) -> None:
    for reason, n in counts.most_common():
        print(f"{n:6}  {reason}")
    LOG.info(f"written to {out}")
