"""`rlvr export RUN`: the policy as whole weights that plain transformers loads, with its card; to the hub, as GGUF."""

import json
import os
import shutil
import subprocess
import warnings

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer

import rlvr
from rlvr.core.errors import ModelError, RunError, SpecError
from rlvr.models import gguf
from rlvr.models.load import load_model
from rlvr.models.merge import load_merged
from rlvr.report.origin import origin
from tests.conftest import run_apart
from tests.fake_run import drawn_evaluation, write_run
from tests.hub_stand_in import serving_hub

pytestmark = pytest.mark.usefixtures("cache")
RUN = (
    "train --config grpo tiny --max_steps 1 --eval_size 12 --eval_n 2 --train_size 16 --no_report --sft_steps 2 "
    "--sft_batch_size 4 --per_device_train_batch_size 16 --num_generations 4 --max_completion_length 8 "
    "--rewards '{\"random_control\": 1}' --allow_hackable true --learning_rate 3e-2"
)
IDS = torch.tensor([[5, 60, 61, 62, 100, 7, 45, 200]])


@pytest.fixture(scope="module")
def runs(tmp_path_factory, cache):
    """A run that trained adapters on a warm-up, and one that trained all weights."""
    from rlvr.commands.main import main
    from tests.conftest import words

    folder = tmp_path_factory.mktemp("runs")
    for name, rank in (("lora", 4), ("full", 0)):
        assert main(words(RUN, "--lora_rank", rank, "--output_dir", folder / name)) == 0
    return folder


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits.float()


@pytest.mark.parametrize("name", ["lora", "full"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 5e-2), ("float16", 8e-3)])
def test_what_is_exported_is_the_policy_and_plain_transformers_loads_it(name, dtype, tolerance, runs, tmp_path, cli):
    ended = cli(f"export {runs / name} --merge --dtype {dtype} --out {tmp_path / 'x'}")
    assert ended.code == 0, ended.err
    assert ended.out.strip() == str(tmp_path / "x")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "x")
    assert (type(model).__name__, model.dtype) == ("LlamaForCausalLM", getattr(torch, dtype))
    policy, tokenizer = load_model(str(runs / name / "model"))
    want, found = logits(policy), logits(model)
    assert (found - want).abs().max() < tolerance * want.std()
    base, _ = load_model(rlvr.Run(runs / name).before.record["model"])
    assert (logits(base) - want).abs().max() > 0.1 * want.std()  # training moved it further than any rounding
    own = AutoTokenizer.from_pretrained(tmp_path / "x")
    chat = [{"role": "user", "content": "1+1="}]
    assert own.apply_chat_template(chat) == tokenizer.apply_chat_template(chat)
    assert own.chat_template == tokenizer.chat_template
    assert not list((tmp_path / "x").glob("adapter*"))


def test_rlvr_evaluates_the_folder_as_the_run(runs, tmp_path, cli):
    folder = rlvr.Run(runs / "lora").export(tmp_path / "x", merge=True, dtype="float32")
    again = rlvr.evaluate(
        str(folder), "arithmetic(levels=[0])", n=2, size=12, max_completion_length=8, system_prompt="", dtype="float32"
    )
    after = rlvr.Run(runs / "lora").after
    logps = [[s["logp"] for p in e.record["problems"] for s in p["samples"]] for e in (again, after)]
    assert logps[0] == pytest.approx(logps[1], abs=1e-3)  # the same completions: another one is nats away
    base = rlvr.Run(runs / "lora").before
    assert logps[1] != pytest.approx([s["logp"] for p in base.record["problems"] for s in p["samples"]], abs=1e-1)
    assert cli(f"evaluate {folder} --set arithmetic --n 1 --size 4 --out {tmp_path / 'e.json'}").code == 0


def test_the_card_has_the_numbers_the_recipe_and_the_true_base(runs, tmp_path):
    folder = rlvr.Run(runs / "lora").export(tmp_path / "x", merge=True)
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "transformers"
    assert "base_model" not in card.data.to_dict()  # tiny is on no hub
    assert "license" not in card.data.to_dict()
    text = card.text
    after = rlvr.Run(runs / "lora").after.metrics()["format_rate"]
    assert f"{after.value:.3f} [{after.low:.3f}, {after.high:.3f}]" in text
    assert "tiny, trained with" in text and "a warm-up: 2 supervised steps on arithmetic(levels=[0])" in text
    assert "warmup/" not in text  # no cache folder for a base
    assert (runs / "lora/command.txt").read_text().strip() in text
    settings = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert settings == rlvr.Run(runs / "lora").config
    assert f"transformers {__import__('transformers').__version__}" in text
    assert "Unknown: the licence of tiny" in text
    assert "nan" not in text.lower().split("## how")[0]


