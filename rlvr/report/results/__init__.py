"""The objects that a user gets: a run, an evaluation, a comparison, an ablation. They read files and compute nothing.

Every number comes from rlvr/metrics, rlvr/ablation/summary and rlvr/report; these classes open what the command wrote.
"""

from rlvr.report.results.ablation import Ablation
from rlvr.report.results.comparison import Comparison
from rlvr.report.results.evaluation import Evaluation
from rlvr.report.results.intervals import Intervals
from rlvr.report.results.page import Page
from rlvr.report.results.run import Run

__all__ = ["Ablation", "Comparison", "Evaluation", "Intervals", "Page", "Run"]
