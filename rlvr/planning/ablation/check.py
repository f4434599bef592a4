"""Find out whether every arm can be trained and compared, before the first run starts."""

from collections.abc import Iterable

from rlvr.config.settings import TrainConfig, build_config
from rlvr.core.errors import RlvrError, SpecError
from rlvr.planning import cost
from rlvr.planning.ablation.arms import Ablation, Run
from rlvr.planning.cost import Job, Shape
from rlvr.planning.parts import check_needs

Resolved = dict[str, tuple[Shape, Job, float]]  # arm -> model, work of a step, bytes of Python and libraries


def resolve_arms(runs: Iterable[Run]) -> Resolved:
    """Resolve every arm as `rlvr train` would before it loads the weights; return what each costs.

    Raises SpecError that names every arm with a reward term, problem set, model or package that cannot be had, and why.
    """
    found: Resolved = {}
    wrong: list[str] = []
    for run in {run.arm: run for run in runs}.values():
        try:
            config = build_config(TrainConfig, dict(run.settings))
            check_needs(config)
            found[run.arm] = cost.resolve_job(config)
        except RlvrError as error:
            wrong.append(f"Arm {run.arm!r}: {error}")
    if wrong:
        raise SpecError("\n".join(wrong) + "\nNo run was started.")
    return found


def check_comparable(ablation: Ablation) -> None:
    """Raise SpecError when an arm would be measured on other problems than the baseline: it could not be compared."""
    sets = {}
    for run in ablation.runs:
        if run.arm not in sets:
            config = build_config(TrainConfig, dict(run.settings))
            specs = config.eval_specs if config.eval_size else []  # nothing is evaluated: arms may train on other data
            sets[run.arm] = (specs, config.eval_size, config.data_size_seed)
    names = ("eval_data", "eval_size", "data_size_seed")
    for arm, found in sets.items():
        for name, ours, theirs in zip(names, found, sets[ablation.baseline], strict=True):
            if ours != theirs:
                raise SpecError(
                    f"Arm {arm!r} would be measured on other problems than {ablation.baseline!r}, so they could not be "
                    f"compared: {name} is {ours!r}, there {theirs!r}. Give all arms one in `set`, e.g. "
                    f"set: {{{name}: {theirs!r}}}."
                )
