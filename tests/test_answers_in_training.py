"""Training reads completions as evaluation does: whole, and from where the prompt has opened the thinking."""

import pytest
from trl.chat_template_utils import add_response_schema

from rlvr.config.settings import TrainConfig
from rlvr.core.answer_format import AnswerFormat
from rlvr.measure.sample import Policy, make_engine, sample
from rlvr.models.load import load_model
from rlvr.models.sampling import Sampling
from rlvr.problems.scorer import Scorer
from rlvr.problems.sets import load_problems
from rlvr.problems.verifier import Verifier
from rlvr.training.trainer import RLVRTrainer
from tests.qwen_like import save_qwen_like

DATA = "arithmetic(levels=[0])"


class Watched(Scorer):
    """A scorer that keeps what it was asked."""

    def __call__(self, problems, texts, n_tokens, truncated, prompt_end=None):
        self.texts, self.prompt_end = list(texts), prompt_end
        return super().__call__(problems, texts, n_tokens, truncated, prompt_end)


class Trainer(RLVRTrainer):
    """A trainer that keeps the tokens it sampled, and what TRL makes of them."""

    def _generate_single_turn(self, *args, **kwargs):
        found = super()._generate_single_turn(*args, **kwargs)
        self.sampled = found[0]
        return found

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        self.trl_texts = [completion[0]["content"] for completion in completions]
        return super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_think"])
def test_training_and_evaluation_score_the_same_text(tmp_path, name):
    """A response_template makes TRL strip the reasoning; a template may open the thinking in the prompt."""
    model, tokenizer = load_model(save_qwen_like(tmp_path / "model", name))
    tokenizer = add_response_schema(tokenizer)
    problems = load_problems(DATA, "train", 4, 0)
    scorer = Watched("boxed", Verifier(DATA))
    config = TrainConfig(
        output_dir=str(tmp_path / "run"), answer_format="boxed", data=DATA, max_steps=1, num_generations=8,
        per_device_train_batch_size=32, max_completion_length=24, use_cpu=True, bf16=False, save_strategy="no",
    )  # fmt: skip
    rows = [{"prompt": p.prompt, "id": p.id} for p in problems]
    trainer = Trainer(
        model, args=config, processing_class=tokenizer, train_dataset=rows, scorer=scorer, advantage="nsr",
        problems={p.id: p for p in problems}, terms={"correct": 1.0},
    )  # fmt: skip
    trainer.train()
    decoded = [tokenizer.decode(ids, skip_special_tokens=True) for ids in trainer.sampled]
    assert scorer.texts == decoded
    assert trainer.trl_texts != decoded  # without our care these would be scored
    in_training = scorer.prompt_end if isinstance(scorer.prompt_end, str) else scorer.prompt_end[0]
    assert in_training.rstrip().endswith("<think>") == (name == "qwen3_5_think")

    measured = Watched("boxed", scorer.verifier)
    policy = Policy(make_engine(trainer.model, tokenizer), tokenizer)
    sample(policy, problems, measured, n=2, sampling=Sampling(24, 1.0), seed=0)
    assert measured.prompt_end == in_training
    scorer.verifier.close()


def test_the_trainer_takes_the_form_from_its_settings(tmp_path):
    config = TrainConfig(output_dir=str(tmp_path), answer_format="boxed", train_size=8, use_cpu=True, bf16=False)
    trainer = RLVRTrainer("tiny", args=config, data=DATA, terms={"correct": 1.0})
    assert trainer.scorer.answers == config.answers == AnswerFormat.of("boxed")
    assert "\\boxed{}" in trainer.train_dataset[0]["prompt"][0]["content"]
    trainer.scorer.verifier.close()
