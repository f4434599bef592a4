"""Resolve what RLVRTrainer is given: strings as the command does, rows to a data set, a model by its name."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

from rlvr.advantages import Transform, build
from rlvr.advantages.chain import verdict_readers
from rlvr.config.loading import check_frozen_base, loading
from rlvr.config.settings import TrainConfig
from rlvr.core.console import say
from rlvr.core.errors import DataError, SpecError
from rlvr.core.records import Problem
from rlvr.core.worker import Worker
from rlvr.models.chat_template import declare_end_of_turn, with_chat_template
from rlvr.models.init_kwargs import foreign_kwargs
from rlvr.models.load import PACKAGED, TINY, load_model, lora_config, name_by_folder, without_adapters
from rlvr.problems.prompts import messages
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import ProblemSet
from rlvr.rewards.limits import audit_within, term_function
from rlvr.rewards.terms import Term, load_terms
from rlvr.training.verdicts import WANTED, Verdicts
from rlvr.training.whole_groups import WholeGroups


@dataclass
class Inputs:
    """Hold what a trainer works with: GRPOTrainer's own arguments by name, and ours as objects."""

    trl: dict[str, Any]
    advantage: Transform | None
    problems: Mapping[str, Problem]
    scorer: Scorer | None
    terms: Mapping[Term, float]
    verdicts: Verdicts | None


def resolve_inputs(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    advantage: Transform | str | None,
    problems: Mapping[str, Problem] | None,
    scorer: Scorer | None,
    terms: Mapping[Any, float] | None,
    data: str | None,
    correct: Any,
) -> Inputs:
    """Resolve the arguments of RLVRTrainer (see there); with none of ours, GRPOTrainer's stay as they are.

    Raises SpecError and ModelError for a name that nothing has ("did you mean"), and for what does not fit together.
    """
    trl = dict(inspect.signature(GRPOTrainer.__init__).bind_partial(None, *args, **kwargs).arguments)
    del trl["self"]
    config = trl.get("args")
    if config is None and any(ours is not None for ours in (advantage, scorer, terms, data, correct)):
        name = trl["model"] if isinstance(trl.get("model"), str) else "model"
        config = TrainConfig(output_dir=f"{name.rstrip('/').split('/')[-1]}-RLVR")
    if isinstance(config, TrainConfig):
        if advantage is None and config.advantage != TrainConfig.advantage:
            advantage = config.advantage
        if terms is None and not trl.get("reward_funcs") and not trl.get("environment_factory"):
            terms = dict(config.rewards)  # type: ignore[arg-type]
    if isinstance(advantage, str):
        advantage = build(advantage)
    loaded, audited = dict(terms or {}), False
    if loaded:
        if scorer is None and not isinstance(config, TrainConfig):
            raise SpecError("terms need rlvr's settings (which tags, which problems): args=rlvr.TrainConfig(...).")
        if any(isinstance(term, str) for term in loaded):
            loaded = load_terms({str(term): weight for term, weight in loaded.items()})
            audited = True
    if isinstance(trl.get("train_dataset"), list):
        trl["train_dataset"] = Dataset.from_list(trl["train_dataset"])
    if scorer is None and (data is not None or loaded):
        problems, scorer = _judged(trl, config, data)
    if audited:
        seconds = getattr(config, "reward_timeout", 10.0)
        example = list((problems or {}).values())[:1] if any(term.trl_style for term in loaded) else []
        audit_within(loaded, _answers(scorer, config), getattr(config, "allow_hackable", False), seconds, *example)
    inputs = Inputs(trl, advantage, problems or {}, scorer, loaded, _verdicts(trl, loaded, correct, scorer, config))
    _check_verdicts(inputs, config)
    _load_model(trl, config)
    if config is not None:
        no_experts = isinstance(config, TrainConfig) and _balances_nothing(trl.get("model"), config)
        trl["args"] = copy.copy(config) if loaded or no_experts else config  # what follows is written into it
        if no_experts:
            trl["args"].router_aux_loss_coef = 0.0
    if isinstance(config, TrainConfig):
        of_the_reference = _for_the_reference(trl, config)
        if of_the_reference != config.model_init_kwargs:
            trl["args"] = copy.copy(trl["args"])
            trl["args"].model_init_kwargs = of_the_reference
    return inputs


