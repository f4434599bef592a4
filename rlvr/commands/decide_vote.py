"""Accuracy of one answer chosen out of n samples, against n: majority, confidence-weighted, most confident."""

from pathlib import Path

from rlvr.commands.parser import command_parser
from rlvr.core.console import LOG

EXAMPLES = """\
rlvr decide vote runs/demo/eval/after/arithmetic.json
rlvr decide vote test.json --ns 1 2 4 8 16 --plot votes.svg
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("eval", type=Path, help="evaluation file, or a run directory: its evaluation after training")
    parser.add_argument("--ns", type=int, nargs="+", help="samples to choose from (default: 1, 2, 4, ...)")
    parser.add_argument("--confidence", default="stated", help="stated, sequence, sequence_mean or vote")
    parser.add_argument("--plot", type=Path, help="write the curve to this SVG file")
    args = parser.parse_args(argv)
    from rlvr.decide import vote_eval
    from rlvr.report.show import interval
    from rlvr.report.tables import Table
    from rlvr.report.terminal import text_table

    curve = vote_eval(args.eval, args.ns, args.confidence)
    ns = list(curve["majority"])
    gains = {rule for rule in curve if " - " in rule}
    rows = [(rule, *(interval(accuracies[n], signed=rule in gains) for n in ns)) for rule, accuracies in curve.items()]
    print("\n".join(text_table(Table(("accuracy [95%]", *(f"n = {n}" for n in ns)), rows))))
    if args.plot:
        from rlvr.measure.plots import figure_svg, plot_vote_curve

        args.plot.write_text(figure_svg(plot_vote_curve({args.eval.stem: curve})), encoding="utf-8")
        LOG.info(f"written to {args.plot}")
    return 0
