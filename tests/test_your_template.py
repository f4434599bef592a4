"""Models with a chat template of another making: how their turns end, who has none, who takes no system message."""

import re

import pytest
from datasets import Dataset
from transformers import AutoTokenizer

import rlvr
from rlvr.commands.main import main
from rlvr.config.settings import EvalConfig, TrainConfig, parse_config
from rlvr.core.errors import ModelError, SpecError
from rlvr.measure.sample import make_engine, make_generate_engine
from rlvr.models.chat import encode
from rlvr.models.chat_template import end_of_turn, with_chat_template
from rlvr.models.load import eos_ids, load_model, tiny_tokenizer
from rlvr.models.sampling import Sampling
from rlvr.planning.cost.from_config import resolve_job
from rlvr.training.supervised.warmup import Warmup, as_sampled, warmup, warmup_settings
from rlvr.training.trainer import RLVRTrainer
from tests.qwen_like import template
from tests.small_models import taught
from tests.trainers import reward_even

CHAT = [[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]]
ENDS = {
    "qwen2_5": "<|im_end|>", "qwen3": "<|im_end|>", "qwen3_5_think": "<|im_end|>", "lfm2": "<|im_end|>",
    "llama3": "<|eot_id|>", "llama3_2": "<|eot_id|>", "gemma": "<end_of_turn>", "gemma3": "<end_of_turn>",
    "phi3": "<|end|>", "cohere": "<|END_OF_TURN_TOKEN|>", "gptoss": "<|return|>", "glm4moe": "<|user|>",
    "deepseek_r1_distill": "<｜end▁of▁sentence｜>", "nemotron_3_nano": "<|im_end|>",
}  # fmt: skip


def tokenizer_like(name: str | None):
    """Return the tokenizer of `tiny` with a real template and the marks in it; a text ends with <|endoftext|>."""
    text = "" if name is None else template(name)
    marks = set(re.findall(r"<[|｜][A-Za-z_▁]+[|｜]>|<\w+_of_turn>", text)) | ({ENDS[name]} if name else set())
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": sorted(marks), "eos_token": "<|endoftext|>"})
    tokenizer.chat_template = text or None
    return tokenizer


def save_like(folder, name: str | None) -> str:
    from tests.architectures import random_model

    tokenizer, model = tokenizer_like(name), random_model("llama")
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.generation_config.eos_token_id = model.config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


# ---------------------------------------------------------------------- how a turn ends


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_turn_is_read_from_the_template(name):
    tokenizer = tokenizer_like(name)
    assert tokenizer.decode(end_of_turn(tokenizer)) == ENDS[name]


def test_a_template_whose_turns_no_token_ends_has_no_end_of_turn():
    tokenizer = tiny_tokenizer()
    for text in ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "{{ nothing.at.all }}", "no messages", None,
                 "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}</answer>\n{% endfor %}"):  # fmt: skip
        tokenizer.chat_template = text
        assert end_of_turn(tokenizer) is None


def test_a_qwen_like_base_stops_at_its_turns_end_wherever_it_samples(tmp_path, cache):
    """Its eos is <|endoftext|>: it never stopped at <|im_end|>, and ran into the limit after every warm-up."""
    model, tokenizer = load_model(save_like(tmp_path / "base", "qwen2_5"))
    turn = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert eos_ids(model, tokenizer) == sorted([turn, tokenizer.eos_token_id])
    assert model.generation_config.eos_token_id == [tokenizer.eos_token_id, turn]
    tokenizer.eos_token = "<|im_end|>"  # what the lines are taught to end with
    model = taught(model, tokenizer, [("2 + 2?", "4"), ("3 + 3?", "6")])
    tokenizer.eos_token = "<|endoftext|>"
    (prompt,) = encode(tokenizer, [[{"role": "user", "content": "2 + 2?"}]])
    for engine in (make_engine(model, tokenizer), make_generate_engine(model, tokenizer)):
        assert engine.generate([prompt], 1, Sampling(16, 0.0), 0).ids == [[*tokenizer("4").input_ids, turn]]
    trainer = RLVRTrainer(
        model,
        args=TrainConfig(output_dir=str(tmp_path / "out"), use_cpu=True, max_completion_length=8),
        reward_funcs=[reward_even],
        train_dataset=Dataset.from_list([{"prompt": "2 + 2?"}] * 8),
        processing_class=tokenizer,
    )
    assert set(trainer.eos_token_ids) == {turn, tokenizer.eos_token_id}


