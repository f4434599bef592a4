"""TRL's own GRPO tests on RLVRTrainer: the stand-ins and the table; the tests themselves where RLVR_TRL names a checkout."""

import importlib.util
import os
import subprocess
import sys
import warnings

import pytest
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.conftest import REPO


def script(name):
    spec = importlib.util.spec_from_file_location(name, REPO / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_test_that_fails_with_rlvr_only_is_what_the_table_hands_back():
    outcomes = {
        "both": ("passed", "passed"), "ours": ("passed", "failed"), "skips": ("passed", "skipped"),
        "theirs": ("failed", "passed"), "neither": ("failed", "failed"), "skipped": ("skipped", "skipped"),
    }  # fmt: skip
    runs = [{t: {"outcome": o[i], "reason": f"because {i}"} for t, o in outcomes.items()} for i in (0, 1)]
    runs[0]["lost"] = {"outcome": "passed", "reason": ""}  # the process died in the second run
    text, defects = script("trl_tests").table(*runs)
    assert defects == ["ours", "skips", "lost"]
    rows = dict(
        line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "tests" not in line
    )
    assert rows == {
        "passed with both": "1", "failed with RLVRTrainer only": "3", "failed with GRPOTrainer only": "1",
        "failed with both": "1", "skipped with both": "1",
    }  # fmt: skip
    assert "failed with RLVRTrainer only: ours: because 1" in text
    assert "failed with RLVRTrainer only: lost: the test process ended before this test" in text
    assert "failed with both: neither: because 0" in text


def test_the_stand_in_data_has_the_columns_and_splits_of_the_original(tmp_path):
    script("trl_stand_ins").write_zen(tmp_path, rows=3)
    plain = load_dataset(str(tmp_path), "standard_prompt_only", cache_dir=tmp_path / "cache")
    assert {split: len(rows) for split, rows in plain.items()} == {"train": 3, "test": 2}
    chats = load_dataset(str(tmp_path), "conversational_prompt_only", split="train", streaming=True)
    assert [row["prompt"][0]["content"] for row in chats] == plain["train"]["prompt"]
    assert plain["train"]["prompt"] == ["Beautiful is better than", "Explicit is", "Simple is better"]
    assert plain["test"]["prompt"][1] == "Namespaces are one honking great"


@pytest.mark.parametrize("name", ["tiny-Qwen2ForCausalLM-2.5", "tiny-GptOssForCausalLM", "tiny-Glm4MoeForCausalLM"])
def test_a_stand_in_model_is_of_the_architecture_that_its_name_spells(name, tmp_path):
    script("trl_stand_ins")._build_model(tmp_path, name, tokenizer_files=None)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert type(model).__name__ == name.split("-")[1]
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "2 + 2"}], return_tensors="pt", return_dict=True)
    assert model(**ids).logits.isfinite().all()


def test_a_stand_in_reward_model_gives_one_number_per_row(tmp_path):
    script("trl_stand_ins")._build_model(tmp_path, "tiny-Qwen2ForSequenceClassification-2.5", tokenizer_files=None)
    model, tokenizer = (kind.from_pretrained(tmp_path) for kind in (AutoModelForSequenceClassification, AutoTokenizer))
    scores = model(**tokenizer(["a", "bc"], return_tensors="pt", padding=True)).logits
    assert scores.shape == (2, 1) and torch.isfinite(scores).all() and scores[0] != scores[1]


def test_a_folder_without_tests_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"holds no tests/test_grpo_trainer.py. Give a checkout of TRL: git clone"):
        script("trl_tests").checkout_tests(tmp_path)


@pytest.mark.slow
def test_what_passes_with_grpo_trainer_passes_with_rlvr_trainer(tmp_path):
    if not os.environ.get("RLVR_TRL"):
        reason = "no checkout of TRL: name one in RLVR_TRL to run TRL's own GRPO tests (make trl-tests)"
        warnings.warn(reason, stacklevel=2)  # pytest lists warnings, but no reasons of skipped tests
        pytest.skip(f"SKIPPED: {reason}")
    command = [sys.executable, str(REPO / "scripts" / "trl_tests.py"), os.environ["RLVR_TRL"], "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
