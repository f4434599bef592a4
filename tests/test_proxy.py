"""Proxy-tuning: the identities of the paper, the engine against a loop without caches, the processor against the engine."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models
from transformers import Gemma2Config, Gemma2ForCausalLM, LogitsProcessorList, PreTrainedTokenizerFast

from rlvr.core.errors import ModelError, SpecError
from rlvr.measure.evaluate import make_engine
from rlvr.models.chat import encode
from rlvr.models.load import build_tiny, tiny_tokenizer
from rlvr.models.sampling import Engine, Sampling, Steered
from rlvr.models.sampling.proxy import ProxyTuning, check_same_vocabulary, load_policy
from rlvr.models.sampling.sampler import truncate
from rlvr.models.sampling.steered import steer

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14], [15, 16]]
EOS = list(range(3, 13))  # some rows end early
GREEDY = Sampling(20, 0.0)


def sharp(seed, hidden=64, layers=2):
    """A random model whose logits differ enough that rounding decides nothing."""
    model, _ = build_tiny(seed, hidden, layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model.eval()


@pytest.fixture(scope="module")
def trio():
    """A base of another size than the pair."""
    return sharp(1, hidden=96, layers=3), sharp(2), sharp(3)


def naive(base, expert, antiexpert, alpha, prompt, tokens, expert_prompt=None):
    """Greedy ids and their log-probabilities from whole forwards, no cache, one row."""
    ids, logps = [], []
    while len(ids) < tokens and not (ids and ids[-1] in EOS):
        starts = (prompt, expert_prompt or prompt, prompt)
        with torch.no_grad():
            last = [
                model(torch.tensor([[*start, *ids]])).logits[0, -1]
                for model, start in zip((base, expert, antiexpert), starts, strict=True)
            ]
        logits = last[0] + alpha * (last[1] - last[2])
        ids.append(int(logits.argmax()))
        logps.append(float(logits.log_softmax(-1)[ids[-1]]))
    return ids, logps


def with_processor(base, prompts, processor, **kwargs):
    """What transformers' generate gives on left-padded prompts, cut after the first end token."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    settings = {"do_sample": False, "max_new_tokens": 20, "eos_token_id": EOS, "pad_token_id": 0} | kwargs
    out = base.generate(
        ids, attention_mask=(ids != 0).long(), logits_processor=LogitsProcessorList([processor]), **settings
    )
    rows = out[:, width:].tolist()
    return [row[: next((i + 1 for i, t in enumerate(row) if t in EOS), len(row))] for row in rows]


# ---------------------------------------------------------------- the formula

logits = arrays("float32", (2, 5), elements=st.floats(-30, 30, width=32)).map(torch.from_numpy)


@given(logits, logits, logits, st.floats(-2, 2))
def test_identities_of_the_formula(a, b, c, alpha):
    assert torch.equal(steer(a, b, c, 0.0), a)
    assert torch.equal(steer(a, b, b, alpha), a)
    torch.testing.assert_close(steer(a, b, a, 1.0), b, atol=1e-5, rtol=0)
    torch.testing.assert_close(steer(a, b, c, alpha), a * 1.0 + alpha * b - alpha * c, atol=1e-4, rtol=0)


def test_by_hand_and_padding_is_cut_off():
    base, expert, anti = (
        torch.tensor([[1.0, 2.0, 9.0]]),
        torch.tensor([[3.0, 0.0]]),
        torch.tensor([[1.0, 1.0, 7.0, 7.0]]),
    )
    # 1 + 0.5 (3 - 1) = 2;  2 + 0.5 (0 - 1) = 1.5; the third column has no expert
    assert steer(base, expert, anti, 0.5).tolist() == [[2.0, 1.5]]
    assert steer(base.bfloat16(), expert.bfloat16(), anti.bfloat16(), 0.5).dtype == torch.float32


@pytest.mark.parametrize("alpha", [float("nan"), float("inf")])
def test_alpha_must_be_a_number(trio, alpha):
    with pytest.raises(SpecError, match="alpha must be a finite number"):
        Steered(*trio, alpha)
    with pytest.raises(SpecError, match="alpha must be a finite number"):
        ProxyTuning(*trio[1:], alpha)


# ---------------------------------------------------------------- the engine


