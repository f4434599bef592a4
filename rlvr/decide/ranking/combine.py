"""Combine several objectives into one score: a weighted product, taken at the end and by hand."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rlvr.core.errors import SpecError, did_you_mean

OBJECTIVES = ("chosen", "correct", "format", "cost")  # probabilities, and cost in tokens


def combine(predicted: Mapping[str, NDArray[np.float64]], weights: Mapping[str, float], cost_unit: float) -> NDArray:
    """Return ln of the product of p_k^w_k and exp(-w_cost cost / cost_unit): higher is better, unit nats.

    An objective that `weights` leaves out does not count. A weight says what to do, not what is true: changing one
    needs no new fit. Source: doi 10.1145/3298689.3346997.

    >>> combine({"chosen": np.array([0.5]), "cost": np.array([30.0])}, {"chosen": 2.0, "cost": 0.5}, cost_unit=60.0)
    array([-1.63629436])
    """
    parts = [
        -w * predicted["cost"] / cost_unit if name == "cost" else w * np.log(np.maximum(predicted[name], 1e-12))
        for name, w in weights.items()
    ]
    return np.sum(parts, axis=0)


def check_weights(weights: Mapping[str, float], objectives: tuple[str, ...]) -> dict[str, float]:
    """Return the weights as floats; SpecError for an unknown objective, a negative weight, or nothing to rank by.

    >>> check_weights({"chosen": 1}, ("chosen", "correct"))
    {'chosen': 1.0}
    """
    for name, weight in weights.items():
        if name not in objectives:
            raise SpecError(did_you_mean("objective", name, objectives, "Only what the log holds can be weighed."))
        if not (0 <= weight < float("inf")):
            raise SpecError(f"The weight of {name} must be a number from 0, found {weight}.")
    if not any(weights.values()):
        raise SpecError(f"All weights are 0: there is nothing to rank by. Objectives: {', '.join(objectives)}.")
    return {name: float(weight) for name, weight in weights.items()}
