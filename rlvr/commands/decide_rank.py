"""Fit a ranker on a log of shown candidates and choices, without believing where they were shown; re-rank others."""

from pathlib import Path

from rlvr.commands.parser import command_parser
from rlvr.core.errors import SpecError, did_you_mean

EXAMPLES = """\
rlvr decide rank --log clicks.parquet
rlvr decide rank --log clicks.parquet --candidates eval.json --out ranked.jsonl --weights chosen=1 correct=2 cost=0.1
rlvr decide rank --candidates runs/demo/eval/after/arithmetic.json --out to_show.jsonl    (no log yet: rows to show)
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("--log", type=Path, help="shown candidates, .parquet or .jsonl (columns: docs/rank.md)")
    parser.add_argument("--candidates", type=Path, help="what to rank: evaluation .json, rollouts, a run, or a table")
    parser.add_argument("--out", type=Path, help="file to write, .parquet or .jsonl")
    parser.add_argument("--method", default="tower", help="tower, naive, position_feature, ips, pal (default: tower)")
    parser.add_argument("--weights", nargs="+", metavar="OBJECTIVE=W", help="default: 1 each, and cost 0")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if not args.log and not args.candidates:
        raise SpecError("Give --log (fit), --candidates with --out (rows to show), or all three (fit and re-rank).")
    if bool(args.candidates) != bool(args.out):
        raise SpecError("--candidates and --out belong together: what to rank, and where to write it.")
    if args.out and args.out.suffix not in (".parquet", ".jsonl"):
        raise SpecError(f"--out must end in .parquet or .jsonl, found {str(args.out)!r}.")
    weights = _weights(args.weights)
    from rlvr.decide.ranking import rank
    from rlvr.decide.ranking.completions import read_candidates
    from rlvr.decide.ranking.log import write_rows
    from rlvr.report import ranking

    if args.method not in rank.METHODS:
        raise SpecError(did_you_mean("method", args.method, rank.METHODS))
    rows = read_candidates(args.candidates) if args.candidates else []
    if not args.log:
        write_rows(args.out, rows)
        print(f"{len(rows)} candidates written to {args.out}: show them, then add position and chosen to each row")
        return 0
    ranked = rank.rank(args.log, args.candidates, method=args.method, weights=weights, seed=args.seed)
    print(ranking.describe(ranked.log, ranked.ranker))
    if rows:
        write_rows(args.out, ranked.rows)
        print(f"\ncandidates: {len(rows)}; missing features: {rank.missing_features(ranked.log.features, ranked.X)}")
        print(f"{ranking.describe_ranking(ranked.ranker, rows, ranked.X, ranked.lists)}\nwritten to {args.out}")
    return 0


def _weights(pairs: list[str] | None) -> dict[str, float] | None:
    try:
        return None if pairs is None else {name: float(w) for name, w in (pair.split("=") for pair in pairs)}
    except ValueError:
        raise SpecError(f"--weights takes OBJECTIVE=NUMBER, for example chosen=1 cost=0.1; found {pairs}.") from None