def use_terms(inputs: Inputs, worker: Worker, of_all: WholeGroups) -> None:
    """Make the terms TRL's reward functions, and their weights its own, unless functions were given."""
    if inputs.terms and not inputs.trl.get("reward_funcs"):
        weights = dict(sorted(inputs.terms.items(), key=lambda pair: str(pair[0])))  # float sums depend on the order
        inputs.trl["reward_funcs"] = [term_function(term, worker, of_all) for term in weights]
        inputs.trl["args"].reward_weights = list(weights.values())


def _balances_nothing(model: Any, config: TrainConfig) -> bool:
    """Return whether TRL would fail on the load-balancing loss of a model that declares no `num_experts`; say so.

    A dense Granite-Hybrid is of a class that may have experts, and TRL asks it how many.
    """
    text: Any = model.config.get_text_config() if hasattr(model, "config") else None
    if config.router_aux_loss_coef is not None or not getattr(text, "router_aux_loss_coef", 0.0):
        return False
    if not hasattr(text, "output_router_logits") or hasattr(text, "num_experts"):
        return False
    if getattr(text, "num_local_experts", 0):
        say(f"WARNING: TRL cannot balance the experts of a {text.model_type}; their load-balancing loss is left out")
    return True


def _verdicts(
    trl: Mapping[str, Any], terms: Mapping[Term, float], correct: Any, scorer: Scorer | None, config: GRPOConfig | None
) -> Verdicts | None:
    """Return who says what is right by `correct`; None where nobody was named."""
    if correct is None:
        return None
    functions = trl.get("reward_funcs") or []
    functions = functions if isinstance(functions, list) else [functions]
    rewards = {getattr(f, "__name__", str(f)): f for f in functions} or {term.name: None for term in terms}
    columns = getattr(trl.get("train_dataset"), "column_names", None) or []
    return Verdicts(correct, rewards, columns, _answers(scorer, config))


def _answers(scorer: Scorer | None, config: GRPOConfig | None) -> Any:
    """Return the form of answer, or the tags, that a scorer reads; without one, that the settings ask for."""
    if scorer is None:
        return getattr(config, "answers", ())
    return getattr(scorer, "answers", scorer.tags)  # a scorer of the user's may know tags alone


def _check_verdicts(inputs: Inputs, config: GRPOConfig | None) -> None:
    """Raise SpecError where something reads what is right, and only rewards are there."""
    if inputs.scorer is not None or inputs.verdicts is not None:
        return
    readers = [repr(step) for step in verdict_readers(inputs.advantage)] if inputs.advantage is not None else []
    readers += ["difficulty_band"] if getattr(config, "difficulty_band", []) else []
    readers += ["min_mixed_groups"] if getattr(config, "min_mixed_groups", 0.0) else []
    if readers:
        raise SpecError(
            f"{readers[0]} asks which completions are right, and a reward does not say: a partly right completion has "
            f"one above 0 too. {WANTED}. Or give data=, a problem set with a verifier."
        )


