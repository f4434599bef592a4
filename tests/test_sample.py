"""One way from a model to judged completions: any part of the problems gives what the whole gives for it."""

import pytest

from rlvr.core.errors import DataError
from rlvr.measure.sample import Policy, make_engine, sample
from rlvr.models.sampling import Sampling
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import load_problems
from rlvr.problems.verifier import Verifier


def test_a_part_is_sampled_as_in_the_whole(tiny):
    policy = Policy(make_engine(*tiny), tiny[1], system_prompt="")
    problems = load_problems("arithmetic(levels=[0])", "test", 4, 0)
    scorer = Scorer(("answer",), Verifier("arithmetic"))
    settings = {"n": 2, "sampling": Sampling(6, 1.0), "seed": 3}
    whole, part = (sample(policy, problems, scorer, part=p, **settings) for p in (slice(None), slice(1, 3)))
    assert part.prompts == whole.prompts[1:3]
    assert part.samples.ids == whole.samples.ids[2:6]
    assert [c.text for c in part.completions] == [c.text for c in whole.completions[2:6]]
    assert [c.problem.id for c in whole.completions] == [p.id for p in problems for _ in range(2)]


def test_a_prompt_without_room_is_named_wherever_it_stands(tiny):
    policy = Policy(make_engine(*tiny), tiny[1], system_prompt="word " * 5000)
    problems = load_problems("arithmetic(levels=[0])", "test", 2, 0)
    with pytest.raises(DataError, match=problems[0].id):
        sample(
            policy,
            problems,
            Scorer(("answer",), Verifier("arithmetic")),
            n=1,
            sampling=Sampling(4),
            seed=0,
            part=slice(1, 2),
        )
