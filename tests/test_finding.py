"""What the findings share: the verdict, the run pool, the protocol, and a page from a template."""

import json
import os
import re
import shutil
import subprocess
import sys
from argparse import Namespace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from rlvr.core.errors import RunError
from rlvr.core.files import take_lock
from rlvr.measure.metrics.seeds import t_interval
from tests.conftest import REPO

sys.path.insert(0, str(REPO / "scripts" / "findings"))
from finding import (
    Endpoint,
    Finding,
    Gate,
    Page,
    Point,
    detectable,
    judge,
    outcome,
    read_rows,
    run_all_again,
    run_tasks,
)

# ---------------------------------------------------------------- the protocol


def test_t_interval_by_hand_and_by_scipy():
    """Four differences: mean 0.04, sd sqrt(0.001 / 3), and t(3, 0.975) = 3.18245 from a table."""
    found, p = t_interval([0.02, 0.05, 0.03, 0.06])
    half = 3.18245 * np.sqrt(0.001 / 3) / 2
    np.testing.assert_allclose([found.value, found.low, found.high], [0.04, 0.04 - half, 0.04 + half], rtol=1e-5)
    assert p == pytest.approx(stats.ttest_rel([0.12, 0.25, 0.33, 0.46], [0.10, 0.20, 0.30, 0.40]).pvalue)
    assert t_interval([0.5, 0.5, 0.5])[0].low == 0.5
    assert np.isnan(t_interval([0.5])[1])


def test_t_interval_covers_what_it_says_where_the_bootstrap_does_not():
    draw = np.random.default_rng(0).normal(0.1, 1.0, (2000, 5))
    covered = np.mean([found.low <= 0.1 <= found.high for found, _ in map(t_interval, draw)])
    assert 0.935 <= covered <= 0.965


def test_the_primary_is_judged_alone_and_the_others_by_holm():
    """Holm by hand: three p-values times 3, 2, 1 in order of size; the primary's is not among them."""
    draw = np.random.default_rng(1)
    values = {name: draw.normal(mean, 0.1, 8) for name, mean in {"a": 0.2, "b": 0.1, "c": 0.09, "d": 0.0}.items()}
    points = judge(Endpoint("a", values["a"]), [Endpoint(name, values[name]) for name in "bcd"])
    p = {name: stats.ttest_1samp(values[name], 0).pvalue for name in "bcd"}
    adjusted, largest = {}, 0.0
    for name, times in zip(sorted(p, key=p.get), (3, 2, 1), strict=True):
        adjusted[name] = largest = max(largest, times * p[name])
    assert {point.claim: point.held for point in points[1:]} == {
        n: bool(adjusted[n] < 0.05 and values[n].mean() > 0) for n in "bcd"
    }
    assert {point.held for point in points[1:]} == {True, False}, "the case must tell the two apart"
    assert points[0].held and "Holm" not in points[0].numbers
    assert f"Holm {adjusted['b']:.4f}" in points[1].numbers


def test_an_endpoint_must_exceed_what_it_says():
    values = [0.02, 0.05, 0.03, 0.06]
    assert judge(Endpoint("not worse by 0.01", values, above=-0.01))[0].held
    assert not judge(Endpoint("better by 0.03", values, above=0.03))[0].held
    assert not judge(Endpoint("loses", [-v for v in values]))[0].held
    assert "+0.040 [+0.011, +0.069]" in judge(Endpoint("better by 0.03", values, above=0.03))[0].numbers


def test_detectable_effect_is_found_as_often_as_it_says():
    shift = detectable(1.0, seeds=8)
    draw = np.random.default_rng(2).normal(shift, 1.0, (20_000, 8))
    assert np.mean(stats.ttest_1samp(draw, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.01)
    at = [detectable(1.0, seeds) for seeds in (2, 3, 8, 16, 50, 200)]  # at 50 seeds it ended in NaN once
    assert at == sorted(at, reverse=True)
    assert at[-1] == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / np.sqrt(200), rel=0.02)


# ---------------------------------------------------------------- the run pool

TASKS = [{"arm": arm, "seed": seed} for arm in ("a", "b") for seed in range(2)]


def square(arm: str, seed: int) -> dict[str, int]:
    return {"value": seed**2 + (arm == "b")}


def test_a_pool_goes_on_after_a_kill(tmp_path):
    """A task that dies, then a row that was cut off in the middle: what was whole is kept, byte for byte."""
    file, ran = tmp_path / "rows.jsonl", []

    def dying(arm: str, seed: int) -> dict[str, int]:
        ran.append((arm, seed))
        if (arm, seed) == ("b", 0):
            raise KeyboardInterrupt
        return square(arm, seed)

    with pytest.raises(KeyboardInterrupt):
        run_tasks(file, TASKS, dying)
    kept = file.read_bytes()
    file.write_bytes(kept + b'{"arm":"b","seed":0,"val')
    rows = run_tasks(file, TASKS, lambda **task: ran.append(tuple(task.values())) or square(**task))
    assert ran == [("a", 0), ("a", 1), ("b", 0), ("b", 0), ("b", 1)]
    assert file.read_bytes().startswith(kept)
    assert [row["value"] for row in rows] == [0, 1, 1, 2]
    assert rows == read_rows(file) and all(row["seconds"] >= 0 for row in rows)
    assert run_tasks(file, TASKS[::-1], dying) == rows[::-1], "nothing is left to run; rows come in the tasks' order"


