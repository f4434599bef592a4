"""Turn rewards into TRL's learning signal: RLVRTrainer, the top of the four files that touch TRL's private names.

Only these four files touch TRL's private names.

Thin wraps, never a copied method. What is captured and what is rewritten:

    _calculate_rewards               parse and verify each completion once; keep the gathered rewards
    _generate_and_score_completions  which problems; rewards -> Rollouts -> chain -> Signal -> advantages, mask, divisor
    evaluate                         leaves every RNG as it was

With no rlvr option set it behaves as GRPOTrainer does. Read in TRL 1.16; tests/test_trl_contract.py holds each hook.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from rlvr.advantages import Transform
from rlvr.advantages.rollouts import Rollouts, Signal
from rlvr.core.console import say
from rlvr.core.errors import SpecError
from rlvr.core.records import Completion, Problem
from rlvr.problems.scorer import Scorer
from rlvr.rewards.limits import term_function, term_worker
from rlvr.runs.pass_rate import PassRate
from rlvr.runs.rollouts_file import problem_name, unjudged, write_rollouts
from rlvr.training.batch_metrics import signal_metrics
from rlvr.training.confidence_start import confidence_start
from rlvr.training.critic import check_critic
from rlvr.training.curriculum.difficulty_sampler import DifficultySampler
from rlvr.training.curriculum.dynamic_sampling import Filled, Group, Sample, fill
from rlvr.training.curriculum.fresh_problems import FreshProblems
from rlvr.training.curriculum.propensity import ipw_mean, self_normalised_mean
from rlvr.training.inputs import resolve_inputs
from rlvr.training.sampling import SamplingPass
from rlvr.training.verdicts import Correct

# Losses whose divisor counts rows, so a dropped row would still weigh in it (design.md, settled semantics 3).
ROW_MEAN_LOSSES = ("grpo", "sapo", "dr_grpo", "luspo")
VERDICT_METRICS = ("accuracy", "groups/all_right", "groups/all_wrong", "groups/mixed")  # nobody knows them from rewards


class RLVRTrainer(SamplingPass):
    """Train as GRPOTrainer does, with composable advantages, honest filters and an in-process rollout engine.

    Args (all optional, beyond GRPOTrainer's):
        advantage: a transform, chain or spec that makes the signal; None leaves TRL's own advantages.
        problems: id -> Problem, for the `id` column of the dataset; with `scorer` and `terms`, the rewards.
        scorer: parses and verifies completions.
        terms: reward term -> weight; the reward functions, unless `reward_funcs` are given.
        data: a problem set: its verifier is the scorer, its problems are the rows where `train_dataset` is not given.
        correct: says which completions are right, where no scorer does: a function (with TRL's reward signature, or of
            a Completion), "my_reward > 0.5", or a column with the gold answer (rlvr/training/verdicts.py).
        record: the pass-rate record that filters read; it grows with what training sees.
        rollouts: folder for one parquet file per generation batch; None writes none. Nobody judges: `correct` is null.

    Every string is resolved as the command does: `model="tiny"`, `advantage="nsr"`, `terms={"correct": 1.0}`. Rows may
    be a list of dicts. Sign rules and difficulty filters need a scorer, `correct` or `data`: a reward is no verdict.
    """

    def __init__(
        self,
        *args: Any,
        advantage: Transform | str | None = None,
        problems: Mapping[str, Problem] | None = None,
        scorer: Scorer | None = None,
        terms: Mapping[Any, float] | None = None,
        data: str | None = None,
        correct: Correct | None = None,
        record: PassRate | None = None,
        rollouts: Path | None = None,
        **kwargs: Any,
    ):
        given = resolve_inputs(args, kwargs, advantage, problems, scorer, terms, data, correct)
        kwargs, advantage, scorer = given.trl, given.advantage, given.scorer
        self.verdicts = given.verdicts
        config = kwargs.get("args")
        self.term_worker = term_worker(given.terms, getattr(config, "reward_timeout", 10.0))
        if given.terms and not kwargs.get("reward_funcs"):
            weights = dict(sorted(given.terms.items(), key=lambda pair: str(pair[0])))  # float sums depend on the order
            kwargs["reward_funcs"] = [term_function(term, self.term_worker) for term in weights]
            config.reward_weights = list(weights.values())  # type: ignore[union-attr]
        if advantage is not None and config is not None and config.beta and config.loss_type in ROW_MEAN_LOSSES:
            raise SpecError(
                f"loss_type={config.loss_type!r} divides by all rows, so with a KL term (beta={config.beta}) a dropped "
                "row cannot leave the normaliser exactly. Use --loss_type dapo, or --beta 0."
            )
        check_critic(config, advantage)
        self.advantage, self.scorer, self.problems = advantage, scorer, given.problems
        self.record = record if record is not None else PassRate()
        self.rollouts_dir = rollouts
        self._captured: dict[str, Any] = {}
        self._judged = scorer is not None or self.verdicts is not None
        self._said_all_dropped = False
        self._fresh: FreshProblems | None = None
        self._difficulty: DifficultySampler | None = None
        self._propensity_P: Tensor | None = None  # with which this batch's problems were drawn
        super().__init__(**kwargs)
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        if getattr(self.args, "dynamic_sampling_tries", 0):
            if scorer is None or advantage is None:
                raise SpecError("dynamic_sampling_tries needs a scorer, which says what is right, and an advantage.")
            self._fresh = FreshProblems(len(self.train_dataset), seed + 1)  # another order than the epochs'
        if band := getattr(self.args, "difficulty_band", []):
            self._difficulty = DifficultySampler(tuple(band), self.args.difficulty_floor, seed)
            if self._fresh is not None:
                raise SpecError(
                    "difficulty_band and dynamic_sampling_tries both choose the problems: take one of them."
                )

    # ------------------------------------------------------------------ score: parse and verify once

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        records = None
        texts = [c[0]["content"] if isinstance(c, list) else c for c in completions]
        if self.scorer is not None:
            # Dynamic sampling has parsed and verified them already, to choose among them.
            known = [sample.record for sample in self._presampled]
            records = known or self._judge(inputs, texts, completion_ids_list)
            inputs = [{**row, "record": record} for row, record in zip(inputs, records, strict=True)]
        rewards_NF = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        verdicts = None
        if self.verdicts is not None:
            mine = self._local(rewards_NF, len(inputs)).T.tolist()
            rewards = dict(zip(self.reward_func_names, mine, strict=True))
            verdicts = self.verdicts(inputs, prompts, completions, completion_ids_list, rewards, records)
        split = [
            confidence_start(self._tokenizer, ids) if self.scorer and "confidence" in self.scorer.tags else len(ids)
            for ids in completion_ids_list
        ]
        self._captured = {
            "rewards": rewards_NF,
            "split": gather_object(split),
            "tokens": gather_object([len(ids) for ids in completion_ids_list]),
            "records": None if records is None else gather_object(records),
            "unjudged": gather_object([unjudged(*row) for row in zip(inputs, texts, completion_ids_list, strict=True)])
            if records is None and self.rollouts_dir is not None
            else None,
            "verdicts": None if verdicts is None else gather_object(verdicts),
            "ids": gather_object([problem_name(row) for row in inputs]),
            "truncated": gather_object(self._truncated(completion_ids_list)),
        }
        return rewards_NF

    def _truncated(self, completion_ids_list) -> list[bool]:
        return [not ids or ids[-1] not in self.eos_token_ids for ids in completion_ids_list]

    def _judge(self, rows, texts, completion_ids_list) -> list[Completion]:
        assert self.scorer is not None
        lengths = [len(ids) for ids in completion_ids_list]
        problems = [self.problems[row["id"]] for row in rows]
        return self.scorer(problems, texts, lengths, self._truncated(completion_ids_list))

    # ------------------------------------------------------------------ the signal: reward -> credit

    def _generate_and_score_completions(self, inputs):
        mode = "train" if self.model.training else "eval"
        group_size = self.num_generations if mode == "train" else self.num_generations_eval
        filled = None
        try:
            if mode == "train" and self._difficulty is not None:
                inputs = self._draw(self._difficulty, len(inputs) // group_size)
            if mode == "train" and self._fresh is not None:
                filled = self._fill_batch(self._fresh, inputs)
                self._presampled = self._local([s for group in filled.batch for s in group], len(inputs))
                inputs = [dict(s.row) for s in self._presampled]
            out = super()._generate_and_score_completions(inputs)
        finally:
            self._sampled_logps, self._presampled, self._rows_sampled = None, [], 0
        values_NT = None if self.critic is None else self._values(self.critic, out)
        rollouts = self._rollouts(group_size, values_NT)
        signal = None
        if self.advantage is not None:
            signal = Signal.start(rollouts)
            if filled is not None and filled.unfilled:  # before the chain: they are in no baseline either
                rest_PG = torch.zeros_like(signal.keep_PG)
                rest_PG[-filled.unfilled :] = True
                signal = signal.drop("dynamic_sampling", rest_PG)
            signal = self.advantage(rollouts, signal)
            self._rewrite(out, signal, len(inputs))
            if values_NT is not None:
                self._add_targets(out, values_NT, signal.returns_PGT, mode)
        self._log_signal(mode, rollouts, signal)
        if mode == "train":
            thrown = filled.thrown_records if filled is not None else []
            if self.rollouts_dir is not None and self.accelerator.is_main_process:
                self._write_rollouts(self.rollouts_dir, rollouts, signal, thrown)
            self._log_draws(rollouts)
            # After the decision: a filter judges a problem by its past, not by the outcome it is about to filter.
            self.record.discount(getattr(self.args, "record_discount", 1.0))
            if self._judged:
                self.record.update(rollouts.ids, rollouts.correct_PG, rollouts.scored_PG)
            for c in thrown:  # observed all the same
                if c.correct is not None:
                    self.record.add(c.problem.id, 1, int(c.correct))
        return out

    @functools.cached_property
    def _row_of(self) -> dict[str, int]:
        """Return problem id -> row of the training set."""
        return {problem_id: row for row, problem_id in enumerate(self.train_dataset["id"])}

    def _draw(self, sampler: DifficultySampler, count: int) -> list[dict[str, Any]]:
        """Draw this batch's problems by pass rate, the same on every process; return this process's rows."""
        whole = count * self.accelerator.num_processes
        rate_N = self.record.posterior_means(self.train_dataset["id"])
        index_P, self._propensity_P = sampler.draw(rate_N, whole, self._step)
        mine = self._local(index_P, count).tolist()
        return [row for i in mine for row in [self.train_dataset[i]] * self.num_generations]

    def _fill_batch(self, fresh: FreshProblems, inputs) -> Filled:
        """Replace groups that are not mixed by mixed groups of fresh problems (curriculum/dynamic_sampling.py)."""
        size, world, tries = self.num_generations, self.accelerator.num_processes, self.args.dynamic_sampling_tries
        unit = world // math.gcd(world, size)  # so many groups give every process as many completions

        def more(count: int) -> list[Group]:
            index = fresh.take(-(-count // unit) * unit, seen)
            index = index[: len(index) // unit * unit]
            seen.update(index)
            rows = [row for i in index for row in [self.train_dataset[i]] * size]
            return self._sample(self._local(rows, len(rows) // world))

        first = self._sample(inputs)
        seen = {self._row_of[group[0].record.problem.id] for group in first}
        filled = fill(first, tries, more)
        self.state.num_input_tokens_seen += filled.thrown_tokens
        for name, value in filled.metrics().items():
            self._metrics["train"][name].append(value)
        if filled.unfilled:
            say(
                f"step {self.state.global_step + 1}: after {filled.tries} more tries (at most {tries}) "
                f"{filled.unfilled} of {len(first)} groups are all right or all wrong; they take no part"
            )
        return filled

    def _sample(self, rows) -> list[Group]:
        """Sample and verify one completion for each row; return the groups of all processes."""
        if not rows:
            return []
        prompt_ids, *extra = self._tokenize_prompts([row["prompt"] for row in rows])
        ids, logps = self._generate_single_turn(prompt_ids, *extra, self.num_generations)
        self._rows_sampled += len(rows) * self.accelerator.num_processes
        texts = self.processing_class.batch_decode(ids, skip_special_tokens=True)
        none = [None] * len(rows)
        columns = (rows, map(len, prompt_ids), ids, logps or none, self._sampled_logps or none)
        records = self._judge(rows, texts, ids)
        samples = gather_object([Sample(*values) for values in zip(*columns, records, strict=True)])
        return [samples[i : i + self.num_generations] for i in range(0, len(samples), self.num_generations)]

    def _rollouts(self, group_size: int, values_NT: Tensor | None = None) -> Rollouts:
        rewards_NF = self._captured["rewards"].float().cpu()
        weights_F = self.reward_weights.float().cpu()
        reward_N = (rewards_NF * weights_F).nansum(1)
        scored_N = ~rewards_NF.isnan().all(1)
        records = self._captured["records"]
        correct_N = reward_N > 0  # a guess, which nothing reads where there is no source of verdicts
        verdicts = self._captured["verdicts"] or [c.correct for c in records or ()]
        if verdicts:
            correct_N = torch.tensor([verdict is True for verdict in verdicts])
            scored_N &= torch.tensor([verdict is not None for verdict in verdicts])
        stated = [math.nan if c.confidence is None else c.confidence for c in records or ()]
        ids = tuple(self._captured["ids"][::group_size])
        attempts_P, successes_P = self.record.lookup(ids)
        return Rollouts.of(
            reward_N.view(-1, group_size),
            correct_N.view(-1, group_size),
            scored_PG=scored_N.view(-1, group_size),
            truncated_PG=torch.tensor(self._captured["truncated"]).view(-1, group_size),
            attempts_P=attempts_P,
            successes_P=successes_P,
            confidence_PG=torch.tensor(stated).view(-1, group_size) if stated else None,
            tokens_PG=torch.tensor(self._captured["tokens"]).view(-1, group_size),
            split_PG=torch.tensor(self._captured["split"]).view(-1, group_size),
            terms_PGF=rewards_NF.view(-1, group_size, rewards_NF.shape[1]),
            weights_F=weights_F,
            ids=ids,
            values_PGT=None if values_NT is None else values_NT.float().cpu().unflatten(0, (-1, group_size)),
        )

    def _rewrite(self, out: dict[str, Any], signal: Signal, n_local: int) -> None:
        """Put the signal in place of TRL's advantages: the local rows, the loss mask, the normaliser."""
        adv_N = signal.adv.reshape(-1, *signal.adv.shape[2:])
        keep_N = signal.keep_PG.reshape(-1)
        used_N = adv_N
        if not keep_N.all():
            if self.loss_type in ROW_MEAN_LOSSES:
                # The divisor counts all rows; scaling the kept ones makes it count the kept.
                used_N = adv_N * (keep_N.numel() / max(1, int(keep_N.sum())))
            mask = out["completion_mask"] * self._local(keep_N, n_local).to(out["completion_mask"].device)[:, None]
            # tool_mask is TRL's mask of tokens that are attended to but carry no loss.
            out["tool_mask"] = mask if "tool_mask" not in out else mask * out["tool_mask"]
            out["num_items_in_batch"] = self.accelerator.gather((out["completion_mask"] * out["tool_mask"]).sum()).sum()
        local = self._local(used_N, n_local)
        if local.dim() == 2:  # per-token credit is as wide as the longest completion of all processes
            width = out["completion_ids"].shape[1]
            local = torch.nn.functional.pad(local, (0, max(0, width - local.shape[1])))[:, :width]
        out["advantages"] = local.to(out["advantages"])
        # A deque as long as the generation batch: this replaces the advantages which TRL computed but nobody used.
        self._logs["advantages"].extend((adv_N if adv_N.dim() == 1 else adv_N.mean(-1)).tolist())

    def _local(self, rows_N: Any, n_local: int) -> Any:
        """Return this process's rows of a gathered tensor or list."""
        return rows_N[self.accelerator.process_index * n_local :][:n_local]

    # ------------------------------------------------------------------ what is logged (docs/metrics.md)

    def _log_signal(self, mode: str, rollouts: Rollouts, signal: Signal | None) -> None:
        tags = self.scorer.tags if self.scorer is not None else ()
        for name, value in signal_metrics(rollouts, signal, self._captured["records"], tags).items():
            if self._judged or name not in VERDICT_METRICS:
                self._metrics[mode][name].append(value)
        if signal is not None and mode == "train" and not signal.keep_PG.any() and not self._said_all_dropped:
            self._said_all_dropped = True
            took = [f"{name} took {int(mask.sum())}" for name, mask in signal.dropped.items()]
            right = f", {rollouts.correct_PG.float().mean():.0%} of them right" if self._judged else ""
            say(
                f"WARNING at step {self.state.global_step + 1}: no completion is left in the loss, so this step "
                f"teaches nothing: of {signal.keep_PG.numel()} completions{right}, {', '.join(took)}. "
                "Look at the drop_* and keep_* steps of the advantage, and at what calls a completion right."
            )

    def _log_draws(self, rollouts: Rollouts) -> None:
        """Log what the draws say of the whole set, beside the naive mean over what was drawn (`accuracy`)."""
        if self._propensity_P is not None:
            rate_P = rollouts.correct_PG.double().mean(1)
            metrics, size = self._metrics["train"], len(self.train_dataset)
            metrics["accuracy/ipw"].append(ipw_mean(rate_P, self._propensity_P, size))
            metrics["accuracy/self_normalised"].append(self_normalised_mean(rate_P, self._propensity_P))
            metrics["difficulty/propensity"].append(float(self._propensity_P.mean()))

    def _write_rollouts(
        self, folder: Path, rollouts: Rollouts, signal: Signal | None, thrown: Sequence[Completion]
    ) -> None:
        records = self._captured["records"] or self._captured["unjudged"]
        if verdicts := self._captured["verdicts"]:  # the file holds what the advantage read
            records = [replace(c, correct=verdict) for c, verdict in zip(records, verdicts, strict=True)]
        write_rollouts(
            folder / f"step-{self.state.global_step + 1:05d}.parquet",
            step=self.state.global_step + 1,
            records=records,
            terms=dict(zip(self.reward_func_names, self._captured["rewards"].T.tolist(), strict=True)),
            reward=rollouts.reward_PG,
            signal=signal,
            propensity=self._propensity_P,
            thrown=thrown,
        )

    # ------------------------------------------------------------------ resume, evaluation

    def extra_state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of this class, beside the buffered rollouts (rlvr/training/resume.py)."""
        return {"record": self.record.state_dict(), "fresh": self._fresh.position if self._fresh else 0}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `extra_state` returned."""
        self.record.load_state_dict(state["record"])
        if self._fresh is not None:
            self._fresh.position = state["fresh"]

    def evaluate(self, *args, **kwargs):
        """Evaluate as GRPOTrainer does, leaving every random state as it was: measuring must not change training."""
        with torch.random.fork_rng():
            torch.manual_seed(getattr(self.args, "eval_seed", self.args.seed))
            return super().evaluate(*args, **kwargs)
