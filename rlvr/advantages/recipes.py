"""Named algorithms are chains: reading the recipe is reading the algorithm.

A filter that follows a recipe in a spec ("grpo, drop_truncated") acts after its credit is computed: what it
drops has shaped the baseline. Put it first ("drop_truncated, grpo") to keep it out of the baseline too.
"""

from rlvr.advantages.batch_scale import batch_scale
from rlvr.advantages.batch_whiten import batch_whiten
from rlvr.advantages.chain import chain
from rlvr.advantages.gae import gae
from rlvr.advantages.group_center import group_center
from rlvr.advantages.group_scale import group_scale
from rlvr.advantages.keep_sign import keep_negative, keep_positive
from rlvr.advantages.leave_one_out import leave_one_out
from rlvr.advantages.mean_scale import mean_scale
from rlvr.advantages.scale_by_kept import scale_by_kept
from rlvr.advantages.signed import signed
from rlvr.advantages.weigh_sign import weigh_sign
from rlvr.core.errors import SpecError


def grpo(eps: float = 1e-4, ddof: int = 1) -> chain:
    """Build GRPO: A = (r - mean) / (std + eps), over the group (2402.03300).

    Needs groups of two or more; learns only from groups whose rewards differ. Equals TRL's own advantages there; where
    they are equal (`all_equal`) the credit is exactly 0, and TRL's is the rounding of the mean over eps.

    >>> grpo()
    chain(group_center(), group_scale(eps=0.0001, ddof=1))
    """
    return chain(group_center(), group_scale(eps=eps, ddof=ddof))


def dr_grpo() -> chain:
    """Build Dr. GRPO: A = r - mean, not divided by the spread (2503.20783).

    Needs groups of two or more. The paper's other half, no length bias, is `loss_type: dr_grpo`.

    >>> dr_grpo()
    chain(group_center())
    """
    return chain(group_center())


def rloo() -> chain:
    """Build RLOO: A = r - mean of the other completions of the group (2402.14740).

    Needs groups of two or more.

    >>> rloo()
    chain(leave_one_out())
    """
    return chain(leave_one_out())


def maxrl() -> chain:
    """Build MaxRL: A = (r - mean) / mean over the group, 0 if nothing succeeded (2602.02710).

    The gradient of a truncated log-likelihood of success: a success counts 1 / rate.

    >>> maxrl()
    chain(group_center(), mean_scale())
    """
    return chain(group_center(), mean_scale())


def lite_ppo(eps: float = 1e-4, ddof: int = 1) -> chain:
    """Build Lite PPO: group mean, batch std (2508.08221); the paper's other half is a token-mean loss.

    A lucky success in one group is not divided by that group's own small spread.

    >>> lite_ppo()
    chain(group_center(), batch_scale(eps=0.0001, ddof=1))
    """
    return chain(group_center(), batch_scale(eps=eps, ddof=ddof))


def ppo(gamma: float = 1.0, lam: float = 1.0, whiten: bool = True) -> chain:
    """Build PPO's credit: GAE over tokens (1506.02438), whitened over the batch; the clip is TRL's loss (1707.06347).

    Wants `critic: separate` or `shared`; without one each token gets the discounted reward. Whitening is on because
    the credit shrinks as the critic learns, and a learning rate should mean the same at both ends of a run. It is in
    neither paper, and can make a small positive credit negative: turn it off for the raw one.

    >>> ppo()
    chain(gae(gamma=1.0, lam=1.0), batch_whiten(eps=0.0001, ddof=1))
    """
    return chain(gae(gamma=gamma, lam=lam), *([batch_whiten()] if whiten else []))


def reinforce() -> chain:
    """Build REINFORCE on correctness: A = +1 right, -1 wrong, no baseline (2506.01347 with lambda = 1).

    Reads `correct` only: other reward terms do not reach the loss.

    >>> reinforce()
    chain(signed())
    """
    return chain(signed())


def psr(divisor: str = "kept") -> chain:
    """Build positive sample reinforcement: only right completions, A = +1, uncentred (2506.01347).

    The loss divides by what is kept. `divisor="all"` divides by the whole batch, as the authors' code does: it takes
    the mean over the kept of each micro-batch, then multiplies it by rows / mini-batch size, a constant, so that with 2
    of 8 kept the gradient is a quarter. The two want different learning rates, and the second fades as the share kept
    does. Reads `correct` only; sharpens, so watch pass@k.

    >>> psr()
    chain(signed(), keep_positive())
    >>> psr(divisor="all")
    chain(signed(), keep_positive(), scale_by_kept())
    """
    return chain(signed(), keep_positive(), *_divided_by(divisor))


def nsr(divisor: str = "kept") -> chain:
    """Build negative sample reinforcement: only wrong completions, A = -1, uncentred (2506.01347).

    `divisor` is "kept" or "all" (the authors' code), see `psr`. Reads `correct` only. Needs a model that is often
    right: a weak one has its mass spread to garbage, so watch format_rate and entropy.

    >>> nsr()
    chain(signed(), keep_negative())
    """
    return chain(signed(), keep_negative(), *_divided_by(divisor))


def _divided_by(divisor: str) -> list[scale_by_kept]:
    if divisor not in ("kept", "all"):
        raise SpecError(f"divisor must be 'kept' or 'all', got {divisor!r}.")
    return [scale_by_kept()] if divisor == "all" else []


def w_reinforce(pos: float = 0.1) -> chain:
    """Build weighted REINFORCE: A = +pos right, -1 wrong, uncentred; the paper's lambda is 0.1 (2506.01347).

    All rows stay in the divisor. `pos=1` is `reinforce`; `pos=0` is `nsr` but for the divisor. Reads
    `correct` only.

    >>> w_reinforce()
    chain(signed(), weigh_sign(pos=0.1, neg=1.0))
    """
    return chain(signed(), weigh_sign(pos=pos))
