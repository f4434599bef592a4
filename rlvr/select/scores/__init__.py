"""Difficulty scores, one file each: `fit(X, y).scores_`, one number per row, higher is harder."""

from rlvr.select.scores.el2n import El2n
from rlvr.select.scores.forgetting import Forgetting
from rlvr.select.scores.memorisation import Memorisation
from rlvr.select.scores.pass_rate import PassRateScore
from rlvr.select.scores.prototype import Prototype

SCORES = {
    "el2n": El2n,
    "forgetting": Forgetting,
    "memorisation": Memorisation,
    "pass_rate": PassRateScore,
    "prototype": Prototype,
}

__all__ = ["SCORES", "El2n", "Forgetting", "Memorisation", "PassRateScore", "Prototype"]
