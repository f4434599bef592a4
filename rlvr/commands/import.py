"""Make an evaluation of another tool's sample log: lm-eval, lighteval, inspect, or TRL's completions."""

from pathlib import Path

from rlvr.commands.parser import command_parser, config_help
from rlvr.core.console import LOG

EXAMPLES = """\
rlvr import results/samples_gsm8k_2026-11-24.jsonl --filter strict-match
rlvr import logs/2026-11-24_aime.eval --out evals/aime.json
rlvr import runs/a/completions/completions_00100.parquet --metric correct
rlvr import results/samples_math_2026-11-24.jsonl --verifier math --answer_format boxed    (judged anew)
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__, add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this, and every setting")
    parser.add_argument("log", nargs="?", type=Path, help="samples_*.jsonl, details_*.parquet, *.eval, completions_*")
    parser.add_argument("--kind", help="lm_eval, lighteval, inspect or trl (default: told from the file)")
    parser.add_argument("--metric", help="the score of the log whose 1 means right (default: the only one)")
    parser.add_argument("--filter", help="the answer filter, where an lm-eval log has several")
    parser.add_argument("--out", type=Path, help="file to write (default: evals/<log>.json)")
    own, rest = parser.parse_known_args(argv)
    from rlvr.config.reading import parse_config
    from rlvr.config.score_settings import ScoreConfig

    if own.help or not own.log:
        config_help(ScoreConfig, parser)
        return 0 if own.help else 2
    config = parse_config(ScoreConfig, (), rest, "rlvr import")
    from rlvr.measure.stored.score import score_log
    from rlvr.report import eval_table
    from rlvr.runs.eval_file import save_eval
    from rlvr.runs.texts_file import without_texts

    out = own.out or Path("evals") / f"{own.log.stem}.json"
    found = score_log(own.log, config, own.kind, own.metric, own.filter)
    save_eval(found if config.texts == "parquet" else without_texts(found), out)
    print(eval_table(found))
    LOG.info(f"written to {out}")
    return 0
