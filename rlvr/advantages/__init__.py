"""From rewards to advantages: small pure transforms, chains of them, and the named algorithms that are chains."""

import inspect
from collections.abc import Callable

from rlvr.advantages.base import Transform
from rlvr.advantages.batch_scale import batch_scale
from rlvr.advantages.batch_whiten import batch_whiten
from rlvr.advantages.chain import chain
from rlvr.advantages.drop_near_impossible import drop_near_impossible
from rlvr.advantages.drop_truncated import drop_truncated
from rlvr.advantages.drop_zero_signal import drop_zero_signal
from rlvr.advantages.explain import EXAMPLES, explain, explain_rows
from rlvr.advantages.gae import gae
from rlvr.advantages.gdpo import gdpo
from rlvr.advantages.group_center import group_center
from rlvr.advantages.group_scale import group_scale
from rlvr.advantages.keep_sign import keep_negative, keep_positive
from rlvr.advantages.leave_one_out import leave_one_out
from rlvr.advantages.mask_sign import mask_sign
from rlvr.advantages.mean_scale import mean_scale
from rlvr.advantages.pass_at_k import pass_at_k
from rlvr.advantages.pkpo import pkpo
from rlvr.advantages.recipes import dr_grpo, grpo, lite_ppo, maxrl, nsr, ppo, psr, reinforce, rloo, w_reinforce
from rlvr.advantages.scale_by_kept import scale_by_kept
from rlvr.advantages.signed import signed
from rlvr.advantages.split_confidence import split_confidence
from rlvr.advantages.split_proper import split_proper
from rlvr.advantages.weigh_sign import weigh_sign
from rlvr.core import specs
from rlvr.core.errors import SpecError, did_you_mean

TRANSFORMS: dict[str, Callable[..., Transform]] = {
    t.__name__: t
    for t in (
        group_center, group_scale, batch_scale, mean_scale, leave_one_out, pass_at_k, pkpo, gdpo, split_confidence,
        split_proper, gae, batch_whiten,
        signed, keep_positive, keep_negative, weigh_sign, mask_sign, scale_by_kept,
        drop_zero_signal, drop_truncated, drop_near_impossible,
    )
}  # fmt: skip
RECIPES: dict[str, Callable[..., chain]] = {
    r.__name__: r for r in (grpo, dr_grpo, rloo, maxrl, lite_ppo, ppo, reinforce, psr, nsr, w_reinforce)
}


def build(text: str) -> chain:
    """Build the chain that a spec list names: recipes, transforms, or a user's `./file.py:name`, in order.

    Raises SpecError for unknown names ("did you mean") and for parameters which the transform does not take.

    >>> build("dr_grpo, drop_truncated")
    chain(group_center(), drop_truncated())
    """
    return chain(*(_one(spec) for spec in specs.parse_specs(text)))


def _one(spec: specs.Spec) -> Transform:
    factory = _factory(spec)
    try:
        built = factory(**dict(spec.params))
    except TypeError as error:
        accepted = ", ".join(map(str, inspect.signature(factory).parameters.values())) or "no parameters"
        raise SpecError(f"Cannot build {spec}: {error}. {factory.__name__} takes {accepted}.") from error
    if not isinstance(built, Transform):
        raise SpecError(f"{spec} gave a {type(built).__name__}, not a Transform (see docs/adding.md).")
    return built


def _factory(spec: specs.Spec) -> Callable[..., Transform]:
    """Return what a spec calls: a built-in, or what a user's file calls `attr` (or like the file itself)."""
    known = {**TRANSFORMS, **RECIPES}
    if not spec.is_path:
        if spec.name not in known or spec.attr:
            name = f"{spec.name}:{spec.attr}" if spec.attr else spec.name
            raise SpecError(did_you_mean("advantage transform", name, known, "Or give ./file.py:name."))
        return known[spec.name]
    module = specs.import_file("rewards", spec.name)  # a path: the kind does not matter
    name = spec.attr or specs.find("rewards", spec.name).stem
    factory = getattr(module, name, None)
    if not callable(factory):
        raise SpecError(
            f"{spec.name} defines no function or class {name!r}. Name the transform: {spec.name}:my_transform"
        )
    return factory


__all__ = [
    "EXAMPLES",
    "RECIPES",
    "TRANSFORMS",
    "Transform",
    "build",
    "chain",
    "explain",
    "explain_rows",
    *TRANSFORMS,
    *RECIPES,
]