def test_the_true_base_is_found_through_warm_ups_adapters_and_earlier_runs(runs, tmp_path):
    config = rlvr.Run(runs / "lora").config
    assert origin(config).spec == "tiny"
    later = {"model": str(runs / "lora" / "model"), "data": "countdown"}
    assert origin(later).spec == "tiny"
    assert [step.split(":")[0] for step in origin(later).steps] == ["a warm-up", "a run of rlvr"]
    warm = rlvr.Run(runs / "lora").before.record["model"]
    assert origin({"model": warm}).spec == "tiny"
    packaged = origin({"model": "smollm2-135m-instruct"})
    assert (packaged.hub, packaged.licence) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
    hub = origin({"model": "owner/name", "revision": "v1"})
    assert (hub.hub, hub.revision, hub.licence) == ("owner/name", "v1", None)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# mine\n")
    mine = origin({"model": str(folder)})
    assert (mine.hub, mine.licence) == (None, "mit")


def test_an_adapter_on_an_adapter_is_merged_through_both(runs, tmp_path, cli):
    ended = cli(
        RUN.replace("--sft_steps 2", "--sft_steps 0"),
        "--model",
        runs / "lora" / "model",
        "--output_dir",
        tmp_path / "run",
    )
    assert ended.code == 0, ended.err
    policy, _ = load_model(str(tmp_path / "run/model"))
    model, _ = load_merged(tmp_path / "run/model", torch.float32, {})
    torch.testing.assert_close(logits(model), logits(policy), atol=1e-5, rtol=1e-4)


def test_hostile_settings_stay_text(tmp_path):
    from rlvr.report.card import model_card
    from rlvr.report.origin import Origin
    from rlvr.report.read import read_run

    run = write_run(tmp_path / "run", before=drawn_evaluation(0, 0.0, 0.5, problems=12, n=2), after=None, steps=2)
    contents = read_run(run if run is not None else tmp_path / "run")
    contents["config"] = {
        "data": "```\n<script>alert(1)</script>",
        "model": "<b>|x|</b>",
        "system_prompt": "a\n```\n'\"",
    }
    contents["command"] = "rlvr train ```\n# owned"
    card = model_card("<i>", contents, Origin("<b>|x|</b>", None, None, None), "bfloat16", False)
    outside = "".join(card.split("```")[::2])  # fences open and close in pairs
    assert "<script>" not in outside and "<b>" not in outside and "# owned" not in outside


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("", "Give --merge to merge it into its base"),
        ("--merge --dtype int8", "No dtype 'int8'"),
        ("--merge --against x.json", "--against is for an evaluation"),
        ("--merge --push nobody", "Cannot push to nobody: HF_HUB_OFFLINE is set"),
        ("--merge --push a/b/c", "--push wants a hub id, owner/name"),
        ("--merge --gguf", "No converter to GGUF found. Get llama.cpp's"),
    ],
)
def test_mistakes_are_said_before_weights_are_loaded(flags, said, runs, tmp_path, cli, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv(gguf.FOLDER, raising=False)
    ended = cli(f"export {runs / 'lora'} --out {tmp_path / 'x'} {flags}")
    assert ended.code == 2
    assert said in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_a_run_without_a_model_and_a_lost_base(runs, tmp_path, cli):
    run = tmp_path / "run"
    shutil.copytree(runs / "lora", run)
    (tmp_path / "x").mkdir()
    with pytest.raises(RunError, match="exists already"):
        rlvr.Run(run).export(tmp_path / "x", merge=True)
    file = run / "model" / "adapter_config.json"
    adapter = json.loads(file.read_text())
    file.write_text(json.dumps(adapter | {"base_model_name_or_path": str(tmp_path / "warmup" / "gone")}))
    with pytest.raises(ModelError, match="rlvr warmup --config"):
        rlvr.Run(run).export(merge=True)
    shutil.rmtree(run / "model")
    with pytest.raises(RunError, match="holds no model yet"):
        rlvr.Run(run).export(merge=True)
    evaluation = next((run / "eval/after").glob("*.json"))
    assert "--merge is for a run directory" in cli(f"export {evaluation} --merge --out {tmp_path / 'y.jsonl'}").err
    assert "--out samples.jsonl" in cli(f"export {evaluation}").err
    with pytest.raises(SpecError, match="No dtype"):
        rlvr.Run(runs / "lora").export(tmp_path / "y", merge=True, dtype="nf4")


@pytest.mark.parametrize("full", [False, True])
def test_a_pushed_folder_reaches_a_private_repository_file_by_file(full, tmp_path):
    """The real client against a stand-in for the hub, in a process of its own: the hub's address is read at import."""
    written = {"README.md": b"---\ntags: [rlvr]\n---\n# tiny\n", "model.safetensors": bytes(range(256)) * 1000}
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)
    push = "import sys; from pathlib import Path; from rlvr.report.export_model import _hub, _upload; "
    with serving_hub() as (url, hub):
        hub.full = full
        here = {"HF_ENDPOINT": url, "HF_TOKEN": "stand-in", "HF_HUB_OFFLINE": 0, "HF_HUB_DISABLE_XET": 1}
        code = push + "_upload(_hub('me/tiny'), 'me/tiny', Path(sys.argv[1]))"
        done = run_apart("", tmp_path, start=["-c", code], **here)
    assert hub.created == {"name": "tiny", "organization": "me", "visibility": "private"}
    assert hub.tokens == {"Bearer stand-in"}
    assert hub.files == ({} if full else written)
    assert (done.code == 0) is not full, done.err
    if full:
        assert f"Cannot push to me/tiny: {url} says: 403" in done.err
        assert f"is whole; upload it with: hf upload me/tiny {tmp_path}" in done.err