@pytest.mark.parametrize("fast", [True, False])
def test_identities_in_the_engine(trio, fast):
    base, expert, anti = trio

    def run(policy, sampling=GREEDY):
        return Engine(policy, EOS, 0, fast=fast).generate(PROMPTS, 2, sampling, seed=3)

    plain, tuned = run(base), run(expert)
    assert plain.ids != tuned.ids
    for steered, same in (
        (Steered(base, expert, anti, 0.0), plain),
        (Steered(base, expert, expert, 1.7), plain),
        (Steered(base, expert, base, 1.0), tuned),
    ):
        got = run(steered)
        assert got.ids == same.ids
        for a, b in zip(got.logps, same.logps, strict=True):
            assert a == pytest.approx(b, abs=1e-4)
    noisy = Sampling(20, 0.8, 0.9)  # the same noise, so the same samples
    assert run(Steered(base, expert, anti, 0.0), noisy).ids == run(base, noisy).ids


@pytest.mark.parametrize("fast", [True, False])
def test_engine_equals_whole_forwards(trio, fast):
    engine = Engine(Steered(*trio, 1.3), EOS, 0, fast=fast)
    got = engine.generate(PROMPTS, 1, GREEDY, seed=0)
    assert engine.path == ("fast" if fast else "general")
    for prompt, ids, logps in zip(PROMPTS, got.ids, got.logps, strict=True):
        want, want_logps = naive(*trio, 1.3, prompt, 20)
        assert ids == want
        assert logps == pytest.approx(want_logps, abs=1e-4)
    assert len(set(map(len, got.ids))) > 1


