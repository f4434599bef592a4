"""Choose the problems on which a run is measured while it trains: validation problems, so that a step may be chosen."""

import json
from collections.abc import Mapping, Sequence

from rlvr.core.console import say
from rlvr.core.errors import DataError, SpecError
from rlvr.core.records import Problem
from rlvr.problems.sets import ProblemSet


def validation_problems(
    data: ProblemSet,
    size: int,
    seed: int,
    trained: Sequence[Problem],
    tested: Mapping[str, Sequence[Problem]],
    *,
    choose: bool,
) -> list[Problem]:
    """Return `size` validation problems of a run's data, on which it is measured while it trains.

    They are not trained on and not in the evaluations before and after, so whoever chooses a step by them leaves those
    honest. Raises SpecError where the data has no validation split, and where the splits overlap if `choose` says that
    a step is chosen by them (else that is a warning).
    """
    try:
        problems = data.load("validation", size, seed)
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
            if choose:
                raise SpecError(
                    f"{message}, so the step that keep_best chooses would look better than it is. Leave keep_best out, "
                    "or hold other rows apart (a spec with split=... loads that split for everything)."
                )
            say(f"WARNING: {message}: choose no step by what eval_every measures.")
    return problems


def _shared(problems: Sequence[Problem], others: Sequence[Problem]) -> int:
    seen = {json.dumps(problem.prompt, sort_keys=True) for problem in others}
    return sum(json.dumps(problem.prompt, sort_keys=True) in seen for problem in problems)