def _judged(trl: dict[str, Any], config: GRPOConfig | None, data: str | None) -> tuple[dict[str, Problem], Scorer]:
    """Return the problems and their scorer, by a problem set; it gives the rows too, where there are none."""
    settings = config if isinstance(config, TrainConfig) else TrainConfig()
    rows = trl.get("train_dataset")
    if rows is not None and data is None:
        raise SpecError(
            "Reward terms read a verdict on each completion, and nothing says who gives it on these rows. Give data=, "
            "a problem set whose verifier judges the column 'answer'; or scorer= and problems=; or no train_dataset."
        )
    chosen = ProblemSet.of(data or settings.data)
    if rows is None:
        problems = chosen.load("train", settings.train_size, settings.data_size_seed)
        trl["train_dataset"] = Dataset.from_list(
            [{"prompt": messages(p, settings.answers, settings.system_prompt), "id": p.id} for p in problems]
        )
    elif "answer" not in rows.column_names:
        raise DataError(f"The verifier of {data!r} judges the column 'answer'; found {', '.join(rows.column_names)}.")
    else:
        if "id" not in rows.column_names:
            rows = trl["train_dataset"] = rows.add_column("id", [str(i) for i in range(len(rows))])
        problems = [_problem(row) for row in rows]
    return {p.id: p for p in problems}, Scorer.of(chosen, settings.answers, settings.verify_timeout)


def _problem(row: Mapping[str, Any]) -> Problem:
    prompt = row["prompt"] if isinstance(row["prompt"], list) else [{"role": "user", "content": row["prompt"]}]
    meta = {name: value for name, value in row.items() if name not in ("id", "prompt", "answer", "task")}
    return Problem(str(row["id"]), prompt, row["answer"], str(row.get("task") or ""), meta)


def _load_model(trl: dict[str, Any], config: GRPOConfig | None) -> None:
    """Load a model that is named, by the command's function; what only TRL's loader can do stays TRL's.

    A name of ours (`tiny`, the packaged model) is always ours: TRL would ask the hub for it. Any other is TRL's where
    the settings are TRL's, or ask for what our loader does not take (a dtype in model_init_kwargs, a quantization).
    """
    asked: dict[str, Any] = {}
    ours = False
    if isinstance(config, TrainConfig):
        trl["model"] = config.model if trl.get("model") is None else trl["model"]
        ours = not (foreign_kwargs(config.model_init_kwargs) or trl.get("quantization_config"))  # type: ignore[arg-type]
        if isinstance(trl["model"], str) and (ours or trl["model"] in (TINY, PACKAGED)):
            asked = {"device": config.device, **loading(config, trl["model"])}
        if trl.get("peft_config") is None and config.lora_rank:
            trl["peft_config"] = lora_config(config.lora_rank, revision=asked.get("revision"))
    model = trl.get("model")
    if isinstance(model, str) and (ours or model in (TINY, PACKAGED)):
        trl["model"], tokenizer = load_model(model, **asked)
        if trl.get("processing_class") is None:
            trl["processing_class"] = tokenizer
    if isinstance(config, TrainConfig) and not isinstance(trl["model"], str):
        adapters = trl.get("peft_config") is not None or isinstance(trl["model"], PeftModel)
        check_frozen_base(config, adapters)
        base, tokenizer = without_adapters(trl["model"]), trl.get("processing_class")
        if adapters or config.beta:
            name_by_folder(base)
        if isinstance(tokenizer, PreTrainedTokenizerBase):  # a model and tokenizer of the user's, too
            with_chat_template(tokenizer, base.config._name_or_path or "this model", config.chat_template, False)
            declare_end_of_turn(base, tokenizer)


def _for_the_reference(trl: dict[str, Any], config: TrainConfig) -> dict[str, Any] | None:
    """Return the model_init_kwargs with which TRL loads the reference of the KL term: as the policy was loaded.

    TRL loads it by the policy's name where all weights are trained; a loaded policy it would only warn about them.
    """
    model = trl["model"]
    if isinstance(model, str):
        return config.model_init_kwargs  # type: ignore[return-value]
    how = loading(config)  # refuses what another setting does
    if not config.beta or trl.get("peft_config") is not None or isinstance(model, PeftModel):
        return None
    on_hub = not Path(model.config._name_or_path).is_dir()
    return {**how["config_changes"], **({"revision": how["revision"]} if on_hub and how["revision"] else {})} or None