def test_processes_give_the_rows_of_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    values = [[row["value"] for row in run_tasks(tmp_path / f"{j}.jsonl", TASKS, square, j)] for j in (1, 2)]
    assert values[0] == values[1] == [0, 1, 1, 2]


def test_one_writer_at_a_time(tmp_path):
    lock = take_lock(tmp_path, "rerun", "folder")
    with pytest.raises(RunError, match="Another rerun"):
        run_tasks(tmp_path / "rows.jsonl", TASKS, square)
    lock.release()


def test_rows_are_removed_only_after_they_were_stored(tmp_path):
    def fail() -> None:
        with run_all_again(tmp_path, TASKS, square) as rows:
            assert len(rows) == 4
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert len(read_rows(tmp_path / "rows.jsonl")) == 4
    with run_all_again(tmp_path, TASKS, square):
        pass
    assert not (tmp_path / "rows.jsonl").exists()


# ---------------------------------------------------------------- a whole finding

TEMPLATE = """\
# Two arms

{verdict}

**Design.** {seeds} seeds.

{gates}

<!-- results -->
| point | number | held |
|---|---|---|
{points}

Summary: {summary}, {held}.
"""


@pytest.fixture
def finding(tmp_path):
    """Return a function that makes a finding of two arms from its gate's value, and the list of what was run."""
    (tmp_path / "scripts" / "findings" / "pages").mkdir(parents=True)
    (tmp_path / "scripts" / "findings" / "pages" / "arms.md").write_text(TEMPLATE)
    rows, ran = tmp_path / "docs" / "findings" / "arms" / "rows.jsonl", []

    def make(gate: float) -> Finding:
        def load():
            values = [row["value"] for row in read_rows(rows)]
            if not values:
                raise FileNotFoundError(rows)
            return values

        def page(values) -> Page:
            point = Point("b - a", f"{values[2] - values[0]:+d}", values[2] > values[0])
            return Page([point, Point("c - a", "n/a", "void")], {"b above a": point.held})

        def rerun(options: Namespace) -> None:
            ran.extend(run_tasks(rows, TASKS, square, options.jobs))

        def gates() -> list[Gate]:
            return [Gate("pass@1 of the base", gate, 0.05, 0.2), Gate("mixed groups", 0.7, low=0.5)]

        return Finding("arms", load, page, rerun, gates, settings={"seeds": 2}, repo=tmp_path)

    return make, ran


def test_passed_gates_lead_to_a_page(finding, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, ran = finding
    make(0.1).main("", [])
    assert not (tmp_path / "docs/findings/arms.md").exists(), "no results, no page"
    make(0.1).main("", ["--rerun"])
    assert len(ran) == 4
    text = (tmp_path / "docs/findings/arms.md").read_text()
    assert text.splitlines()[2] == "**Verdict: held.**"
    for piece in ("| b - a | +1 | yes |", "| c - a | n/a | void |", "Summary: reproduced, 1.", "0.05 to 0.2 | yes |"):
        assert piece in text
    make(0.1).main("", [])
    assert (tmp_path / "docs/findings/arms.md").read_text() == text


def test_a_failed_gate_says_not_testable_here_and_runs_no_arm(finding, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, ran = finding
    make(0.3).main("", ["--rerun"])
    assert ran == []
    text = (tmp_path / "docs/findings/arms.md").read_text()
    assert text.splitlines()[2:4] == [
        "**Verdict: not testable here.**",
        "What was wrong with the design: pass@1 of the base is 0.3, asked 0.05 to 0.2.",
    ]
    assert "2 seeds" in text and "| pass@1 of the base | 0.3 | 0.05 to 0.2 | no |" in text and "Summary" not in text
    make(0.1).main("", ["--rerun"])
    assert ran == [], "gates are measured once: a second look is a new design"
    assert json.loads((tmp_path / "docs/findings/arms/gates.json").read_text())[0]["value"] == 0.3


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([True, True], "reproduced"),
        ([True, False], "partly reproduced"),
        ([False], "not reproduced"),
        ([], "not reproduced"),
    ],
)
def test_outcome_of_a_criterion(held, said):
    assert outcome(held) == said


def test_a_gate_passes_at_its_edges_and_never_without_a_number():
    assert Gate("x", 0.2, 0.05, 0.2).passed and not Gate("x", np.nextafter(0.2, 1), 0.05, 0.2).passed
    assert not Gate("x", float("nan")).passed
    assert all(Gate("x", b).passed for a, b in pairwise([0.0, 1e9]))


@pytest.fixture
def example(tmp_path):
    """Write the finding that scripts/findings/README.md shows, beside a copy of the shared package; return its runner."""
    home = tmp_path / "scripts" / "findings"
    shutil.copytree(
        REPO / "scripts" / "findings" / "finding", home / "finding", ignore=shutil.ignore_patterns("__pycache__")
    )
    (home / "pages").mkdir()
    text = (REPO / "scripts" / "findings" / "README.md").read_text(encoding="utf-8")
    script, words = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1] for kind in ("python", "markdown"))
    (home / "median.py").write_text(script)
    (home / "pages" / "median.md").write_text(words)

    def run(*argv: str) -> str:
        code = [sys.executable, str(home / "median.py"), *argv]
        subprocess.run(code, check=True, env={**os.environ, "PYTHONPATH": str(REPO)}, capture_output=True)
        return (tmp_path / "docs" / "findings" / "median.md").read_text()

    return run


def test_the_finding_of_the_readme_runs(example):
    text = example("--rerun")
    assert text.splitlines()[2] == "**Verdict: held.**"
    assert "| share of draws beyond 4 |" in text and "8 seeds" in text
    assert example() == text
