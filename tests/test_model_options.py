"""`revision` and `model_init_kwargs` reach every place that loads a model: training, warm-up, evaluation, reference."""

import json
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlvr
from rlvr.config.settings import EvalConfig, TrainConfig
from rlvr.core.errors import ModelError, SpecError
from rlvr.models.init_kwargs import foreign_kwargs, split_kwargs
from rlvr.models.load import build_tiny, load_model
from rlvr.training.supervised.warmup import warmup_settings

pytestmark = pytest.mark.usefixtures("cache")
RUN = (
    "train --config grpo tiny --model owner/name --max_steps 1 --eval_size 4 --eval_n 2 --train_size 16 --no_report "
    "--per_device_train_batch_size 16 --num_generations 4 --max_completion_length 8 --sft_batch_size 8"
)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub cache with one model at two revisions, main and v1, whose weights differ."""
    root = tmp_path / "hub"
    for seed, name in enumerate(("main", "v1")):
        model, tokenizer = build_tiny(seed=seed, hidden=64, layers=2)
        folder = root / "models--owner--name" / "snapshots" / (str(seed) * 40)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        ref = root / "models--owner--name" / "refs" / name
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(str(seed) * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    return root


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_a_revision_is_loaded(hub):
    for seed, revision in ((0, None), (1, "v1")):
        model, _ = load_model("owner/name", revision=revision)
        assert same(model, build_tiny(seed=seed, hidden=64, layers=2)[0])
    with pytest.raises(ModelError, match="owner/name"):
        load_model("owner/name", revision="v2")


@pytest.mark.parametrize("flags", [("--revision", "v1"), ("--model_init_kwargs", '{"revision": "v1"}')])
def test_an_adapter_remembers_the_revision_of_its_base(flags, hub, tmp_path, cli):
    ended = cli(RUN, "--sft_steps", 0, "--lora_rank", 2, *flags, "--output_dir", tmp_path / "run")
    assert ended.code == 0, ended.err
    said = json.loads((tmp_path / "run/model/adapter_config.json").read_text())
    assert (said["base_model_name_or_path"], said["revision"]) == ("owner/name", "v1")
    policy, _ = load_model(str(tmp_path / "run/model"))
    assert same(policy.unload(), build_tiny(seed=1, hidden=64, layers=2)[0])
    run = rlvr.Run(tmp_path / "run")
    assert rlvr.evaluate(run).record["problems"] == run.after.record["problems"]
    ended = cli(
        "evaluate owner/name --revision v1 --n 2 --size 4 --out", tmp_path / "v1.json", "--max_completion_length", 8
    )
    assert ended.code == 0, ended.err


def test_the_warm_up_and_the_reference_are_of_the_revision(hub, tmp_path):
    """The warm-up of another revision is another one; a KL term's reference is the policy's own start."""
    config = {"model": "owner/name", "sft_steps": 2, "use_cpu": True, "bf16": False}
    keys = {warmup_settings(TrainConfig(**config, revision=revision)).key() for revision in (None, "v1")}
    assert len(keys) == 2
    assert warmup_settings(TrainConfig(**config, model_init_kwargs={"revision": "v1"})).key() in keys
    settings = TrainConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, train_size=8, beta=0.1, revision="v1", model="owner/name",
        model_init_kwargs={"attention_dropout": 0.25},
    )  # fmt: skip
    trainer = rlvr.RLVRTrainer("owner/name", args=settings, data="arithmetic")
    assert same(trainer.ref_model, build_tiny(seed=1, hidden=64, layers=2)[0])
    assert trainer.model.config.attention_dropout == trainer.ref_model.config.attention_dropout == 0.25


def test_tiny_has_a_reference_without_a_warm_up(tmp_path):
    settings = TrainConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, train_size=8, beta=0.1, model="tiny")
    trainer = rlvr.RLVRTrainer("tiny", args=settings, data="arithmetic")
    assert same(trainer.ref_model, build_tiny()[0])


def test_a_changed_config_reaches_training_warm_up_and_evaluation(tmp_path, cli):
    flags = ("--model", "tiny", "--model_init_kwargs", '{"attention_dropout": 0.25, "rms_norm_eps": 0.001}')
    ended = cli(RUN, "--sft_steps", 2, *flags, "--output_dir", tmp_path / "run")
    assert ended.code == 0, ended.err
    saved = json.loads((tmp_path / "run/model/config.json").read_text())
    assert (saved["attention_dropout"], saved["rms_norm_eps"]) == (0.25, 0.001)
    warm = Path(rlvr.Run(tmp_path / "run").before.record["model"])
    assert json.loads((warm / "config.json").read_text())["rms_norm_eps"] == 0.001
    assert rlvr.Run(tmp_path / "run").config["model_init_kwargs"] == {"attention_dropout": 0.25, "rms_norm_eps": 0.001}
    changed = rlvr.evaluate("tiny", n=1, size=2, max_completion_length=8, model_init_kwargs={"rms_norm_eps": 10.0})
    plain = rlvr.evaluate("tiny", n=1, size=2, max_completion_length=8)
    logps = [[s["logp"] for p in e.record["problems"] for s in p["samples"]] for e in (plain, changed)]
    assert logps[0] != logps[1]
    assert EvalConfig(model_init_kwargs="{rms_norm_eps: 0.1}").model_init_kwargs == {"rms_norm_eps": 0.1}


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ('{"dtype": "bfloat16"}', "Give --base_dtype bfloat16"),
        ('{"torch_dtype": "bfloat16"}', "Give --base_dtype bfloat16"),
        ('{"load_in_4bit": true}', "Give --quantize nf4"),
        ('{"attn_implementation": "eager"}', "Give --attn_implementation"),
        ('{"device_map": "auto"}', "Leave it out"),
        ('{"subfolder": "x"}', "Download the model first"),
        ("[1]", "model_init_kwargs must map names to values"),
    ],
)
def test_what_another_setting_does_is_refused(kwargs, said, tmp_path, cli):
    ended = cli(
        RUN, "--model", "tiny", "--sft_steps", 0, "--model_init_kwargs", kwargs, "--output_dir", tmp_path / "run"
    )
    assert ended.code == 2
    assert said in ended.err
    assert not (tmp_path / "run").exists()
    ended = cli("evaluate tiny --n 1 --size 2 --model_init_kwargs", kwargs, "--out", tmp_path / "e.json")
    assert ended.code == 2
    assert said in ended.err


def test_a_value_that_the_config_lacks_is_named(cli, tmp_path):
    ended = cli(
        "evaluate tiny --n 1 --size 2 --model_init_kwargs", "{attention_dropou: 0.1}", "--out", tmp_path / "e.json"
    )
    assert ended.code == 2
    assert "'attention_dropou'. Did you mean 'attention_dropout'?" in ended.err


@pytest.mark.parametrize("spec", ["tiny", "smollm2-135m-instruct", "."])
def test_a_revision_is_of_a_hub_model(spec):
    with pytest.raises(SpecError, match="is of a model on the hub"):
        split_kwargs(None, "v1", spec)
    with pytest.raises(SpecError, match="give one of them"):
        split_kwargs({"revision": "v2"}, "v1", "owner/name")


@given(st.dictionaries(st.sampled_from(["dtype", "device_map", "rms_norm_eps", "rope_scaling", "revision"]), st.text()))
def test_nothing_is_ignored(kwargs):
    """Whatever is asked for is refused, or comes back as the revision or a change of the config."""
    if foreign_kwargs(kwargs):
        with pytest.raises(SpecError):
            split_kwargs(kwargs, None, "owner/name")
    else:
        revision, changes = split_kwargs(kwargs, None, "owner/name")
        assert {**changes, **({"revision": revision} if "revision" in kwargs else {})} == kwargs