def test_reported_log_probabilities_are_of_the_steered_model_before_top_p(trio):
    samples = Engine(Steered(*trio, 0.7), EOS, 0).generate(PROMPTS, 3, Sampling(10, 0.8, top_p=0.9), seed=4)
    for i, (ids, logps) in enumerate(zip(samples.ids, samples.logps, strict=True)):
        prompt = PROMPTS[i // 3]
        with torch.no_grad():
            base, expert, anti = (m(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1] for m in trio)
        want = ((base + 0.7 * (expert - anti)) / 0.8).log_softmax(-1)[range(len(ids)), ids]
        assert logps == pytest.approx(want.tolist(), abs=1e-4)


def test_all_three_caches_follow_when_rows_move(trio):
    prompts = [[3 + i, 40 + i][: 1 + i % 2] * (1 + i % 5) for i in range(40)]
    wide, narrow, general = (
        Engine(Steered(*trio), EOS, 0, max_rows=rows, fast=fast).generate(prompts, 2, Sampling(24, 0.0), seed=2)
        for rows, fast in ((256, True), (6, True), (6, False))
    )
    assert wide.ids == narrow.ids == general.ids
    assert len(set(map(len, wide.ids))) > 5


def test_the_expert_may_read_another_prompt(trio):
    steered = Steered(*trio, 1.0, expert_prompt=lambda prompt: [40, *prompt, 41, 42])
    got = Engine(steered, EOS, 0).generate(PROMPTS, 1, GREEDY, seed=0)
    assert got.ids == [naive(*trio, 1.0, p, 20, [40, *p, 41, 42])[0] for p in PROMPTS]
    assert got.ids != Engine(Steered(*trio), EOS, 0).generate(PROMPTS, 1, GREEDY, seed=0).ids


def test_the_shortest_context_counts(trio):
    base, *pair = trio
    long = [3] * 508
    steered = Steered(base, *pair, expert_prompt=lambda prompt: [4, *prompt])
    assert [len(i) for i in Engine(steered, [10**6], 0).generate([long], 1, Sampling(9, 0.0), 0).ids] == [3]
    with pytest.raises(ModelError, match="Prompt 0 has 512 tokens"):
        Engine(steered, [10**6], 0).generate([[3] * 511], 1, GREEDY, 0)


# ---------------------------------------------------------------- the processor, against the engine


@pytest.mark.parametrize("alpha", [0.0, 1.0, 1.6])
def test_processor_and_engine_agree(trio, alpha):
    base, expert, anti = trio
    engine = Engine(Steered(*trio, alpha), EOS, 0).generate(PROMPTS, 1, GREEDY, seed=0).ids
    processor = ProxyTuning(expert, anti, alpha, pad_id=0)
    assert with_processor(base, PROMPTS, processor) == engine
    assert with_processor(base, PROMPTS[:2], processor) == engine[:2]  # a second call starts anew
    assert with_processor(base, PROMPTS[:1], ProxyTuning(expert, anti, alpha)) == engine[:1]


def test_identities_of_the_processor_with_beams(trio):
    """Beams change places, so the caches are read anew; base = anti-expert still is the expert, scores and all."""
    base, expert, anti = trio
    none = LogitsProcessorList()
    ids = torch.tensor([PROMPTS[2]])
    settings = {"num_beams": 3, "do_sample": False, "max_new_tokens": 8, "eos_token_id": 10**6, "pad_token_id": 0}
    want = expert.generate(ids, logits_processor=none, **settings)
    assert torch.equal(base.generate(ids, logits_processor=[ProxyTuning(expert, base)], **settings), want)
    plain = base.generate(ids, logits_processor=none, **settings)
    assert torch.equal(base.generate(ids, logits_processor=[ProxyTuning(expert, expert, 2.0)], **settings), plain)
    assert torch.equal(base.generate(ids, logits_processor=[ProxyTuning(expert, anti, 0.0)], **settings), plain)
    assert not torch.equal(want, plain)


def test_the_processor_comes_before_temperature_and_top_k(trio):
    base, expert, anti = trio
    ids = torch.tensor([PROMPTS[0]])
    out = base.generate(
        ids, logits_processor=[ProxyTuning(expert, anti, 1.5)], do_sample=True, temperature=0.5, top_k=4, top_p=1.0,
        max_new_tokens=1, output_scores=True, return_dict_in_generate=True, pad_token_id=0,
    )  # fmt: skip
    with torch.no_grad():
        b, e, a = (m(ids).logits[:, -1] for m in trio)
    want = truncate(steer(b, e, a, 1.5) / 0.5, top_k=4).softmax(-1)
    torch.testing.assert_close(out.scores[0].softmax(-1), want, atol=1e-5, rtol=0)


def test_another_architecture_with_a_padded_vocabulary_and_an_adapter(trio, caplog):
    """A gemma2 pair (general path, 300 logits) steers a base of the fast path (267 logits); the expert is a LoRA."""
    base = trio[0]
    torch.manual_seed(5)
    config = Gemma2Config(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, sliding_window=8, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    anti = Gemma2ForCausalLM(config).eval()
    same = Gemma2ForCausalLM(config).eval()
    same.load_state_dict(anti.state_dict())
    expert = get_peft_model(same, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).eval()
    engine = Engine(Steered(base, expert, anti, 20.0), EOS, 0, max_rows=2)
    got = engine.generate(PROMPTS, 1, GREEDY, seed=0).ids
    assert engine.path == "general"
    assert engine.context == 64
    assert got == with_processor(base, PROMPTS, ProxyTuning(expert, anti, 20.0, pad_id=0))
    assert got != Engine(base, EOS, 0).generate(PROMPTS, 1, GREEDY, seed=0).ids


# ---------------------------------------------------------------- vocabularies, loading, the commands


def words(*tokens):
    vocab = {token: i for i, token in enumerate(tokens)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocab, unk_token=tokens[0])))


def test_vocabularies_must_match():
    check_same_vocabulary(words("?", "a", "b"), words("?", "a", "b", "extra"))  # cut off, as in the paper's code
    with pytest.raises(
        ModelError, match=r"'small' has another than the base: the base has 'a' at id 1, 'small' has it at 2 \(2 of 3"
    ):
        check_same_vocabulary(words("?", "a", "b"), words("?", "b", "a"), "small")
    with pytest.raises(ModelError, match=r"the base has 'b' at id 2, 'small' does not have it \(1 of 3"):
        check_same_vocabulary(words("?", "a", "b"), words("?", "a", "c"), "small")


@pytest.fixture(scope="module")
def folders(trio, tmp_path_factory):
    """The three as folders, and one with another tokenizer."""
    root, tokenizer = tmp_path_factory.mktemp("models"), tiny_tokenizer()
    for name, model in zip(("base", "expert", "anti"), trio, strict=True):
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    trio[1].save_pretrained(root / "foreign")
    words("?", "a", "b").save_pretrained(root / "foreign")
    return root


