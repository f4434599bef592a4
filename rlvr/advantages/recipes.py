"""Named algorithms are chains: reading the recipe is reading the algorithm.

A filter that follows a recipe in a spec ("grpo, drop_truncated") acts after its credit is computed: what it drops
has shaped the baseline. Put it first ("drop_truncated, grpo") to keep it out of the baseline too.
"""

from rlvr.advantages.chain import chain
from rlvr.advantages.group_center import group_center
from rlvr.advantages.group_scale import group_scale
from rlvr.advantages.keep_sign import keep_negative, keep_positive
from rlvr.advantages.leave_one_out import leave_one_out
from rlvr.advantages.signed import signed
from rlvr.advantages.weigh_sign import weigh_sign


def grpo(eps: float = 1e-4, ddof: int = 1) -> chain:
    """GRPO: A = (r - mean) / (std + eps), over the group (2402.03300)."""
    return chain(group_center(), group_scale(eps=eps, ddof=ddof))


def dr_grpo() -> chain:
    """Dr. GRPO: A = r - mean; no division by the spread (2503.20783; with loss_type dr_grpo, no length bias either)."""
    return chain(group_center())


def rloo() -> chain:
    """RLOO: A = r - mean of the other completions of the group (2402.14740)."""
    return chain(leave_one_out())


def reinforce() -> chain:
    """REINFORCE on correctness: A = +1 right, -1 wrong, no baseline (2506.01347 with lambda = 1)."""
    return chain(signed())


def psr() -> chain:
    """Positive sample reinforcement: only right completions, A = +1, uncentred (2506.01347)."""
    return chain(signed(), keep_positive())


def nsr() -> chain:
    """Negative sample reinforcement: only wrong completions, A = -1, uncentred (2506.01347)."""
    return chain(signed(), keep_negative())


def w_reinforce(pos: float = 0.1) -> chain:
    """Weighted REINFORCE: A = +pos right, -1 wrong, uncentred; the paper's lambda is 0.1 (2506.01347)."""
    return chain(signed(), weigh_sign(pos=pos))
