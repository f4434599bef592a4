"""Answer, abstain, escalate or resample by expected utility, beside simpler policies, on a stored evaluation."""

from pathlib import Path

from rlvr.commands.parser import command_parser
from rlvr.core.console import LOG

EXAMPLES = """\
rlvr decide utility runs/demo/eval/after/arithmetic.json --wrong -5 --abstain 0
rlvr decide utility test.json --wrong -5 --validation validation.json --recalibrate platt
rlvr decide utility test.json --wrong -5 --escalate -0.2 --validation validation.json --resample -0.05
rlvr decide utility test.json --prices prices.json   # {"arithmetic/L2": {"wrong": -20}}, by problem id or task
"""


def run(argv: list[str]) -> int:
    parser = command_parser(__name__)
    parser.add_argument("eval", type=Path, help="evaluation file, or a run directory: its evaluation after training")
    parser.add_argument("--right", type=float, default=1.0, help="utility of a right answer (default: 1)")
    parser.add_argument("--wrong", type=float, default=-1.0, help="utility of a wrong answer (default: -1)")
    parser.add_argument("--abstain", type=float, default=0.0, help="utility of no answer (default: 0)")
    parser.add_argument("--escalate", type=float, help="utility of passing the question on (default: nobody there)")
    parser.add_argument("--resample", type=float, help="utility of one more draw, below 0; needs --validation")
    parser.add_argument("--prices", type=Path, help="JSON: problem id or task -> prices that differ there")
    parser.add_argument("--validation", type=Path, help="evaluation of other problems, the only one that is fitted on")
    parser.add_argument("--recalibrate", help="temperature, platt or isotonic; needs --validation")
    parser.add_argument("--confidence", default="stated", help="stated, sequence, sequence_mean or vote")
    parser.add_argument("--plot", type=Path, help="write the risk-coverage curve to this SVG file")
    args = parser.parse_args(argv)
    from rlvr.decide import Prices, decide_eval, eval_contents, read_prices, risk_by_coverage
    from rlvr.report.decision import decision_text

    prices = Prices(args.right, args.wrong, args.abstain, args.escalate, args.resample)
    by_problem = read_prices(args.prices) if args.prices else None
    evaluation = eval_contents(args.eval)
    decisions = decide_eval(
        evaluation, prices, by_problem=by_problem, validation=args.validation, recalibration=args.recalibrate,
        confidence=args.confidence,
    )  # fmt: skip
    print(decision_text(decisions, risk_by_coverage(evaluation, args.confidence), evaluation))
    if args.plot:
        from rlvr.measure.metrics import EvalArrays, risk_coverage
        from rlvr.measure.plots import figure_svg, plot_risk_coverage

        q, y, _ = EvalArrays.of(evaluation, args.confidence).pairs()
        args.plot.write_text(figure_svg(plot_risk_coverage({args.confidence: risk_coverage(q, y)})), encoding="utf-8")
        LOG.info(f"written to {args.plot}")
    return 0
