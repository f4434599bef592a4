"""Draw tokens from logits: temperature, top-k, top-p, and noise that belongs to a row, not to a batch."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """Hold how to sample: temperature (0 is greedy), nucleus and top-k truncation, and the length limit in tokens."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


def row_uniforms(seed: int, rows_R: Tensor, step: int | Tensor) -> Tensor:
    """Return one uniform number in (0, 1) per row, a pure function of (seed, row, step); steps may differ by row.

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
    if temperature != 1.0:
        logits = logits / temperature
    probs = logits.softmax(-1)
    kept = probs
    if top_k or top_p < 1.0:
        kept = truncate(logits, top_k, top_p).softmax(-1)
    ids = _invert(kept, uniforms_R)
    # The probability of a drawn token is never so small that its logarithm would lose digits in float32.
    return ids, probs.gather(1, ids[:, None])[:, 0].log()


def _invert(probs_RV: Tensor, uniforms_R: Tensor) -> Tensor:
    """Return the first token at which the cumulated probability exceeds the uniform number, in two levels.

    Blocks of tokens first, then the tokens of one block: the running sum over a whole vocabulary costs more than the
    softmax that made it.
    """
    rows, vocab = probs_RV.shape
    width = max(1, int(vocab**0.5))
    while vocab % width:  # a divisor, so that blocks are a view
        width -= 1
    if width < 16:
        return _first_beyond(probs_RV, uniforms_R * probs_RV.sum(-1))
    blocks = probs_RV.view(rows, vocab // width, width)
    mass = blocks.sum(-1)
    target = uniforms_R * mass.sum(-1)
    block = _first_beyond(mass, target)
    before = mass.cumsum(-1).gather(1, block[:, None])[:, 0] - mass.gather(1, block[:, None])[:, 0]
    inside = blocks[torch.arange(rows, device=blocks.device), block]
    return block * width + _first_beyond(inside, target - before)


def _first_beyond(mass_RN: Tensor, target_R: Tensor) -> Tensor:
    cumulated = mass_RN.cumsum(-1)
    # Below the total by a rounding at most, so that the answer always has mass of its own.
    target_R = torch.minimum(target_R, torch.nextafter(cumulated[:, -1], torch.zeros_like(target_R))).clamp(min=0)
    return torch.searchsorted(cumulated, target_R[:, None], right=True)[:, 0].clamp(max=mass_RN.shape[1] - 1)
