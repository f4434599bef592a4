"""One metric per file: pure functions on NumPy arrays, and intervals by bootstrap over problems."""

from rlvr.metrics.auroc import auroc
from rlvr.metrics.bootstrap import Interval, bootstrap, bootstrap_counts, bootstrap_mean, paired_difference
from rlvr.metrics.brier import BrierParts, brier, brier_decomposition
from rlvr.metrics.compare import compare_evals
from rlvr.metrics.constant_baseline import constant_baseline_brier, constant_baseline_brier_in_sample
from rlvr.metrics.ece import ReliabilityTable, ece, reliability_table
from rlvr.metrics.nll import nll
from rlvr.metrics.pass_at_k import pass_at_k, pass_at_k_curve
from rlvr.metrics.records import CONFIDENCES, Records, align
from rlvr.metrics.risk_coverage import aurc, risk_at_coverage, risk_coverage
from rlvr.metrics.summary import pass_at_1_by_task, summarise_eval
from rlvr.metrics.vote import confidence_weighted_vote, majority, vote_accuracy, vote_share
from rlvr.metrics.vote_curve import vote_curve

__all__ = [
    "CONFIDENCES",
    "BrierParts",
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
