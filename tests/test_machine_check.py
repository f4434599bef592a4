"""The machine check: its row is what was measured, a failure is a row, and it goes on where it stopped."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from scripts import machine_check
from scripts.machine_check import HEADER, append, row, run
from tests.conftest import REPO

FACTS = {
    "date": "2026-11-24", "commit": "abc1234", "processor": "AMD | EPYC", "system": "Linux x86_64", "python": "3.11.7",
    "settings": {"RLVR_PRECISION": "float32"}, "load": 0.1, "cores": 2, "memory_gb": 25.3, "flags": ["avx2", "avx512_f"],
    "torch": "2.13.0+cpu", "aten": "AVX512", "device": "2 CPU cores", "gpu": False, "precision": "float32 on 2 CPU cores",
    "gflops": {"float32": 126.42, "bfloat16": None},
}  # fmt: skip
PASSED = {"status": 0, "seconds": 471, "summary": ""}


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def table(page):
    """Return the rows below the header of a page."""
    lines = page.read_text(encoding="utf-8").split(HEADER)[1].lstrip("\n").split("\n")
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("|"))]


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "machines.md"
    path.write_text(f"# Machines\n\n{HEADER}\n\nBelow.\n", encoding="utf-8")
    return path


def test_the_facts_of_this_machine_become_a_row_and_its_json(tmp_path, page):
    command = [sys.executable, str(REPO / "scripts" / "machine_check.py"), "--run", "none", "--precision", "float32"]
    command += ["--append", str(page), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (line,) = page.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    check = json.loads(line)
    assert table(page) == [row(check)]
    assert page.read_text(encoding="utf-8").endswith("|\n\nBelow.\n")
    assert row(check) in done.stdout
    assert line in done.stdout
    assert len(cells(row(check))) == len(cells(HEADER.splitlines()[0]))
    assert cells(row(check))[-2:] == ["not run", "not run"]
    assert check["gflops"]["float32"] > 0.1
    assert check["precision"].startswith("float32 on ")
    assert check["settings"]["RLVR_PRECISION"] == "float32"


def test_a_row_says_what_passed_failed_was_stopped_or_not_run():
    failed, stopped = {"status": 2, "seconds": 33, "summary": "1 failed, 9 passed"}, PASSED | {"status": None}
    both = cells(row(FACTS | {"commands": {"demo": PASSED, "test": failed}}))
    assert both == [
        "2026-11-24, abc1234",
        "AMD / EPYC, 2 cores, 25.3 GB, Linux x86_64, RLVR_PRECISION=float32",
        "avx2 avx512_f",
        "2.13.0+cpu, AVX512",
        "float32 on 2 CPU cores",
        "126, none",
        "passed, 471 s",
        "FAILED, exit 2, 33 s (1 failed, 9 passed)",
    ]
    assert cells(row(FACTS | {"commands": {"demo": stopped}}))[-2:] == ["stopped, 471 s", "not run"]
    assert "busy: load 5.0" in row(FACTS | {"load": 5.0, "commands": {}})


def test_a_torch_that_does_not_import_is_a_row():
    few = {key: FACTS[key] for key in ("date", "commit", "processor", "system", "settings", "load")}
    check = few | {"broken": "ImportError: libgomp", "commands": {"demo": PASSED | {"status": 2}}}
    assert cells(row(check))[2:] == ["ImportError: libgomp", "-", "-", "-", "FAILED, exit 2, 471 s", "not run"]


def test_rows_are_added_at_the_end_and_a_page_without_a_table_is_refused(page, tmp_path):
    for commit in ("first", "second"):
        append(page, FACTS | {"commit": commit, "commands": {}})
    assert [cells(line)[0] for line in table(page)] == ["2026-11-24, first", "2026-11-24, second"]
    other = tmp_path / "other.md"
    other.write_text("# Nothing\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="has no table of machines"):
        append(other, FACTS | {"commands": {}})


@pytest.mark.skipif(os.name == "nt", reason="needs sh")
def test_a_command_is_timed_logged_and_ended_at_its_limit_with_all_that_it_started(tmp_path):
    log = tmp_path / "log"
    done = run(["sh", "-c", "echo '1 failed, 9 passed, 2 skipped in 12.31s'; exit 3"], log, 10)
    assert (done["status"], done["summary"]) == (3, "1 failed, 9 passed, 2 skipped")
    assert "9 passed" in log.read_text(encoding="utf-8")
    hung = run(["sh", "-c", "sleep 60 & echo $!; wait"], log, 0.3)
    assert hung["status"] is None
    child, deadline = int(log.read_text(encoding="utf-8")), time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        pass
    assert not alive(child)
    missing = run(["no-such-command"], log, 1)
    assert missing == {
        "status": 127,
        "seconds": 0,
        "summary": "no-such-command did not start: No such file or directory",
    }


@pytest.mark.skipif(os.name == "nt", reason="needs sh")
def test_what_passed_is_not_run_again_on_the_same_clean_commit(tmp_path, monkeypatch, capsys):
    count = tmp_path / "count"
    commands = {"demo": ["sh", "-c", f"echo demo >> {count}"], "test": ["sh", "-c", f"echo test >> {count}; exit 1"]}
    monkeypatch.setattr(machine_check, "COMMANDS", commands)

    def check(commit="abc1234", *more):
        monkeypatch.setattr(machine_check, "facts", lambda: FACTS | {"commit": commit})
        monkeypatch.setattr(sys, "argv", ["machine_check.py", "--out", str(tmp_path / "out"), *more])
        status = machine_check.main()
        runs = count.read_text(encoding="utf-8").split()
        count.write_text("", encoding="utf-8")
        return status, runs

    assert check() == (1, ["demo", "test"])
    assert check() == (1, ["test"])
    assert "demo: passed before" in capsys.readouterr().out
    assert check("abc1234", "--again") == (1, ["demo", "test"])
    assert check("def5678") == (1, ["demo", "test"])
    assert check("def5678-dirty", "--run", "demo") == (0, ["demo"])
    assert check("def5678-dirty", "--run", "demo") == (0, ["demo"])
    count.touch()
    assert check("def5678-dirty", "--run", "none") == (0, [])


def test_the_committed_table_is_the_committed_json():
    page = REPO / "docs" / "machines.md"
    stored = page.with_suffix(".jsonl")
    lines = stored.read_text(encoding="utf-8").splitlines() if stored.is_file() else []
    assert table(page) == [row(json.loads(line)) for line in lines]
