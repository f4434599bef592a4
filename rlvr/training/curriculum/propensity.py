"""Estimate a mean over N problems from those that were drawn, by inverse propensities."""

from torch import Tensor


def ipw_mean(value_K: Tensor, propensity_K: Tensor, size: int) -> float:
    """Return (1 / K) sum_k value_k / (N p_k), unbiased for the mean over the N problems (Horvitz and Thompson 1952).

    Each of the K draws chose its problem with probability p_k. May leave the range of the values.

    >>> import torch
    >>> ipw_mean(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]), size=2)
    0.5
    """
    return float((value_K.double() / (size * propensity_K.double())).mean())


def self_normalised_mean(value_K: Tensor, propensity_K: Tensor) -> float:
    """Return sum_k (value_k / p_k) / sum_k (1 / p_k): within the range of the values, biased by O(1 / K), less noisy.

    >>> import torch
    >>> self_normalised_mean(torch.tensor([1.0, 0.0]), torch.tensor([0.25, 0.75]))
    0.75
    """
    weight_K = 1 / propensity_K.double()
    return float((weight_K * value_K.double()).sum() / weight_K.sum())
