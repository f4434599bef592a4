"""`chat_template_kwargs` reach every prompt that a model reads: the same as a template with the value written into it."""

import pytest

from rlvr.commands.main import main
from rlvr.config.settings import EvalConfig, TrainConfig, parse_config
from rlvr.core.errors import SpecError
from rlvr.models.chat import encode
from rlvr.models.load import build_tiny, load_model
from rlvr.planning.cost.from_config import resolve_job
from rlvr.problems.sets import load_problems
from rlvr.runs.directory import RunDir, read_metrics
from rlvr.runs.eval_file import load_eval
from rlvr.runs.pass_rate import PassRate
from rlvr.training.supervised.calibrate import sample_slots
from rlvr.training.supervised.warmup import warmup, warmup_settings

STYLE = '{"style": "short"}'
FAST = [
    "--config", "tiny", "--sft_steps", "60", "--max_steps", "2", "--eval_size", "6", "--eval_n", "4", "--train_size", "16",
    "--per_device_train_batch_size", "16", "--num_generations", "4", "--profile_n", "2", "--max_completion_length", "16",
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same model twice: its template reads `style`, or has it written in."""
    root = tmp_path_factory.mktemp("models")
    model, tokenizer = build_tiny(seed=1, hidden=64, layers=2)
    plain = tokenizer.chat_template
    said = "Answer in few words."
    for name, start in {"reads": "{% if style == 'short' %}" + said + "{% endif %}", "written": said}.items():
        model.save_pretrained(root / name)
        tokenizer.chat_template = start + plain
        tokenizer.save_pretrained(root / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLVR_CACHE", str(root / "cache"))
        yield root


def test_encode_hands_them_to_the_template(folders):
    chats = [[{"role": "user", "content": "2 + 2?"}]]
    (_, reads), (_, written) = (load_model(str(folders / name)) for name in ("reads", "written"))
    assert encode(reads, chats, {"style": "short"}) == encode(written, chats) != encode(reads, chats)
    with pytest.raises(SpecError, match=r"sets \['tokenize'\], which rlvr itself decides"):
        encode(reads, chats, {"tokenize": False})


def test_a_whole_run_reads_the_same_prompts_in_warm_up_profile_training_and_both_evaluations(folders, tmp_path):
    runs = {}
    for name, flags in {"reads": ["--chat_template_kwargs", STYLE], "written": []}.items():
        runs[name] = RunDir(tmp_path / name)
        argv = ["--model", str(folders / name), *FAST, *flags, "--output_dir", str(tmp_path / name)]
        assert main(["train", *argv]) == 0
    reads, written = runs["reads"], runs["written"]
    for when in ("before", "after"):
        ours, theirs = (load_eval(next((run.path / "eval" / when).glob("*.json"))) for run in (reads, written))
        assert ours["problems"] == theirs["problems"], when
        assert ours["chat_template_kwargs"] == {"style": "short"} and "chat_template_kwargs" not in theirs
    assert PassRate.from_parquet(reads.difficulty) == PassRate.from_parquet(written.difficulty)
    for ours, theirs in zip(read_metrics(reads.metrics), read_metrics(written.metrics), strict=True):
        assert all(ours[key] == theirs[key] for key in ("loss", "grad_norm", "reward", "num_tokens"))
    assert (reads.model / "model.safetensors").read_bytes() == (written.model / "model.safetensors").read_bytes()


def test_rlvr_evaluate_takes_them_too_and_writes_them_down(folders, tmp_path):
    found = {}
    for name, flags in {"reads": ["--chat_template_kwargs", STYLE], "written": [], "neither": []}.items():
        out, model = tmp_path / f"{name}.json", folders / ("written" if name == "written" else "reads")
        argv = ["--size", "8", "--n", "2", "--max_completion_length", "8", "--out", str(out)]
        assert main(["evaluate", str(model), "--set", "arithmetic(levels=[0])", *argv, *flags]) == 0
        found[name] = load_eval(out)
    assert found["reads"]["problems"] == found["written"]["problems"] != found["neither"]["problems"]
    assert found["reads"]["chat_template_kwargs"] == {"style": "short"}


def test_the_plan_and_the_calibration_count_and_sample_these_prompts(folders):
    ours, theirs = (
        parse_config(TrainConfig, ["tiny"], ["--model", str(folders / name), *FAST[2:], *flags])
        for name, flags in {"reads": ["--chat_template_kwargs", STYLE], "written": []}.items()
    )
    assert resolve_job(ours, 8.0)[1] == resolve_job(theirs, 8.0)[1]
    slots = []
    for config in (ours, theirs):
        model, tokenizer = load_model(str(warmup(warmup_settings(config))))
        slots.append(sample_slots(model, tokenizer, load_problems(config.data, "train", 4, 0), config))
    assert slots[0] == slots[1]


def test_equal_models_under_other_templates_are_other_warm_ups(folders):
    """The template is part of what makes a warm-up, wherever it stands; without kwargs the key is as it was."""
    settings = [
        warmup_settings(parse_config(TrainConfig, ["tiny"], ["--model", str(folders / name), *flags]))
        for name, flags in (("reads", []), ("written", []), ("reads", ["--chat_template_kwargs", STYLE]))
    ]
    assert len({s.key() for s in settings}) == 3


@pytest.mark.parametrize("kind", [TrainConfig, EvalConfig])
@pytest.mark.parametrize("text", ["short", "[1]", "{1: 2}", "{"])
def test_what_is_no_mapping_is_refused(kind, text):
    with pytest.raises(SpecError, match="chat_template_kwargs must map names to values"):
        parse_config(kind, argv=["--chat_template_kwargs", text])


def test_yaml_will_do():
    assert parse_config(EvalConfig, argv=["--chat_template_kwargs", "{a: false}"]).chat_template_kwargs == {"a": False}
    assert parse_config(EvalConfig).chat_template_kwargs is None