def test_an_export_that_fails_leaves_nothing(runs, tmp_path, monkeypatch):
    converter = tmp_path / "llama" / gguf.SCRIPT
    converter.parent.mkdir()
    converter.write_text("import sys; sys.exit('cannot convert this')\n")
    monkeypatch.setenv(gguf.FOLDER, str(converter.parent))
    with pytest.raises(ModelError, match="converter failed.*\ncannot convert this"):
        rlvr.Run(runs / "lora").export(tmp_path / "out" / "x", merge=True, gguf=True)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_llama_cpps_converter_writes_a_file_that_gguf_reads(tmp_path, cli):
    """SmolLM2, whose tokenizer the converter knows; its weights read back by the gguf package."""
    try:
        gguf.converter()
    except ModelError as error:
        warnings.warn(str(error), stacklevel=2)
        pytest.skip(f"SKIPPED: {error}")
    from gguf import GGUFReader

    line = (
        RUN.replace("grpo tiny", "grpo smollm2").replace("--sft_steps 2", "--sft_steps 0").replace("size 12", "size 0")
    )
    ended = cli(line, "--lora_rank", 4, "--output_dir", tmp_path / "run")
    assert ended.code == 0, ended.err
    ended = cli(f"export {tmp_path / 'run'} --merge --gguf --dtype float16")
    assert ended.code == 0, ended.err
    file = tmp_path / "run/export/run-float16.gguf"
    found = {t.name: t for t in GGUFReader(file).tensors}
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run/export", dtype=torch.float32)
    want = model.model.layers[3].mlp.down_proj.weight.detach()
    torch.testing.assert_close(torch.tensor(found["blk.3.ffn_down.weight"].data).float(), want)


def test_plain_python_without_rlvr_loads_it(runs, tmp_path):
    """In a process whose modules have no rlvr."""
    folder = rlvr.Run(runs / "lora").export(tmp_path / "x", merge=True)
    code = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f"m = AutoModelForCausalLM.from_pretrained({str(folder)!r}); t = AutoTokenizer.from_pretrained({str(folder)!r})\n"
        "ids = t.apply_chat_template([{'role': 'user', 'content': '1+1='}], return_tensors='pt', return_dict=True)\n"
        "assert m.generate(**ids, max_new_tokens=3).shape[0] == 1 and 'rlvr' not in sys.modules\n"
    )
    import sys

    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
