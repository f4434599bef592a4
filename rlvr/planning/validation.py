"""Choose the problems on which a run is measured while it trains: validation problems, so that a step may be chosen."""

import json
from collections.abc import Mapping, Sequence

from rlvr.config.settings import TrainConfig
from rlvr.core.console import say
from rlvr.core.errors import DataError, SpecError
from rlvr.core.records import Problem
from rlvr.measure.exact import check_exact
from rlvr.problems.sets import ProblemSet

_INSTEAD = "--eval_every N measures pass@1, Brier and ECE on validation problems every N steps, and --keep_best true "


def check_evaluating(config: TrainConfig) -> None:
    """Raise SpecError for a way of evaluating that is transformers' own, naming the setting that takes its place."""
    strategy = getattr(config.eval_strategy, "value", config.eval_strategy)
    if strategy != "no" or config.eval_on_start or config.load_best_model_at_end:
        asked = (
            f"eval_strategy {strategy!r}" if strategy != "no" else "eval_on_start"
            if config.eval_on_start else "load_best_model_at_end"
        )  # fmt: skip
        raise SpecError(
            f"{asked} is transformers' evaluation, which measures the loss of a data set that this command does not "
            f"have. Instead, {_INSTEAD}keeps the best of these steps."
        )
    if config.keep_best and not config.eval_every:
        raise SpecError("keep_best chooses among the steps that eval_every measures: set --eval_every N too.")


def validation_problems(
    config: TrainConfig, data: ProblemSet, trained: Sequence[Problem], tested: Mapping[str, Sequence[Problem]]
) -> list[Problem]:
    """Return the validation problems of a run's data that it is measured on while it trains; none without `eval_every`.

    They are not trained on and not in the evaluations before and after, so whoever chooses a step by them leaves those
    honest. Raises SpecError where the data has no validation split, and with `keep_best` where the splits overlap.
    """
    if not config.eval_every:
        return []
    if config.eval_exact and data.unique:
        check_exact(data, config.answers, config.eval_temperature)
    try:
        problems = data.load(
            "validation", config.eval_every_size or config.eval_size or TrainConfig.eval_size, config.data_size_seed
        )
    except DataError as error:
        raise SpecError(
            f"eval_every measures on the validation split of {data.spec!r}, and that cannot be loaded: {error} Leave "
            "eval_every out, or give the data such a split (hf(..., validation=0.1))."
        ) from error
    for what, others in {
        "trained on": trained,
        **{f"measured in {spec}": part for spec, part in tested.items()},
    }.items():
        if both := _shared(problems, others):
            message = f"{both} of the {len(problems)} validation problems of {data.spec!r} are {what} as well"
            if config.keep_best:
                raise SpecError(
                    f"{message}, so the step that keep_best chooses would look better than it is. Leave keep_best out, "
                    "or hold other rows apart (a spec with split=... loads that split for everything)."
                )
            say(f"WARNING: {message}: choose no step by what eval_every measures.")
    return problems


def _shared(problems: Sequence[Problem], others: Sequence[Problem]) -> int:
    seen = {json.dumps(problem.prompt, sort_keys=True) for problem in others}
    return sum(json.dumps(problem.prompt, sort_keys=True) in seen for problem in problems)
