"""One contract over the explicit lists of transforms and recipes."""

import copy
import doctest
import pickle
import re
from dataclasses import replace

import pytest
import torch

from rlvr import advantages
from rlvr.advantages import RECIPES, TRANSFORMS, Transform, chain
from rlvr.advantages.rollouts import Rollouts, Signal
from tests.conftest import REPO

ALL = {**TRANSFORMS, **RECIPES, "chain": chain}
NAMES = {name: thing for name, thing in vars(advantages).items() if name in ALL}


def messy() -> Rollouts:
    """Every kind of completion at once: unscored, truncated, right with a low reward, a hopeless problem."""
    generator = torch.Generator().manual_seed(1)
    reward = torch.rand(6, 5, generator=generator)
    reward[0, 1] = torch.nan
    reward[1] = torch.nan
    reward[2] = 0.7
    return Rollouts.of(
        reward,
        torch.rand(6, 5, generator=generator) < 0.4,
        truncated_PG=torch.rand(6, 5, generator=generator) < 0.3,
        attempts_P=[64, 0, 8, 16, 64, 3],
        successes_P=[0, 0, 8, 4, 1, 1],
    )


@pytest.fixture(params=ALL)
def thing(request):
    return ALL[request.param]


def test_every_transform_of_the_package_is_listed():
    public = {n for n, x in vars(advantages).items() if isinstance(x, type) and issubclass(x, Transform)}
    assert public - {"Transform", "chain"} == set(TRANSFORMS)
    assert set(advantages.__all__) >= {*TRANSFORMS, *RECIPES}


def test_is_a_transform_with_usable_defaults(thing):
    assert isinstance(thing(), Transform)


def test_is_pure_and_deterministic(thing):
    rollouts = messy()
    signal = Signal.start(rollouts)
    before = copy.deepcopy((rollouts, signal))
    first, second = thing()(rollouts, signal), thing()(rollouts, signal)
    for old, new in zip(before, (rollouts, signal), strict=True):
        for key, value in vars(old).items():
            if torch.is_tensor(value):
                torch.testing.assert_close(getattr(new, key), value, rtol=0, atol=0, equal_nan=True)
    assert set(signal.dropped) == {"unscored"}
    assert torch.equal(first.adv, second.adv)
    assert torch.equal(first.keep_PG, second.keep_PG)


def test_keeps_shapes_and_types_and_is_finite(thing):
    rollouts = messy()
    signal = thing()(rollouts)
    assert signal.adv.shape[:2] == signal.keep_PG.shape == rollouts.reward_PG.shape
    assert signal.adv.dtype == torch.float32
    assert signal.keep_PG.dtype == torch.bool
    assert signal.adv.isfinite().all()
    for mask in signal.dropped.values():
        assert mask.shape == rollouts.reward_PG.shape
        assert mask.dtype == torch.bool


def test_dropped_completions_carry_nothing_and_are_accounted_for(thing):
    signal = thing()(messy())
    assert (signal.adv[~signal.keep_PG] == 0).all()
    masks = torch.stack([*signal.dropped.values()])
    assert torch.equal(masks.sum(0), (~signal.keep_PG).long())  # exactly one transform names itself for each


def test_without_a_signal_it_starts_from_the_reward(thing):
    rollouts = messy()
    assert torch.equal(thing()(rollouts).adv, thing()(rollouts, Signal.start(rollouts)).adv)


def test_repr_is_the_constructor_and_pickle_keeps_the_value(thing):
    built = thing()
    for twin in (eval(repr(built), dict(NAMES)), pickle.loads(pickle.dumps(built)), copy.deepcopy(built)):
        assert twin == built
        assert hash(twin) == hash(built)
        assert repr(twin) == repr(built)


def test_is_frozen(thing):
    with pytest.raises(AttributeError):
        thing().anything = 1


def test_docstring_has_a_source_and_a_doctest(thing):
    """A paper that docs/papers.md lists, or "(no paper; after ...)"."""
    papers = re.findall(r"\b\d{4}\.\d{5}\b", thing.__doc__)
    assert papers or re.search(r"\(no paper; after \w[^)]+\)", thing.__doc__), "no source"
    listed = (REPO / "docs" / "papers.md").read_text(encoding="utf-8")
    assert [paper for paper in papers if paper not in listed] == []
    assert doctest.DocTestParser().get_examples(thing.__doc__)


@pytest.mark.parametrize("name", [n for n in TRANSFORMS if n.startswith(("drop_", "keep_"))])
def test_filters_say_which_drop_they_mean(name):
    words = " ".join(TRANSFORMS[name].__doc__.split())
    assert re.search(r"leaves? the loss and its normaliser", words)
    assert re.search(r"nothing is sampled again", words, re.IGNORECASE)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_says_whether_it_reads_verdicts(name):
    """`reads_verdicts` is what decides whether a trainer without a source of verdicts refuses it."""
    step, rollouts = TRANSFORMS[name](), messy()
    rollouts = replace(rollouts, confidence_PG=rollouts.reward_PG.nan_to_num(0.5), values_PGT=torch.zeros(6, 5, 1))
    turned = replace(rollouts, correct_PG=~rollouts.correct_PG, successes_P=rollouts.attempts_P - rollouts.successes_P)
    before, after = step(rollouts), step(turned)
    same = torch.equal(before.adv, after.adv) and torch.equal(before.keep_PG, after.keep_PG)
    assert same is not step.reads_verdicts
