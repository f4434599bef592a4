"""Turn the rewards of a batch into credit, and put the credit where TRL's loss reads it.

rewards -> Rollouts -> the advantage (a chain of transforms) -> Signal -> advantages, loss mask, divisor
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from trl import GRPOConfig

from rlvr.advantages import Transform
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.core.console import say
from rlvr.core.errors import SpecError
from rlvr.rewards.total import weighted_sum
from rlvr.runs.pass_rate import PassRate
from rlvr.training.batch import GenerationBatch

# Losses whose divisor counts rows, so a dropped row would still weigh in it (design.md, settled semantics 3).
ROW_MEAN_LOSSES = ("grpo", "sapo", "dr_grpo", "luspo")
Out = dict[str, Any]


def check_divisor(config: GRPOConfig | None, advantage: Transform | None) -> None:
    """Raise SpecError where a dropped row could not leave the loss's divisor exactly; needs no model."""
    if advantage is not None and config is not None and config.beta and config.loss_type in ROW_MEAN_LOSSES:
        raise SpecError(
            f"loss_type={config.loss_type!r} divides by all rows, so with a KL term (beta={config.beta}) a dropped "
            "row cannot leave the normaliser exactly. Use --loss_type dapo, or --beta 0."
        )


def make_rollouts(
    batch: GenerationBatch, weights_F: Tensor, pass_rates: PassRate, values_NT: Tensor | None = None
) -> Rollouts:
    """Return what advantages read of a judged batch, on the CPU: groups by problem, with their past pass rates.

    Without a source of verdicts `correct_PG` is a guess that nothing reads. `values_NT` is the critic's.
    """
    judged, group_size = batch.judged, batch.group_size
    rewards_NF, weights_F = judged.rewards_NF.float().cpu(), weights_F.float().cpu()
    reward_N = weighted_sum(rewards_NF, weights_F)
    scored_N = ~rewards_NF.isnan().all(1)
    correct_N = reward_N > 0
    if judged.correct:
        correct_N = torch.tensor([verdict is True for verdict in judged.correct])
        scored_N &= torch.tensor([verdict is not None for verdict in judged.correct])
    stated = [math.nan if c.confidence is None else c.confidence for c in judged.completions or ()]
    ids = tuple(judged.problem_ids[::group_size])
    attempts_P, successes_P = pass_rates.lookup(ids)
    return Rollouts.of(
        reward_N.view(-1, group_size),
        correct_N.view(-1, group_size),
        scored_PG=scored_N.view(-1, group_size),
        truncated_PG=torch.tensor(judged.truncated).view(-1, group_size),
        attempts_P=attempts_P,
        successes_P=successes_P,
        confidence_PG=torch.tensor(stated).view(-1, group_size) if stated else None,
        tokens_PG=torch.tensor(judged.tokens).view(-1, group_size),
        split_PG=torch.tensor(judged.confidence_starts).view(-1, group_size),
        terms_PGF=rewards_NF.view(-1, group_size, rewards_NF.shape[1]),
        weights_F=weights_F,
        ids=ids,
        values_PGT=None if values_NT is None else values_NT.float().cpu().unflatten(0, (-1, group_size)),
    )


def make_signal(advantage: Transform, rollouts: Rollouts, unfilled: int = 0) -> Signal:
    """Return the signal of the advantage; the last `unfilled` groups take no part, in no baseline either."""
    signal = Signal.start(rollouts)
    if unfilled:
        rest_PG = torch.zeros_like(signal.keep_PG)
        rest_PG[-unfilled:] = True
        signal = signal.drop("dynamic_sampling", rest_PG)
    return advantage(rollouts, signal)


def write_signal(
    out: Out, signal: Signal, batch: GenerationBatch, loss_type: str, gather: Callable[[Tensor], Tensor]
) -> list[float]:
    """Put the signal in place of TRL's advantages: the local rows, the loss mask, the divisor.

    `out` is what TRL's loss will read; `gather` collects a tensor from all processes. Returns the advantage of every
    completion of all processes (the mean over its tokens), for the log.
    """
    adv_N = signal.adv.reshape(-1, *signal.adv.shape[2:])
    keep_N = signal.keep_PG.reshape(-1)
    used_N = adv_N
    if not keep_N.all():
        if loss_type in ROW_MEAN_LOSSES:
            # The divisor counts all rows; scaling the kept ones makes it count the kept.
            used_N = adv_N * (keep_N.numel() / max(1, int(keep_N.sum())))
        mask = out["completion_mask"] * batch.local(keep_N).to(out["completion_mask"].device)[:, None]
        # tool_mask is TRL's mask of tokens that are attended to but carry no loss.
        out["tool_mask"] = mask if "tool_mask" not in out else mask * out["tool_mask"]
        out["num_items_in_batch"] = gather((out["completion_mask"] * out["tool_mask"]).sum()).sum()
    local = batch.local(used_N)
    if local.dim() == 2:  # per-token credit is as wide as the longest completion of all processes
        width = out["completion_ids"].shape[1]
        local = torch.nn.functional.pad(local, (0, max(0, width - local.shape[1])))[:, :width]
    out["advantages"] = local.to(out["advantages"])
    return (adv_N if adv_N.dim() == 1 else adv_N.mean(-1)).tolist()


def count_outcomes(pass_rates: PassRate, batch: GenerationBatch, judged: bool, discount: float = 1.0) -> None:
    """Let the old pass rates fade, then add what this batch showed, thrown-away completions included.

    After the credit: a filter judges a problem by its past, not by the outcome that it is about to filter.
    """
    rollouts = batch.rollouts
    pass_rates.discount(discount)
    if judged:
        pass_rates.update(rollouts.ids, rollouts.correct_PG, rollouts.scored_PG)
    for c in batch.thrown:
        if c.correct is not None:
            pass_rates.add(c.problem.id, 1, int(c.correct))


@dataclass
class NothingLeftWarning:
    """Warn, once in a run, when the chain has dropped every completion of a batch."""

    said: bool = False

    def __call__(self, batch: GenerationBatch, judged: bool) -> None:
        """Look at a batch of training; `judged` says whether anybody called completions right."""
        signal, rollouts = batch.signal, batch.rollouts
        if self.said or signal is None or signal.keep_PG.any():
            return
        self.said = True
        took = [f"{name} took {int(mask.sum())}" for name, mask in signal.dropped.items()]
        right = f", {rollouts.correct_PG.float().mean():.0%} of them right" if judged else ""
        say(
            f"WARNING at step {batch.step}: no completion is left in the loss, so this step teaches nothing: of "
            f"{signal.keep_PG.numel()} completions{right}, {', '.join(took)}. Look at the drop_* and keep_* steps of "
            "the advantage, and at what calls a completion right."
        )
