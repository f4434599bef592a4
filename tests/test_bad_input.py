"""Bad input and bad luck in the loop: each ends in a clear message or a counted event, and nothing is lost."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import torch
from peft import get_peft_model

from rlvr.core.errors import DataError, ModelError, RlvrError
from rlvr.core.files import replacing
from rlvr.core.records import Completion, Problem
from rlvr.models.load import build_tiny, cached, load_model, lora_config
from rlvr.problems.sets import load_problems
from rlvr.report.read import read_run
from rlvr.rewards.terms import load_terms
from rlvr.runs.directory import read_metrics
from tests.commands import TINY


@pytest.fixture
def small_disk(tmp_path):
    """A file system with a given number of bytes, really full after them; loud skip where it cannot be mounted."""
    mounted = []

    def mount(size: int):
        folder = tmp_path / "disk"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("cannot mount a small tmpfs here (needs root): the full-disk test did not run")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.fixture
def read_only(small_disk):
    """A folder that cannot be written, even by root."""
    folder = small_disk(64 * 1024)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    return folder


def test_a_disk_that_fills_up_during_training(small_disk, cli):
    """The run stops with the reason; the steps before it stay readable, and no half-written file is left."""
    folder = small_disk(160 * 1024) / "run"
    done = cli("train --config grpo tiny", *TINY, "--max_steps", "40", "--output_dir", folder)
    assert done.code in (1, 2)
    err = done.err
    assert "No space left on device" in err
    assert "Traceback" not in err
    rows = read_metrics(folder / "metrics.jsonl")
    assert [r["step"] for r in rows] == list(range(1, len(rows) + 1))
    shards = sorted((folder / "rollouts").glob("*.parquet"))
    assert len(shards) >= len(rows) >= 1
    for shard in shards:
        assert pq.read_table(shard).num_rows == 16
    assert not list(folder.rglob("*.tmp"))


def test_a_read_only_folder(read_only, cli):
    done = cli("train --config grpo tiny", *TINY, "--output_dir", read_only / "run")
    assert done.code == 2
    assert "Cannot create the run directory" in (err := done.err)
    assert "Read-only file system" in err


def test_a_read_only_folder_for_an_evaluation_and_a_report(read_only, cli):
    flags = ["--size", "4", "--n", "2", "--max_completion_length", "4", "--out", str(read_only / "e.json")]
    done = cli("evaluate tiny", *flags)
    assert done.code == 1
    assert "Read-only file system" in (err := done.err)
    assert "Traceback" not in err


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    with contextlib.suppress(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.json"]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_a_missing_column_is_named_before_a_model_is_loaded(tmp_path, cli):
    (tmp_path / "rows.jsonl").write_text('{"question": "1+1?", "solution": "2"}\n' * 20)
    spec = f"jsonl(path='{tmp_path / 'rows.jsonl'}', prompt='question', answer='gold')"
    done = cli("train --config grpo tiny", *TINY, "--data", spec, "--output_dir", tmp_path / "r")
    assert done.code == 2
    err = done.err
    assert "line 1 has no column 'gold'; it has 'question', 'solution'" in err
    assert not (tmp_path / "r").exists()


def test_rewards_that_are_all_none(tmp_path, cli):
    """A term that never applies: no credit, a gradient of zero, a warning; the run ends and everything is counted."""
    (tmp_path / "never.py").write_text(
        '"""Never applies."""\nfrom rlvr.rewards.terms import Term\n\n\ndef never(c):\n    return None\n'
    )
    folder = tmp_path / "run"
    flags = ["--rewards", f'{{"{tmp_path / "never.py"}:never": 1.0}}', "--allow_hackable", "true", "--max_steps", "10"]
    done = cli("train --config grpo tiny", *TINY, *flags, "--output_dir", folder)
    assert done.code == 0
    rows = read_metrics(folder / "metrics.jsonl")
    assert len(rows) == 10
    assert all(r["kept"] == 0 and not r["grad_norm"] for r in rows)
    assert "WARNING" in done.err
    kept = [k for f in (folder / "rollouts").glob("*.parquet") for k in pq.read_table(f)["keep"].to_pylist()]
    assert kept and not any(kept)


def test_empty_completions(tmp_path, cli):
    """A length limit of one token: empty or one-token completions are scored 0, logged and trained on."""
    folder = tmp_path / "run"
    argv = ["train", "--config", "rlcr", "tiny", *TINY, "--max_completion_length", "1", "--output_dir", str(folder)]
    done = cli(*argv)
    assert done.code == 0
    rows = [r for f in (folder / "rollouts").glob("*.parquet") for r in pq.read_table(f).to_pylist()]
    assert len(rows) == 48
    assert all(r["n_tokens"] == 1 and r["answer"] is None and r["correct"] is False for r in rows)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--reward_weights", "1.0", "2.0"], "weights"),
        (["--rewards", "{}"], "must map reward terms to weights"),
        (["--rewards", '{"correct": "much"}'], "weight"),
        (["--rewards", '{"correct": -1}'], "weight"),
        (["--rewards", '["correct"]'], "must map"),
    ],
)
def test_weights_that_do_not_fit(flags, message, tmp_path, cli):
    argv = ["train", "--config", "grpo", "tiny", *TINY, *flags, "--output_dir", str(tmp_path / "r")]
    done = cli(*argv)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("row", ['{"prompt": "a \\ud800 b", "answer": "1"}', '{"prompt": "a", "answer": "1\\udfff"}'])
def test_half_characters_in_the_data_are_refused_by_check_and_before_a_run(row, tmp_path, capsys):
    """A lone surrogate is valid in JSON but in no file, and no tokenizer takes it."""
    (tmp_path / "rows.jsonl").write_text((row + "\n") * 40)
    spec = f"jsonl(path='{tmp_path / 'rows.jsonl'}')"
    with pytest.raises(DataError, match="holds half a character"):
        load_problems(spec, split_of(row), 4, 0)


def split_of(row: str) -> str:
    """The split that the only prompt of a file is in."""
    prompt = [{"role": "user", "content": json.loads(row)["prompt"]}]
    at = int.from_bytes(hashlib.sha256(json.dumps(prompt, sort_keys=True).encode()).digest()[:4], "big") % 100
    return "train" if at < 80 else "validation" if at < 90 else "test"


def test_half_a_character_in_an_id_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        "".join(f'{{"prompt": "{i}", "answer": "1", "n": "\\ud800{i}"}}\n' for i in range(40))
    )
    with pytest.raises(DataError, match=r"its id holds half a character \(a lone surrogate, '\\ud800'\)"):
        load_problems(f"jsonl(path='{tmp_path / 'rows.jsonl'}', id='n')", "train", 4, 0)


@pytest.mark.parametrize("command", ["train", "report", "cp", "evaluate"])
def test_an_argument_that_is_no_utf_8_is_named_before_anything_is_written(command, tmp_path, cli):
    folder = f"{tmp_path}/\udcff"  # how Python gives the byte 0xff of a command line
    done = cli(command, "tiny", "--output_dir", folder)
    assert done.code == 2
    assert "is not UTF-8" in (err := done.err)
    assert "\\udcff" in err
    assert not os.listdir(tmp_path)


def test_cp_does_not_write_through_a_link_that_leads_nowhere(tmp_path, cli):
    (tmp_path / "mine.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    done = cli("cp rlcr", tmp_path / "mine.yaml")
    assert done.code == 2
    assert "exists already" in done.err
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_rewards_too_large_for_their_squares_are_refused(tmp_path, cli):
    argv = ["train", "--config", "grpo", "tiny", *TINY, "--rewards", '{"correct": 1e30}']
    done = cli(*argv, "--output_dir", tmp_path / "r")
    assert done.code == 2
    assert "must be a number >= 0 and at most 1e+09, got 1e+30" in done.err
    (tmp_path / "huge.py").write_text("def huge(completions, **kwargs):\n    return [1e30 for _ in completions]\n")
    (term,) = load_terms({f"{tmp_path / 'huge.py'}:huge": 1.0})
    with pytest.raises(RlvrError, match=r"returned 1e\+30 .* a finite number, at most 1e\+09 in size"):
        term(Completion(Problem("1", [], "4"), "4"))


def test_weights_that_overflow_in_the_last_update_end_the_run(tmp_path, cli):
    """No next step would notice: they were saved, measured and reported, with status 0."""
    folder = tmp_path / "run"
    flags = ["--rewards", '{"random_control": 1.0}', "--allow_hackable", "true", "--eval_size", "4", "--eval_n", "2"]
    flags += ["--learning_rate", "1e39", "--max_steps", "1", "--save_strategy", "steps", "--save_steps", "1"]
    done = cli("train --config grpo tiny", *TINY, *flags, "--output_dir", folder)
    assert done.code == 2
    err = done.err
    assert "The weights are not finite after step 1: training diverged" in err
    assert not (folder / "model").exists() and not (folder / "eval" / "after").exists()
    assert not list((folder / "checkpoints").rglob("*.safetensors"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_with_broken_weights_is_not_measured(value, tmp_path, cli):
    model, tokenizer = build_tiny()
    with torch.no_grad():
        model.model.norm.weight.fill_(value)
    model.save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    flags = ["--size", "4", "--n", "2", "--max_completion_length", "4", "--out", str(tmp_path / "e.json")]
    done = cli("evaluate", tmp_path / "m", *flags)
    assert done.code == 2
    assert "probabilities that are not finite, so nothing was measured" in done.err
    assert not (tmp_path / "e.json").exists()


@pytest.mark.parametrize("length", [1, 2])
def test_an_adapter_that_is_its_own_base(length, tmp_path):
    tokenizer = build_tiny()[1]
    names = [str(tmp_path / f"a{i}") for i in range(length)]
    for i, name in enumerate(names):
        get_peft_model(build_tiny()[0], lora_config(2)).save_pretrained(name)
        tokenizer.save_pretrained(name)
        path = tmp_path / f"a{i}" / "adapter_config.json"
        settings = json.loads(path.read_text())
        path.write_text(json.dumps({**settings, "base_model_name_or_path": names[(i + 1) % length]}))
    with pytest.raises(ModelError, match="is its own base model"):
        load_model(names[0])


def test_what_a_killed_conversion_left_is_removed_at_the_next_use(cold_cache):
    script = (
        "import os; from rlvr.models.load import cached; cached('models/m', lambda f: ((f / 'w').touch(), os._exit(9)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    (cold_cache / "models" / "m.mine").mkdir()
    assert len(list((cold_cache / "models").glob("m.????????/w"))) == 1
    built = cached("models/m", lambda folder: (folder / "weights").write_text("1"))
    assert sorted(p.name for p in built.parent.iterdir() if p.is_dir()) == ["m", "m.mine"]
    (cold_cache / "models" / "m.abcd1234").mkdir()  # of a version that did not clean up
    cached("models/m", lambda folder: None)
    assert not (cold_cache / "models" / "m.abcd1234").exists()


@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_disk_that_fills_up_while_weights_are_written(checkpoints, small_disk, cli):
    """The libraries that write weights and optimizer states have errors of their own: neither is a traceback."""
    folder = small_disk((7 if checkpoints else 2) * 2**20) / "run"
    flags = ["--max_steps", "1", *(["--save_strategy", "steps", "--save_steps", "1"] if checkpoints else [])]
    done = cli("train --config grpo tiny", *TINY, *flags, "--output_dir", folder)
    assert done.code in (1, 2)
    err = done.err
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert not (folder / "model").exists()


@pytest.mark.parametrize("command", [["vote"], ["utility", "--wrong", "-5"]])
def test_deciding_on_an_evaluation_without_any_verdict(command, tmp_path, cli):
    """The verifier failed on all samples."""
    sample = {"correct": None, "confidence": 0.5, "answer": "4", "tokens": 3, "logp": -1.0}
    sample |= {"format_ok": True, "truncated": False}
    problem = {"id": "p/0", "task": "t", "gold": "4", "n": 4, "c": 0, "samples": [sample] * 4}
    path = tmp_path / "e.json"
    path.write_text(json.dumps({"schema": 1, "problems": [problem]}))
    done = cli("decide", command[0], path, *command[1:])
    assert done.code == 2
    assert "No sample of this evaluation has a verdict" in done.err
    judged = {**problem, "id": "p/1", "c": 4, "samples": [{**sample, "correct": True}] * 4}
    path.write_text(json.dumps({"schema": 1, "problems": [problem, judged]}))
    done = cli("decide", command[0], path, *command[1:])
    assert done.code == 0


BROKEN_SAMPLES = [
    ("correct", "true"), ("correct", 2), ("correct", 1.5), ("correct", []), ("confidence", "90%"), ("confidence", 1.5),
    ("confidence", -0.1), ("confidence", float("inf")), ("confidence", True), ("confidence", {}), ("answer", 4),
    ("answer", ["4"]), ("tokens", 1.5), ("tokens", "3"), ("tokens", -1), ("logp", "x"), ("format_ok", "yes"), ("truncated", 3),
]  # fmt: skip
BROKEN_PROBLEMS = [
    ("id", None), ("id", ["a"]), ("task", 5), ("samples", None), ("samples", {}), ("samples", [3]), ("samples", [None]),
    ("c", 7), ("n", "four"),
]  # fmt: skip


@pytest.mark.parametrize("command", [["report"], ["decide", "utility"], ["decide", "vote"]], ids=" ".join)
def test_no_reader_takes_a_malformed_evaluation_or_ends_in_a_traceback(command, tmp_path, cli):
    sample = {"correct": True, "confidence": 0.5, "answer": "4", "tokens": 3, "logp": -1.0}
    sample |= {"format_ok": True, "truncated": False}
    problem = {"id": "p/0", "task": "t", "gold": "4", "n": 2, "c": 2}
    bodies = [[{**problem, "samples": [sample, {**sample, key: value}]}] for key, value in BROKEN_SAMPLES]
    bodies += [[{**problem, "samples": [sample, {k: v for k, v in sample.items() if k != key}]}] for key in sample]
    bodies += [[{**problem, "samples": [sample] * 2, key: value}] for key, value in BROKEN_PROBLEMS]
    bodies += [[{**problem, "samples": [sample] * 2}] * 2, {}, "x", None, [3], [None]]
    path = tmp_path / "run" / "eval" / "after" / "e.json"
    path.parent.mkdir(parents=True)
    for body in bodies:
        path.write_text(json.dumps({"schema": 1, "problems": body}))
        if command == ["report"]:
            assert read_run(tmp_path / "run")["evals"] == {}, body
        else:
            done = cli(*command, path)
            assert done.code == 2, body
            assert done.err.startswith("rlvr decide: ")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--loss_type", "grop"], "No loss_type 'grop'. Did you mean 'grpo'"),
        (["--report_to", "wandbb"], "No tracker (report_to) 'wandbb'. Did you mean 'wandb'"),
        (["--report_to", "comet_ml"], "report_to 'comet_ml' needs a package that is not installed"),
    ],
)
def test_what_trl_refuses_late_is_refused_before_a_folder_is_made(flags, message, tmp_path, cli):
    """TRL and transformers look at these when training has begun, and end in a traceback."""
    folder = tmp_path / "run"
    done = cli("train --config grpo tiny", *flags, "--output_dir", folder)
    assert done.code == 2
    assert message in done.err
    assert not folder.exists()


def test_every_loss_of_trl_can_be_chosen():
    """The list is TRL's own: each is a loss there, and TRL has no other in its loss function."""
    import inspect
    import re

    from trl import GRPOTrainer

    from rlvr.config.settings import LOSSES

    source = inspect.getsource(GRPOTrainer._compute_loss)
    known = set()
    for one, many in re.findall(r"self\.loss_type (?:==|in) (?:\"(\w+)\"|\[([^\]]*)\])", source):
        known |= {one} if one else set(re.findall(r"\w+", many))
    assert known == set(LOSSES)