def test_load_policy(folders, trio):
    base, expert, anti, foreign = (str(folders / name) for name in ("base", "expert", "anti", "foreign"))
    policy, tokenizer = load_policy(base, expert, anti, (0.5, 1.0))
    assert isinstance(policy, Steered)
    assert policy.alpha == 0.5
    assert torch.equal(policy.expert.model.norm.weight, trio[1].model.norm.weight)
    prompt = encode(tokenizer, [[{"role": "user", "content": "7 + 5"}]])
    assert make_engine(policy, tokenizer).eos_ids == [tokenizer.eos_token_id]
    same, _ = load_policy(base, base, base)
    assert same.base is same.expert is same.antiexpert  # loaded once
    assert (
        make_engine(same, tokenizer).generate(prompt, 1, GREEDY, 0).ids
        == make_engine(load_policy(base)[0], tokenizer).generate(prompt, 1, GREEDY, 0).ids
    )
    with pytest.raises(ModelError, match="foreign' has another than the base"):
        load_policy(base, foreign, anti)
    with pytest.raises(ModelError, match="Neither .* nor .* has a chat template"):
        load_policy(foreign, foreign, foreign)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--expert", "tiny"], "--expert needs --antiexpert too"),
        (["--antiexpert", "tiny"], "--antiexpert needs --expert too"),
        (["--expert", "tiny", "--antiexpert", "tiyn"], "Did you mean 'tiny'"),
        (["--expert", "tiny", "--antiexpert", "tiny", "--alpha", "nan"], "alpha must be a finite number"),
        (["--temperature", "-1"], "temperature must be 0 (greedy) or more"),
        (["--top_p", "0"], "top_p must lie in (0, 1]"),
        (["--n", "0"], "n must be at least 1"),
        (["--raw", "--system_prompt", "Be brief."], "Leave one of them out"),
    ],
)
def test_decode_refuses_before_it_loads(flags, message, monkeypatch, cli):
    monkeypatch.setattr("rlvr.models.sampling.proxy.load_model", lambda *a, **k: pytest.fail("a model was loaded"))
    done = cli("decode --base tiny", *flags, "2 + 2")
    assert done.code == 2
    assert message in done.err


def test_decode_prints_what_the_engine_samples(folders, cli):
    spec = {name: str(folders / name) for name in ("base", "expert", "anti")}
    flags = ["--base", spec["base"], "--max_completion_length", "12"]
    pair = ["--expert", spec["expert"], "--antiexpert", spec["anti"]]

    def run(*more):
        done = cli("decode", *flags, *more, "2 + 2")
        assert done.code == 0
        return done.out

    plain = run()
    assert run(*pair, "--alpha", "0") == plain
    assert run(*pair) != plain
    assert run(*pair, "--raw") != run(*pair)
    assert run("--expert", spec["expert"], "--antiexpert", spec["base"]) == run("--base", spec["expert"])
    assert len(run(*pair, "--n", "3", "--temperature", "1").splitlines()) >= 3


def test_evaluate_takes_the_same_flags(folders, tmp_path, cli):
    base, expert, anti = (str(folders / name) for name in ("base", "expert", "anti"))
    common = ["--set", "arithmetic(levels=[0])", "--size", "3", "--n", "2", "--max_completion_length", "8"]
    pair = ["--expert", expert, "--antiexpert", anti]
    done = cli("evaluate", base, *common, "--out", tmp_path / "plain.json")
    assert done.code == 0
    done = cli("evaluate", base, *pair, "--alpha", "0", "1", *common, "--out", tmp_path / "proxy.json")
    assert done.code == 0
    assert "alpha  pass@1" in done.out
    plain, none, full = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "proxy-alpha0", "proxy-alpha1")
    )
    assert none["problems"] == plain["problems"] != full["problems"]
    assert full["proxy"] == {"expert": expert, "antiexpert": anti, "alpha": 1.0}
    assert full["model"] == f"{base} + 1 ({expert} - {anti})"
    assert "proxy" not in plain
    done = cli("evaluate", base, "--expert", expert, *common)
    assert done.code == 2
    assert "--expert needs --antiexpert too" in done.err
