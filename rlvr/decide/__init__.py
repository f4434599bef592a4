"""Decide after training: utility is applied here, to an honest signal; one idea per file."""

from rlvr.decide.on_eval import Decisions, decide_eval, risk_by_coverage
from rlvr.decide.prices_file import read_prices
from rlvr.decide.source import EvalSource, eval_contents
from rlvr.decide.utility import ACTIONS, Prices, choose, choose_by_matrix
from rlvr.decide.vote import vote_eval
from rlvr.decide.weights import learning_incentive, unweigh, weigh

__all__ = [
    "ACTIONS",
    "Decisions",
    "EvalSource",
    "Prices",
    "choose",
    "choose_by_matrix",
    "decide_eval",
    "eval_contents",
    "learning_incentive",
    "read_prices",
    "risk_by_coverage",
    "unweigh",
    "vote_eval",
    "weigh",
]