def test_a_warmed_up_base_is_not_cut_off(tmp_path, cache):
    save_like(tmp_path / "base", "qwen2_5")
    settings = Warmup(
        str(tmp_path / "base"), "arithmetic(levels=[0])", steps=30, learning_rate=1e-2, tags=("answer",), bf16=False,
        system_prompt="", batch_size=8, use_cpu=True,
    )  # fmt: skip
    found = rlvr.evaluate(
        str(warmup(settings)), settings.data, n=4, size=6, max_completion_length=48, tags=["answer"], system_prompt=""
    )
    assert sum(s["truncated"] for p in found.contents["problems"] for s in p["samples"]) <= 4  # of 24
    model, tokenizer = load_model(str(warmup(settings)))
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in model.generation_config.eos_token_id  # servers read it


# ---------------------------------------------------------------------- what the warm-up teaches


def warm_up_rows(*replies):
    chat = [{"role": "user", "content": "2 + 2?"}]
    return Dataset.from_list(
        [{"prompt": chat, "completion": [{"role": "assistant", "content": reply}]} for reply in replies]
    )


def taught_texts(rows, tokenizer):
    return [
        tokenizer.decode([i for i, kept in zip(row["input_ids"], row["completion_mask"], strict=True) if kept])
        for row in rows
    ]


def test_the_reasoning_that_a_distills_template_drops_is_taught():
    """In any row: the template renders the first one whole, and nothing of the second before </think>."""
    tokenizer = tokenizer_like("deepseek_r1_distill")
    replies = ["<think>2 and 2 are 4.</think>So 4.", "Four.</think>4"]
    rows = as_sampled(warm_up_rows(*replies), tokenizer, None)
    assert taught_texts(rows, tokenizer) == [
        "2 and 2 are 4.</think>So 4.<｜end▁of▁sentence｜>",  # the prompt has opened <think> already
        "Four.</think>4<｜end▁of▁sentence｜>",
    ]
    (prompt,) = encode(tokenizer, [rows_chat := warm_up_rows("")[0]["prompt"]])
    assert rows_chat and all(row["input_ids"][: len(prompt)] == prompt for row in rows)
    whole = tokenizer.apply_chat_template([*rows_chat, {"role": "assistant", "content": replies[1]}], tokenize=False)
    assert "Four" not in whole  # which is why


def test_a_reply_after_which_the_template_writes_nothing_is_taught_to_end():
    tokenizer = tokenizer_like("glm4moe")
    rows = as_sampled(warm_up_rows("4", "It is 4."), tokenizer, None)
    assert taught_texts(rows, tokenizer) == ["4<|user|>", "It is 4.<|user|>"]
    rows = as_sampled(warm_up_rows("4"), tokenizer_like("qwen2_5"), None)
    assert rows.column_names == ["prompt", "completion"]  # the template says all of it


# ---------------------------------------------------------------------- a model without a template


def test_the_error_names_the_option_and_chatml_is_one(tmp_path, cache, capsys):
    base = save_like(tmp_path / "base", None)
    asked = ["--set", "arithmetic(levels=[0])", "--size", "2", "--n", "2", "--max_completion_length", "4"]
    assert main(["evaluate", base, *asked, "--out", str(tmp_path / "out.json")]) == 2
    assert "has no chat template, and rlvr's prompts are chat messages. Give one: --chat_template chatml" in (
        capsys.readouterr().err
    )
    assert main(["evaluate", base, *asked, "--chat_template", "chatml", "--out", str(tmp_path / "out.json")]) == 0
    assert main(["decode", "--base", base, "--chat_template", "chatml", "--max_completion_length", "2", "2 + 2?"]) == 0
    with pytest.raises(ModelError, match="no chat template"):
        load_model(base)
    (ids,) = encode(tokenizer := load_model(base, chat_template="chatml")[1], CHAT)
    assert tokenizer.decode(ids) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    )
    with pytest.raises(SpecError, match="the server writes the prompts"):
        rlvr.evaluate("name", "arithmetic", endpoint="http://localhost:1/v1", chat_template="chatml")


def test_chatml_ends_a_turn_with_what_the_tokenizer_knows(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    vocabulary = tokenizer.get_vocab
    tokenizer.get_vocab = lambda: {t: i for t, i in vocabulary().items() if t != "<|im_end|>"}
    tokenizer.eos_token = "<|pad|>"
    text = tokenizer.apply_chat_template(CHAT[0], tokenize=False, chat_template=with_chat_template(
        tokenizer, "x", "chatml").chat_template)  # fmt: skip
    assert text == "<|im_start|>system\nBe brief.<|pad|>\n<|im_start|>user\n2 + 2?<|pad|>\n"
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="knows neither <|im_end|> nor an end token"):
        with_chat_template(tokenizer, "x", "chatml")


