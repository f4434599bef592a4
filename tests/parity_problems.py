"""Problems that random tokens solve never, always, or by a toss, and a trainer on them."""

from datasets import Dataset

from rlvr.advantages import build
from rlvr.config.settings import TrainConfig
from rlvr.core.records import Completion, Problem
from rlvr.models.load import build_tiny
from rlvr.training.trainer import RLVRTrainer

GROUP, PROMPTS = 4, 4
PROBLEMS = {str(i): Problem(str(i), [{"role": "user", "content": f"{i}+{i}="}], str(2 * i)) for i in range(12)}


class Parity:
    """Judges by a rule that random tokens meet: 0, 3, 6, ... are hopeless, 1, 4, ... sure, 2, 5, ... a toss."""

    tags = ()

    def __call__(self, problems, texts, n_tokens, truncated):
        verdict = lambda i, text: (False, True, sum(text.encode()) % 2 == 0)[int(i) % 3]  # noqa: E731
        return [
            Completion(p, text, correct=verdict(p.id, text), n_tokens=n, truncated=t)
            for p, text, n, t in zip(problems, texts, n_tokens, truncated, strict=True)
        ]


def shaped(record, completion_ids, **kwargs):
    """Right or wrong plus something that differs between completions: all-wrong groups have spread in their reward."""
    return [c.correct + 0.01 * (sum(ids) % 7) for c, ids in zip(record, completion_ids, strict=True)]


def trainer(folder, tries, *, steps=3, rows=12, **kwargs):
    model, tokenizer = build_tiny(seed=3, hidden=64, layers=2)
    rollouts = kwargs.pop("rollouts", None)
    usual = {"save_strategy": "no", "per_device_train_batch_size": GROUP * PROMPTS}
    config = TrainConfig(
        output_dir=str(folder), num_generations=GROUP, max_steps=steps,
        max_completion_length=6, learning_rate=1e-3, bf16=False, use_cpu=True, lr_scheduler_type="constant",
        dynamic_sampling_tries=tries, **(usual | kwargs),
    )  # fmt: skip
    data = Dataset.from_list([{"prompt": p.prompt, "id": p.id} for p in list(PROBLEMS.values())[:rows]])
    return RLVRTrainer(
        model, args=config, train_dataset=data, processing_class=tokenizer, reward_funcs=[shaped],
        advantage=build("grpo"), problems=PROBLEMS, scorer=Parity(), rollouts=rollouts,
    )  # fmt: skip
