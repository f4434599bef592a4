"""Add the rewards of a completion up: the one place where a weight meets a value."""

from typing import TypeVar

import numpy as np

Values = TypeVar("Values")  # a NumPy array or a torch tensor; no torch here, so that the processes of terms start fast


def weighted_sum(values_NF: Values, weights_F: Values) -> Values:
    """Return sum_f w_f v_f over the last axis, in the units and the precision of the values; NaN adds nothing.

    A row of NaN alone gives 0: whether it counts as scored is for the caller to say.

    >>> weighted_sum(np.array([[1.0, 0.5], [np.nan, 1.0], [np.nan, np.nan]]), np.array([2.0, 1.0]))
    array([2.5, 1. , 0. ])
    """
    weighted = values_NF * weights_F  # type: ignore[operator]
    return weighted.nansum(-1) if hasattr(weighted, "nansum") else np.nansum(weighted, -1)
