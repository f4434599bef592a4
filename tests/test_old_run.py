"""A run directory that the code of 2026-11-23 (commit bbc92ae) wrote, before the rooms, still opens.

tests/old_run/ was made by the command in its command.txt; model, checkpoints, plots and reports are left out.
"""

import shutil

import pytest

import rlvr
from rlvr.config.settings import TrainConfig, parse_config
from rlvr.planning.resolve import plan
from rlvr.report import write_report
from tests.conftest import REPO

OLD = REPO / "tests" / "old_run"


@pytest.fixture
def old(tmp_path):
    return shutil.copytree(OLD, tmp_path / "old_run")


def test_it_is_a_run_with_its_numbers(old):
    run = rlvr.Run(old)
    for evaluation in (run.before, run.after):
        assert [len(row["samples"]) for row in evaluation.record["problems"]] == [2, 2, 2]
    assert list(run.metrics.index) == [1, 2]
    assert run.rollouts["step"].tolist() == [1] * 8 + [2] * 8
    assert "pass@1" in str(run.before.compare(run.after))


def test_its_report_is_written_anew(old):
    page = write_report([old], old)
    text = page.read_text(encoding="utf-8")
    assert "arithmetic(levels=[0])" in text
    assert (old / "report.md").is_file()


def test_its_settings_are_still_a_config(old):
    config = parse_config(TrainConfig, [str(old / "config.yaml")], ["--output_dir", str(old / "again")])
    assert config.max_steps == 2
    assert len(plan(config).problems) == 32
