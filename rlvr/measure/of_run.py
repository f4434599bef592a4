"""Measure a run's model as its config says, and write the evaluation into the run directory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate import PartialState

from rlvr.config.settings import TrainConfig
from rlvr.core.records import Problem
from rlvr.measure.evaluate import evaluate
from rlvr.measure.record import describe
from rlvr.measure.sample import Policy
from rlvr.models.sampling import Sampling
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import ProblemSet
from rlvr.runs.directory import RunDir
from rlvr.runs.eval_file import save_eval
from rlvr.runs.texts_file import without_texts


@dataclass(frozen=True)
class RunEvaluation:
    """Evaluate models of one run under its settings, all processes together; no random state of training changes."""

    config: TrainConfig
    run: RunDir

    def __call__(
        self,
        policy: Policy,
        when: str,
        data: ProblemSet,
        problems: Sequence[Problem],
        *,
        model: str,
        n: int,
        split: str = "test",
        exact: bool = False,
    ) -> dict[str, Any]:
        """Return the evaluation of a policy on `problems` of a set, after the main process has written it.

        `when` names its folder (RunDir.evaluation), `model` is what the evaluation calls the model; `n` samples each,
        and with `exact` each problem's chance too.
        """
        config = self.config
        with Scorer.of(data, config.answers, config.verify_timeout) as scorer:
            evaluation = evaluate(
                policy,
                problems,
                scorer,
                n=n,
                sampling=Sampling(config.max_completion_length or 0, config.eval_temperature),
                seed=config.eval_seed,
                exact=data if exact else None,
            )
        evaluation |= describe(data, split, model)
        if PartialState().is_main_process:
            kept = evaluation if config.log_rollouts else without_texts(evaluation)
            save_eval(kept, self.run.evaluation(when, data.spec))
        return evaluation
