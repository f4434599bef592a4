"""Baseline: believe a choice as it stands."""

from rlvr.decide.ranking.base import Ranker


class NaiveRanker(Ranker):
    """Fit P(chosen | x): what was shown first looks good because it was shown first."""