def test_a_run_of_a_base_model_takes_the_file_in_every_part_and_saves_it(tmp_path, cache):
    base, file = save_like(tmp_path / "base", None), tmp_path / "turns.jinja"
    file.write_text(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    settings = {
        "data": "arithmetic(levels=[0])", "config": "tiny", "sft_steps": 2, "sft_batch_size": 4, "max_steps": 1,
        "train_size": 8, "eval_size": 2, "eval_n": 2, "per_device_train_batch_size": 8, "num_generations": 4,
        "max_completion_length": 8,
    }  # fmt: skip
    run = rlvr.train(base, **settings, chat_template=str(file), output_dir=str(tmp_path / "run"))
    assert AutoTokenizer.from_pretrained(run.model).chat_template == file.read_text()
    assert len(rlvr.evaluate(run, n=2, size=2)) == 2  # the saved model needs no option
    configs = [
        parse_config(TrainConfig, ["tiny"], ["--model", base, "--chat_template", name, "--sft_steps", "2"])
        for name in (str(file), "chatml")
    ]
    assert len({warmup_settings(config).key() for config in configs}) == 2
    assert len({resolve_job(config, 8.0)[1].prompt for config in configs}) == 2


def test_the_python_call_and_a_trainer_take_it_with_a_loaded_model(tmp_path, cache):
    model, _ = load_model(save_like(tmp_path / "base", None), needs_chat=False)
    tokenizer = tokenizer_like(None)
    settings = {"n": 1, "size": 2, "max_completion_length": 4}
    found = rlvr.evaluate(model, "arithmetic(levels=[0])", tokenizer=tokenizer, chat_template="chatml", **settings)
    assert len(found) == 2 and tokenizer.chat_template is None
    config = TrainConfig(
        output_dir=str(tmp_path / "out"), use_cpu=True, max_completion_length=8, chat_template="chatml"
    )
    trainer = RLVRTrainer(model, args=config, data="arithmetic(levels=[0])", processing_class=tokenizer)
    assert "<|im_start|>" in trainer.processing_class.chat_template


@pytest.mark.parametrize("kind", [TrainConfig, EvalConfig])
def test_what_is_no_template_is_refused_before_a_model_is_loaded(kind, tmp_path, cache):
    (tmp_path / "empty.jinja").write_text(" \n")
    (tmp_path / "broken.jinja").write_text("{% for m in messages %}")
    call = rlvr.train if kind is TrainConfig else rlvr.evaluate
    for name, why in {
        "chatlm": "chat_template must be 'chatml' or a text file",
        str(tmp_path / "empty.jinja"): "is an empty file",
        str(tmp_path): "chat_template must be 'chatml' or a text file",
    }.items():
        with pytest.raises(SpecError, match=why):
            call("no/such-model", "arithmetic(levels=[0])", chat_template=name)
    with pytest.raises(ModelError, match="cannot be rendered"):
        load_model("tiny", chat_template=str(tmp_path / "broken.jinja"))


# ---------------------------------------------------------------------- no place for a system message


def test_a_refused_system_message_goes_before_the_users_first_and_that_is_said_once(tmp_path, cache, capsys):
    folder = save_like(tmp_path / "gemma", "gemma")
    _, tokenizer = load_model(folder)
    (ids,) = encode(tokenizer, CHAT)
    assert tokenizer.decode(ids).endswith(
        "<start_of_turn>user\nBe brief.\n\n2 + 2?<end_of_turn>\n<start_of_turn>model\n"
    )
    several = [*CHAT[0], {"role": "assistant", "content": "4"}, {"role": "user", "content": "Sure?"}]
    assert tokenizer.decode(encode(tokenizer, [several])[0]).count("Be brief.") == 1
    assert tokenizer.decode(encode(tokenizer, [CHAT[0][:1]])[0]).count("Be brief.") == 1
    assert encode(tokenizer, [CHAT[0][1:]]) == encode(tokenizer_like("gemma"), [CHAT[0][1:]])
    warm = warmup(
        Warmup(folder, "arithmetic(levels=[0])", steps=2, batch_size=4, tags=("answer",), bf16=False, use_cpu=True)
    )
    assert load_model(str(warm))[1].chat_template == tokenizer.chat_template
    assert len(rlvr.evaluate(str(warm), "arithmetic(levels=[0])", n=2, size=2, max_completion_length=4)) == 2
    assert capsys.readouterr().err.count("takes no system message: it is put before the user's first one") == 1


def test_a_system_message_that_a_template_leaves_out_without_a_word_is_kept(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}<|im_end|>{% endfor %}"
    with_chat_template(tokenizer, "quiet")
    assert tokenizer.decode(encode(tokenizer, CHAT)[0]) == "Be brief.\n\n2 + 2?<|im_end|>"
    broken = tiny_tokenizer()
    broken.chat_template = "{{ raise_exception('never') }}"
    assert with_chat_template(broken, "broken").chat_template == "{{ raise_exception('never') }}"  # not ours to mend
