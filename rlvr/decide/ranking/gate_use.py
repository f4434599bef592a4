"""Measure how the gates are used: do objectives share experts, and does any expert go unused?"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class GateUse(NamedTuple):
    """Hold how much each objective uses each expert.

    `share_KE`: mean gate of each expert for each objective (rows sum to 1). `entropy_K`: mean over candidates of
    -sum_e g ln g / ln E, in [0, 1]: 1 is an even mixture, 0 a hard choice; 1 by convention for a single expert.
    """

    share_KE: NDArray[np.float64]
    entropy_K: NDArray[np.float64]


def gate_use(gates_NKE: NDArray[np.floating]) -> GateUse:
    """Return expert utilisation and normalised gate entropy per objective.

    Even shares with low entropy mean that experts specialise; one share near 1 for every objective means collapse.

    >>> gate_use(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))  # each candidate has its own expert
    GateUse(share_KE=array([[0.5, 0.5]]), entropy_K=array([0.]))
    """
    gates = np.asarray(gates_NKE, dtype=float)
    experts = gates.shape[-1]
    logs = np.log(gates, out=np.zeros_like(gates), where=gates > 0)
    entropy_K = -(gates * logs).sum(-1).mean(0) / math.log(experts) if experts > 1 else np.ones(gates.shape[1])
    return GateUse(gates.mean(0), entropy_K + 0.0)  # + 0.0: no "-0."
