"""pass@k: the chance that at least one of k samples is right, estimated from n >= k samples."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlvr.core.errors import DataError


def pass_at_k(n: ArrayLike, c: ArrayLike, k: int) -> NDArray[np.float64]:
    """Return the unbiased estimate of pass@k for each problem.

        1 - C(n-c, k) / C(n, k)  =  1 - prod_{j<k} (1 - c / (n-j))

    This is the share of all subsets of k samples that hold a right one; a fraction in [0, 1]. The product
    is summed as log1p, so it neither overflows nor loses small values (n = 10,000 is fine).

    Args:
        n: samples per problem, whole numbers of any dtype, shape (P,) or one number.
        c: right samples per problem, shape (P,), 0 <= c <= n.
        k: subset size, 1 <= k <= every n.

    Raises:
        DataError: k > n (the estimate does not exist; taking fewer samples for granted would bias it),
            k < 1, counts that are not whole or out of range.

    Source: 2107.03374.

    >>> pass_at_k([4, 4, 4], [0, 1, 4], k=2)
    array([0. , 0.5, 1. ])
    """
    n_P, c_P = np.broadcast_arrays(*(np.atleast_1d(np.asarray(counts, dtype=float)) for counts in (n, c)))
    if n_P.size and not (np.equal(np.mod(n_P, 1), 0).all() and np.equal(np.mod(c_P, 1), 0).all()):
        raise DataError("pass@k counts must be whole numbers; found a fraction or NaN. Give n and c, not a rate.")
    n_P, c_P = n_P.astype(np.int64), c_P.astype(np.int64)  # unsigned counts would wrap round at -c
    if int(k) != k or k < 1:
        raise DataError(f"pass@k needs a whole k of at least 1; found {k}.")
    if n_P.size and k > n_P.min():
        raise DataError(f"pass@{k} needs at least {k} samples per problem; found {n_P.min()}. Sample more, or lower k.")
    if ((c_P < 0) | (c_P > n_P)).any():
        raise DataError("pass@k needs 0 <= c <= n; found a problem with more right samples than samples.")
    sure_P = n_P - c_P < k  # fewer than k wrong samples: every subset holds a right one
    safe_P = np.where(sure_P, 0, c_P)
    log_none_P = np.zeros(n_P.shape)
    for j in range(int(k)):
        log_none_P += np.log1p(-safe_P / (n_P - j))
    return np.where(sure_P, 1.0, -np.expm1(log_none_P) + 0.0)  # + 0.0 turns -0.0 into 0.0


def pass_at_k_curve(n: ArrayLike, c: ArrayLike, ks: Sequence[int]) -> NDArray[np.float64]:
    """Return pass@k averaged over problems, one value in [0, 1] for each of `ks`; NaN without problems.

    Errors as in `pass_at_k`. Source: 2107.03374.

    >>> pass_at_k_curve([4, 4], [1, 4], ks=[1, 2, 4])
    array([0.625, 0.75 , 1.   ])
    """
    per_k = [pass_at_k(n, c, k) for k in ks]
    return np.array([values_P.mean() if values_P.size else np.nan for values_P in per_k])
