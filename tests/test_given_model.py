"""`rlvr.decode` and `rlvr.select_student`: a Run where the command takes a model folder, and the examples of the pages."""

import re

import pytest

import rlvr
from rlvr.core.errors import ModelError, SpecError
from rlvr.models.load import build_tiny, load_model
from rlvr.models.sampling import Sampling, Steered
from rlvr.problems.worked import read_rows, write_rows
from rlvr.select.command import select_student
from tests.conftest import REPO

FORM = {"tags": ["answer"], "system_prompt": "", "chat_template_kwargs": {"bare": True}}
ROWS = [{"id": f"r{i}", "prompt": f"{i}ab", "completion": f"<answer>{i}a1 1b{i}</answer>"} for i in range(4)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with runs/small (a run on a small model), runs/demo (the same one) and runs/large (a larger model)."""
    root = tmp_path_factory.mktemp("given")
    for name, hidden in (("began", 64), ("large", 96)):
        for part in build_tiny(hidden, hidden, 2):
            part.save_pretrained(root / "runs" / name)
    rlvr.train(
        root / "runs" / "began", "operators", sft_steps=0, max_steps=1, train_size=4, eval_size=0, num_generations=2,
        per_device_train_batch_size=4, max_completion_length=6, learning_rate=1e-2, rewards={"format": 1.0},
        output_dir=root / "runs" / "small", bf16=False, **FORM,
    )  # fmt: skip
    (root / "runs" / "demo").symlink_to(root / "runs" / "small")
    return root


def example(page, start):
    """Return the example of a page that begins so."""
    (code,) = re.findall(rf"```python\n({re.escape(start)}\n.*?)```", (REPO / page).read_text("utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 5
    return code


def test_the_example_of_proxy_md(runs, monkeypatch):
    """The run's model steers, and the prompts are the run's own: bare, as its config says."""
    monkeypatch.chdir(runs)
    names: dict = {}
    exec(example("docs/proxy.md", "from rlvr import Run, decode"), names)
    run = names["run"]
    models = [load_model(str(folder))[0] for folder in ("runs/large", run.model, run.config["model"])]
    _, tokenizer = load_model("runs/large")
    ids = [tokenizer(f"{text}<|im_start|>").input_ids for text in ("3caf", "7kz")]
    samples = rlvr.measure.evaluate.make_engine(Steered(*models), tokenizer).generate(ids, 1, Sampling(96, 0.0), 0)
    assert names["texts"] == tokenizer.batch_decode(samples.ids, skip_special_tokens=True)


def test_decode_in_python_is_the_command(runs, cli):
    """The same words from the same settings; a Run speaks in its own form, its folder in none."""
    run = rlvr.Run(runs / "runs" / "small")
    flags = ["--temperature", "1", "--n", "2", "--max_completion_length", "8", "--seed", "3"]
    same = {"temperature": 1, "n": 2, "max_completion_length": 8, "seed": 3}
    shown = cli("decode --chat_template_kwargs '{bare: true}' --base", run.model, *flags, "3caf")
    from rlvr.report.show import visible

    assert "".join(visible(text) + "\n" for text in rlvr.decode("3caf", run, **same)) == shown.out
    assert rlvr.decode("3caf", run.model, **same) != rlvr.decode("3caf", run, **same)
    assert rlvr.decode("3caf", run.model, **FORM_OF_DECODE, **same) == rlvr.decode("3caf", run, **same)
    with pytest.raises(ModelError, match="a folder or a Run, found a list"):
        rlvr.decode("3caf", [], **same)
    with pytest.raises(SpecError, match="chat_template_kwargs must map names to values"):
        rlvr.decode("3caf", run, chat_template_kwargs="bare")


FORM_OF_DECODE = {"system_prompt": "", "chat_template_kwargs": {"bare": True}}


def test_the_example_of_select_md(runs, tmp_path, monkeypatch, capsys):
    """The rows are scored as the run asks them: what its folder says under the same settings, and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(runs / "runs")
    write_rows(ROWS, tmp_path / "rows.jsonl")
    code = example("docs/select.md", "from rlvr import Run, select_student")
    exec(code.replace('"shuffled"', "2.0"), {})  # a random model finds every ratio near 1
    assert capsys.readouterr().out.endswith("no rewrite is better\n")
    assert [row["id"] for row in read_rows("kept.jsonl")] == [row["id"] for row in ROWS]
    select_student(tmp_path / "rows.jsonl", "runs/small/model", tmp_path / "same.jsonl", threshold=2.0, **FORM)
    assert (tmp_path / "same.scores.jsonl").read_text() == (tmp_path / "kept.scores.jsonl").read_text()
    more = {**FORM, "chat_template_kwargs": None}
    select_student(tmp_path / "rows.jsonl", "runs/small/model", tmp_path / "more.jsonl", threshold=2.0, **more)
    assert (tmp_path / "more.scores.jsonl").read_text() != (tmp_path / "same.scores.jsonl").read_text()
