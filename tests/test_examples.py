"""The files of examples/ run as they are written, in a fresh process, with small stand-ins for the model and the steps."""

import ast
import json
import os
import subprocess
import sys

import pytest

from tests.conftest import REPO
from tests.qwen_like import save_qwen_like, write_math_like
from tests.serving import serve_tiny

# What each example is run with instead: every replacement must be there exactly once.
QUICK = (
    'train_size=8, eval_size=4, eval_n=2, num_generations=4, per_device_train_batch_size=8, max_completion_length=12, '
    'output_dir="runs/quick", sft_steps=0, gradient_accumulation_steps=1, max_steps=2'
)  # fmt: skip
STAND_INS = {
    "train.py": {'"smollm2-135m-instruct"': '"tiny"', "max_steps=50": QUICK},
    "evaluate.py": {
        '"smollm2-135m-instruct"': '"tiny"',
        '"gsm8k"': '"arithmetic(levels=[0])"',  # the test split of gsm8k comes from the hub
        '"size": 60, "max_completion_length": 200': '"size": 3, "max_completion_length": 8',
    },
    "trl_trainer.py": {
        '"Qwen/Qwen2.5-0.5B-Instruct"': '"tiny"',
        "max_steps=100": QUICK.replace("eval_size=4", "eval_size=1"),
        "size=20": "size=2, max_completion_length=8",
    },
    "boxed_nsr.py": {
        '"Qwen/Qwen3-4B"': '"qwen-like"',
        "eval_size=500": "eval_size=3, train_size=8",
        "max_completion_length=4096": "num_generations=4, per_device_train_batch_size=8, max_completion_length=12",
        "max_steps=100": "max_steps=2",
    },
}


def run_example(name, folder, replaced):
    text = (REPO / "examples" / name).read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    env = {**os.environ, "BROWSER": "true", "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def no_hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_train(tmp_path, no_hub):
    out = run_example("train.py", tmp_path, STAND_INS["train.py"])
    assert "pass@1" in out
    assert "paired difference" in out
    assert (tmp_path / "runs" / "quick" / "report.html").is_file()


def test_evaluate(tmp_path, no_hub):
    out = run_example("evaluate.py", tmp_path, STAND_INS["evaluate.py"])
    assert "pass@16" in out
    assert "temperature differs: 1.0 and 0.6" in out
    assert (tmp_path / "evals" / "warm.json").is_file()


def test_endpoint(tmp_path):
    """A server on the loopback is measured; the samples file has done its work when the evaluation is saved."""
    with serve_tiny(tmp_path / "served" / "tiny") as (url, model):
        stand_ins = {
            "Qwen/Qwen2.5-0.5B-Instruct": model,
            "gsm8k": "arithmetic(levels=[0])",
            "http://localhost:8000/v1": url,
            "size=100": "size=2, max_completion_length=6",
        }
        out = run_example("endpoint.py", tmp_path, stand_ins)
    assert "pass@8" in out
    stored = json.loads((tmp_path / "evals" / "qwen.json").read_text(encoding="utf-8"))
    assert [len(problem["samples"]) for problem in stored["problems"]] == [8, 8]


def test_score(tmp_path):
    """Two systems by stored completions, 100 problems x 8: nothing is replaced, and the report compares them paired."""
    out = run_example("score.py", tmp_path, {})
    assert "pass@8" in out
    assert "paired difference" in out
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "| b   | a     | gold-number | +0.159" in page
    assert "after training" not in page.split("## Results")[0]
    assert (tmp_path / "report" / "report.html").is_file()


def test_trl_trainer(tmp_path, no_hub):
    """nsr learns from the wrong completions of a shaped reward's rows; random weights are wrong everywhere."""
    out = run_example("trl_trainer.py", tmp_path, STAND_INS["trl_trainer.py"])
    assert "pass@4" in out


@pytest.mark.parametrize("thinking", [True, False])
def test_boxed_nsr(thinking, tmp_path, no_hub):
    """The whole story of RLVR-Decomposed#23 on a tiny random Qwen3 with Qwen3's template and rows like MATH's."""
    save_qwen_like(tmp_path / "qwen-like")
    write_math_like(tmp_path / "math_train.jsonl", 40)
    write_math_like(tmp_path / "math500.jsonl", 12)
    mode = {'"enable_thinking": True': f'"enable_thinking": {thinking}'}
    out = run_example("boxed_nsr.py", tmp_path, STAND_INS["boxed_nsr.py"] | mode)
    assert "pass@64" in out
    evaluation = json.loads(next((tmp_path / "runs/boxed-nsr/eval/after").glob("*.json")).read_text())
    assert (evaluation["n"], len(evaluation["problems"]), evaluation["answer_format"]) == (64, 3, "boxed")
    assert evaluation["chat_template_kwargs"] == {"enable_thinking": thinking}


def test_the_notebook_runs_cell_by_cell_and_shows_its_results(tmp_path, monkeypatch, no_hub):
    """Each cell in order in one namespace, as a kernel does; what ends a cell is shown as a notebook would show it."""
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((REPO / "examples" / "tour.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    names: dict = {}
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == []  # a committed output would be somebody's old number
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            if value is not None:  # print() gives None
                shown.append(value._repr_html_())
    assert [type(names["run"]).__name__, len(names["run"].metrics)] == ["Run", 3]
    assert len(shown) == 8
    assert all("<table" in html or "<a " in html for html in shown)
