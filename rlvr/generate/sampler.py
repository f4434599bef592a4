"""From logits to tokens: temperature, top-k, top-p, and noise that belongs to a row, not to a batch."""

import torch
from torch import Tensor


def row_uniforms(seed: int, rows_R: Tensor, step: int) -> Tensor:
    """Return one uniform number in (0, 1) per row, a pure function of (seed, row, step).

    A counter-based generator (the finaliser of SplitMix64): a row draws the same tokens whatever batch it
    is in, so rollouts do not depend on how a batch is split or on which neighbours have finished.

    >>> a = row_uniforms(7, torch.arange(4), 0)
    >>> torch.equal(a[2:], row_uniforms(7, torch.arange(2, 4), 0))
    True
    """

    def mix(x: Tensor) -> Tensor:
        x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9 as a signed integer
        x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
        return x ^ ((x >> 31) & 0x1FFFFFFFF)

    golden = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15
    base = mix(torch.full((1,), seed, dtype=torch.int64, device=rows_R.device) * golden + step)
    bits = mix(mix(rows_R.to(torch.int64) * golden + base) + golden)
    # fp32 has 24 bits of mantissa: take 23 of them and sit in the middle of the cell, so 0 and 1 never occur.
    return (((bits >> 41) & 0x7FFFFF).to(torch.float32) + 0.5) / 2**23


def truncate(logits_RV: Tensor, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Set to -inf what top-k and then top-p (nucleus) sampling leave out; 0 and 1.0 switch them off."""
    if 0 < top_k < logits_RV.shape[-1]:
        floor = logits_RV.topk(top_k, dim=-1).values[:, -1:]
        logits_RV = logits_RV.masked_fill(logits_RV < floor, -torch.inf)
    if top_p < 1.0:
        ordered, order = logits_RV.sort(dim=-1, descending=True)
        mass = ordered.softmax(-1).cumsum(-1)
        beyond = mass - ordered.softmax(-1) >= top_p  # keeps the token which crosses the line
        logits_RV = logits_RV.masked_fill(torch.zeros_like(beyond).scatter(1, order, beyond), -torch.inf)
    return logits_RV


def draw(
    logits_RV: Tensor, uniforms_R: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Draw one token per row by inverting the CDF; temperature 0 is greedy.

    Returns token ids (R,) and their log-probabilities (R,) in nats under softmax(logits / temperature),
    before truncation (what a trainer recomputes).

    >>> ids, logps = draw(torch.tensor([[0.0, 9.0]]), torch.tensor([0.5]))
    >>> ids, logps.exp().round(decimals=3)
    (tensor([1]), tensor([1.]))
    """
    logits = logits_RV.float()
    if temperature == 0.0:
        ids = logits.argmax(-1)
        return ids, logits.log_softmax(-1).gather(1, ids[:, None])[:, 0]
    logits = logits / temperature
    log_total = logits.logsumexp(-1)
    kept = truncate(logits, top_k, top_p) if top_k or top_p < 1.0 else logits
    cdf = (kept - kept.max(-1, keepdim=True).values).exp_().cumsum(-1)
    # right=True skips tokens of zero probability at the start; the clamp guards rounding at the far end.
    ids = torch.searchsorted(cdf, (uniforms_R * cdf[:, -1])[:, None], right=True)[:, 0]
    ids = ids.clamp_(max=logits.shape[-1] - 1)
    return ids, logits.gather(1, ids[:, None])[:, 0] - log_total
