"""The public names, pinned: removing one is a decision, not an accident."""

import re
import subprocess
import sys

import pytest

import rlvr

NAMES = [
    "Ablation", "Completion", "DataError", "EvalConfig", "Evaluation", "PassRate", "Problem", "RLVRTrainer", "RlvrError", "Rollouts", "Run",
    "Signal", "SpecError", "Term", "TrainConfig", "Transform", "ablate", "as_trl_reward", "build", "chain", "decode", "evaluate", "explain",
    "import_log", "json_object", "load_model", "load_problems", "load_rows", "load_terms", "problem_set", "prune", "rank", "same_answer", "score",
    "select_student", "train",
    "verifier_function",
    "verify_answer", "write_report",
]  # fmt: skip


def test_public_names_are_these_and_resolve():
    assert rlvr.__all__ == NAMES
    assert all(getattr(rlvr, name).__name__ for name in NAMES)


def test_importing_rlvr_is_light():
    code = "import rlvr, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_in_the_engine_imports_content_by_name():
    """Rule 1 of docs/design.md: rewards/ and data/ are found by name or path, never imported."""
    from tests.conftest import REPO

    for path in (REPO / "rlvr").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) (data|rewards)\b", text, re.MULTILINE), path
    assert not (REPO / "rewards" / "__init__.py").exists()
    assert not (REPO / "data" / "__init__.py").exists()


def test_no_file_of_the_engine_is_over_400_lines():
    from tests.conftest import REPO

    for folder in ("rlvr", "rewards", "data"):
        for path in (REPO / folder).rglob("*.py"):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def test_names_and_keywords_of_before_go_on_working():
    from rlvr.measure.metrics import EvalArrays, Records
    from rlvr.planning.resolve import plan, resolve_config
    from rlvr.select.scores.pass_rate import PassRateScore

    assert (Records, plan, rlvr.train.train) == (EvalArrays, resolve_config, rlvr.train.train_run)
    contents = {"problems": [{"id": "a", "samples": [{"correct": True}, {"correct": None}]}]}
    with pytest.warns(DeprecationWarning, match="'record' is now 'evaluation'"):
        pass_rates = rlvr.PassRate.from_eval(record=contents)
    assert pass_rates == rlvr.PassRate.from_eval(evaluation=contents) == rlvr.PassRate({"a": (1, 1)})
    with pytest.warns(DeprecationWarning, match="'record' is now 'pass_rates'"):
        score = PassRateScore(record=pass_rates)
    assert score.get_params()["pass_rates"] is pass_rates
    with pytest.raises(TypeError, match="Give one of them"), pytest.warns(DeprecationWarning, match="is now"):
        rlvr.PassRate.from_eval(record=contents, evaluation=contents)
    assert rlvr.Evaluation(contents).record is contents
