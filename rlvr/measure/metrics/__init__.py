"""One metric per file: pure functions on NumPy arrays, and intervals by bootstrap over problems."""

from rlvr.measure.metrics.arrays import CONFIDENCES, EvalArrays, Records, align
from rlvr.measure.metrics.auroc import auroc
from rlvr.measure.metrics.bootstrap import Interval, bootstrap, bootstrap_counts, bootstrap_mean, paired_difference
from rlvr.measure.metrics.brier import BrierParts, brier, brier_decomposition
from rlvr.measure.metrics.compare import compare_evals
from rlvr.measure.metrics.constant_baseline import constant_baseline_brier, constant_baseline_brier_in_sample
from rlvr.measure.metrics.ece import ReliabilityTable, ece, reliability_table
from rlvr.measure.metrics.nll import nll
from rlvr.measure.metrics.pass_at_k import pass_at_k, pass_at_k_curve
from rlvr.measure.metrics.risk_coverage import aurc, risk_at_coverage, risk_coverage
from rlvr.measure.metrics.summary import pass_at_1_by_task, summarise_eval
from rlvr.measure.metrics.vote import confidence_weighted_vote, majority, vote_accuracy, vote_share
from rlvr.measure.metrics.vote_curve import vote_curve

__all__ = [
    "CONFIDENCES",
    "BrierParts",
    "EvalArrays",
    "Interval",
    "Records",
    "ReliabilityTable",
    "align",
    "aurc",
    "auroc",
    "bootstrap",
    "bootstrap_counts",
    "bootstrap_mean",
    "brier",
    "brier_decomposition",
    "compare_evals",
    "confidence_weighted_vote",
    "constant_baseline_brier",
    "constant_baseline_brier_in_sample",
    "ece",
    "majority",
    "nll",
    "paired_difference",
    "pass_at_1_by_task",
    "pass_at_k",
    "pass_at_k_curve",
    "reliability_table",
    "risk_at_coverage",
    "risk_coverage",
    "summarise_eval",
    "vote_accuracy",
    "vote_curve",
    "vote_share",
]
