"""Each architecture is sampled from, trained and measured by the product's own path, with transformers as the judge."""

import pytest
import torch
from datasets import Dataset

import rlvr
from rlvr.config.settings import TrainConfig
from rlvr.core.errors import ModelError
from rlvr.models.load import tiny_tokenizer
from rlvr.models.sampling import Engine, Sampling, Steered
from rlvr.training.trainer import RLVRTrainer
from tests.architectures import FAST, GENERATE, PACKED, SETTINGS, random_model
from tests.greedy import PROMPTS, reference

ALL = pytest.mark.parametrize("kind", SETTINGS)
PATHS = {kind: "fast" if kind in FAST else "generate" if kind in GENERATE else "general" for kind in SETTINGS}


def log_probs(model, prompt, ids, temperature=1.0):
    """Return what the model's own forward says of `ids` after a prompt, read whole and alone."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].float()
    return (logits / temperature).log_softmax(-1)[range(len(ids)), ids]


@ALL
def test_greedy_tokens_are_those_of_generate_and_samples_have_the_models_log_probabilities(kind):
    model = random_model(kind)
    ends = [2, reference(model, PROMPTS[:1], 4, [2])[0][-1]]
    expected = reference(model, PROMPTS, 16, ends)
    assert len(expected[0]) <= 4 and len(set(map(len, expected))) > 1  # some rows end before others
    engine = Engine(model, ends, 0, max_rows=8)
    for size in (1, 3):
        assert engine.generate(PROMPTS, size, Sampling(16, 0.0), 0).ids == [
            ids for ids in expected for _ in range(size)
        ]
    assert engine.path == PATHS[kind]
    drawn = engine.generate(PROMPTS, 4, Sampling(16, 0.8), 5)
    for row, (ids, logps) in enumerate(zip(drawn.ids, drawn.logps, strict=True)):
        torch.testing.assert_close(
            torch.tensor(logps), log_probs(model, PROMPTS[row // 4], ids, 0.8), atol=1e-4, rtol=0
        )


@ALL
def test_a_row_is_the_same_by_every_path_in_every_batch_and_ends_where_its_context_does(kind):
    """So a run that is resumed samples what it would have sampled, and engines are compared under one noise."""
    model, sampling = random_model(kind), Sampling(12)
    whole = Engine(model, [2], 0).generate(PROMPTS, 4, sampling, 7)
    assert Engine(model, [2], 0, by_generate=True).generate(PROMPTS, 4, sampling, 7).ids == whole.ids
    assert Engine(model, [2], 0, max_rows=4).generate(PROMPTS[2:], 4, sampling, 7, first_row=8).ids == whole.ids[8:]
    assert Engine(model, [2], 0).generate(PROMPTS, 4, sampling, 8).ids != whole.ids
    model.config.max_position_embeddings = 10  # of one prompt 4 tokens are left, of the others more
    lengths = [len(ids) for ids in Engine(model, [10**6], 0).generate(PROMPTS, 2, sampling, 7).ids]
    assert lengths == [7, 7, 9, 9, 4, 4, 8, 8]


@ALL
def test_trained_and_measured(kind, tmp_path, cache):
    """Two updates on rewards that differ; what training scores is what the model's own forward says."""
    model, tokenizer = random_model(kind), tiny_tokenizer()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    config = TrainConfig(
        output_dir=str(tmp_path / "out"), per_device_train_batch_size=8, num_generations=4, max_completion_length=6,
        max_steps=2, learning_rate=1e-3, advantage="dr_grpo", save_strategy="no", use_cpu=True, bf16=False,
    )  # fmt: skip
    trainer = RLVRTrainer(
        model,
        args=config,
        reward_funcs=[lambda completion_ids, **kwargs: [float(sum(ids) % 3) for ids in completion_ids]],
        train_dataset=Dataset.from_list([{"prompt": f"{i}+{i}="} for i in range(8)]),
        processing_class=tokenizer,
    )
    assert trainer.forward.packed == (kind in PACKED)
    trainer.train()
    assert trainer.engine_sampling.engine.path == PATHS[kind]
    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert len(moved) > len(before) / 2
    assert all(torch.isfinite(p).all() for p in model.parameters())

    prompts, completions = [[5, 6, 7, 8], [5, 6, 7, 8], [9, 10]], [[11, 12, 13], [14], [15, 16]]
    ids = torch.tensor([[5, 6, 7, 8, 11, 12, 13], [5, 6, 7, 8, 14, 0, 0], [0, 0, 9, 10, 15, 16, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        scored, _ = trainer.forward.score(model.eval(), ids, mask, 3)
    for row, prompt, completion in zip(scored, prompts, completions, strict=True):
        torch.testing.assert_close(row[: len(completion)], log_probs(model, prompt, completion), atol=1e-4, rtol=0)

    folder = tmp_path / "model"
    trainer.save_model(str(folder))
    tokenizer.save_pretrained(folder)
    asked = {"data": "arithmetic(levels=[0])", "n": 2, "size": 3, "max_completion_length": 8, "dtype": "float32"}
    ours, theirs = (rlvr.evaluate(str(folder), **asked, engine=engine) for engine in ("rlvr", "transformers"))
    assert ours.texts["text"].tolist() == theirs.texts["text"].tolist()
    assert len(set(ours.texts["text"])) > 1


@pytest.mark.parametrize("kind", ["lfm2", "gemma3_text", "qwen3_moe"])
def test_a_copy_in_low_precision_samples(kind):
    model = random_model(kind)
    drawn = Engine(model, [2], 0, dtype=torch.bfloat16).generate(PROMPTS, 4, Sampling(8), 3)
    assert model.dtype == torch.float32
    for row, (ids, logps) in enumerate(zip(drawn.ids, drawn.logps, strict=True)):
        assert (torch.tensor(logps) - log_probs(model, PROMPTS[row // 4], ids)).abs().mean() < 0.05


def test_a_whole_run_of_a_hybrid_says_what_it_falls_back_to(tmp_path, cache, capsys):
    random_model("lfm2").save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    run = rlvr.train(
        str(tmp_path / "model"), "arithmetic(levels=[0])", advantage="nsr", config="tiny", sft_steps=0, max_steps=1,
        train_size=8, per_device_train_batch_size=8, num_generations=4, max_completion_length=8, eval_size=2, eval_n=2,
        output_dir=str(tmp_path / "run"),
    )  # fmt: skip
    said = capsys.readouterr().err
    assert "training reads each prompt with every completion: lfm2 has other layers than full SDPA" in said
    assert "sampling with transformers' own forward: model type 'lfm2'" in said
    assert len(run.metrics) == 1 and run.model.is_dir()


def test_a_cache_that_is_not_read_is_not_trusted(capsys):
    """A model that forgets its cache, silently, is left to transformers' generate; so is one that fails with it."""
    model = random_model("olmo2")
    whole = model.forward

    def forgetful(*args, past_key_values=None, **kwargs):
        return whole(*args, **kwargs)

    model.forward = forgetful
    engine = Engine(model, [2], 0)
    engine.generate(PROMPTS, 2, Sampling(4), 0)
    assert engine.path == "generate"
    assert (
        "sampling with transformers' own generate: the logits of reading with a cache are off"
        in capsys.readouterr().err
    )

    def fails(*args, past_key_values=None, **kwargs):
        if past_key_values is not None:
            raise TypeError("no cache today")
        return whole(*args, **kwargs)

    model.forward = fails
    with pytest.raises(TypeError, match="no cache today"):  # generate has no other way either
        Engine(model, [2], 0).generate(PROMPTS, 2, Sampling(4), 0)
    assert "reading with a cache fails (TypeError: no cache today)" in capsys.readouterr().err


def test_a_model_without_such_a_cache_cannot_steer():
    small = random_model("mamba2")
    engine = Engine(Steered(random_model("llama"), small, small), [2], 0)
    with pytest.raises(ModelError, match="Mamba2ForCausalLM keeps no cache that three models could read in step"):
        engine.generate(PROMPTS, 1, Sampling(2), 0)
