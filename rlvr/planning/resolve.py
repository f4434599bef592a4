"""Resolve and check everything that a config names, before a model is loaded."""

from dataclasses import dataclass, field

from rlvr import advantages
from rlvr.config.settings import TrainConfig
from rlvr.core.console import say
from rlvr.core.errors import RlvrError, SpecError
from rlvr.core.records import Problem
from rlvr.measure.exact import check_exact
from rlvr.models.chat_template import check_chat_template
from rlvr.models.load import model_source
from rlvr.problems.check import check
from rlvr.problems.sets import ProblemSet, measured_warnings, overlap_warning
from rlvr.problems.validation import validation_problems
from rlvr.problems.worked import lessons, read_rows
from rlvr.rewards.limits import audit_within
from rlvr.rewards.terms import Term, load_terms
from rlvr.training.brier_loss import check_brier_loss
from rlvr.training.critic import check_critic


@dataclass(frozen=True)
class ResolvedConfig:
    """Hold what a config resolves to, checked, before any model is loaded; `sets` has every problem set by its spec."""

    config: TrainConfig
    terms: dict[Term, float]
    advantage: advantages.Transform
    sets: dict[str, ProblemSet]
    problems: list[Problem]
    eval_problems: dict[str, list[Problem]]
    validation: list[Problem] = field(default_factory=list)  # measured while it trains


def resolve_config(config: TrainConfig) -> ResolvedConfig:
    """Resolve and check everything that a config names; raises RlvrError saying what to mend.

    What is only named comes first, what takes seconds last: the problem sets are loaded and judged.
    """
    _refuse_unused(config)
    _refuse_other_evaluation(config)
    answers = config.answers
    sets = {spec: ProblemSet.of(spec) for spec in dict.fromkeys([config.data, *config.eval_specs])}
    measured = config.eval_specs if config.eval_size else []

    # The warm-up's own rows, if there are any
    if config.sft_data:
        rows = read_rows(config.sft_data)
        lessons(rows, answers, config.seed)

    # The signal
    assert isinstance(config.rewards, dict)
    terms = load_terms(config.rewards)
    tried = sets[config.data].example(config.data_size_seed) if any(term.trl_style for term in terms) else ()
    audit_within(terms, answers, config.allow_hackable, config.reward_timeout, *tried)
    advantage = advantages.build(config.advantage)
    check_critic(config, advantage)
    check_brier_loss(config)

    # What is measured, and the model
    while_training = [config.data] if config.eval_every and sets[config.data].unique else []
    for spec in [*measured, *while_training] if config.eval_exact else ():
        check_exact(sets[spec], answers, config.eval_temperature)
    check_chat_template(config.chat_template)
    model_source(config.model)

    # The problems
    problems = sets[config.data].load("train", config.train_size, config.data_size_seed)
    needed = config.generation_batch_size // config.num_generations
    if len(problems) < needed:
        raise SpecError(f"One batch takes {needed} problems, but {config.data!r} gives {len(problems)}.")
    evals = {spec: sets[spec].load("test", config.eval_size, config.data_size_seed) for spec in measured}
    validation: list[Problem] = []
    if config.eval_every:
        size, seed = config.eval_every_size or config.eval_size or TrainConfig.eval_size, config.data_size_seed
        validation = validation_problems(sets[config.data], size, seed, problems, evals, choose=config.keep_best)
    for spec, test in evals.items():
        few = measured_warnings(sets[spec], "test", config.eval_size, test)
        for warning in filter(None, [*few, overlap_warning(spec, test, problems)]):
            say(f"WARNING: {warning}")
    for data in sets.values():
        if failures := check(data, ("train", "test"), 50, config.data_size_seed, answers):
            raise RlvrError(f"The problem set {data.spec!r} fails its own verifier: {failures[0]}")
    return ResolvedConfig(config, terms, advantage, sets, problems, evals, validation)


def _refuse_unused(config: TrainConfig) -> None:
    """Raise SpecError for settings of TRL's that rlvr's own replace."""
    if config.reward_weights is not None:
        raise SpecError(
            f"reward_weights {config.reward_weights} has no place here: the weights stand beside the terms, as in "
            f'--rewards \'{{"correct": 0.5, "brier": 0.5}}\'. This config has {config.rewards}.'
        )
    for name, default in (("scale_rewards", "group"), ("multi_objective_aggregation", "sum_then_normalize")):
        if (value := getattr(config, name)) != default:
            raise SpecError(
                f"{name} {value!r} would change nothing: the credit is made by --advantage, here {config.advantage!r}. "
                "Instead of scale_rewards none take dr_grpo, of batch lite_ppo, of normalize_then_sum gdpo."
            )


def _refuse_other_evaluation(config: TrainConfig) -> None:
    """Raise SpecError for a way of evaluating that is transformers' own, naming the setting that takes its place."""
    strategy = getattr(config.eval_strategy, "value", config.eval_strategy)
    if strategy != "no" or config.eval_on_start or config.load_best_model_at_end:
        asked = (
            f"eval_strategy {strategy!r}" if strategy != "no" else "eval_on_start"
            if config.eval_on_start else "load_best_model_at_end"
        )  # fmt: skip
        raise SpecError(
            f"{asked} is transformers' evaluation, which measures the loss of a data set that this command does not "
            f"have. Instead, --eval_every N measures pass@1, Brier and ECE on validation problems every N steps, and "
            "--keep_best true keeps the best of these steps."
        )
    if config.keep_best and not config.eval_every:
        raise SpecError("keep_best chooses among the steps that eval_every measures: set --eval_every N too.")


Plan, plan = ResolvedConfig, resolve_config  # their names before 2026-11-24
