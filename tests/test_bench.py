"""`make bench` names the machine, counts CPU seconds beside wall seconds, and calls no busy machine quiet."""

import json
import subprocess
import sys

import pytest

from rlvr.models.precision import cores
from scripts.bench import run as bench
from tests.conftest import REPO

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
ENDLESS = "while True: pass"


@pytest.fixture
def neighbour():
    """Another program that keeps a core busy."""
    process = subprocess.Popen([sys.executable, "-c", ENDLESS])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("load", "others", "says"),
    [
        (0.5, 0.1, ""),  # both at their limit, on two cores
        (0.51, 0.1, "load average 0.5 on 2 cores before it began"),
        (0.5, 0.11, "other programs used 0.11 of 2 cores meanwhile"),
        (3.0, 1.2, "load average 3.0 on 2 cores before it began, other programs used 1.20 of 2 cores meanwhile"),
        (float("nan"), 0.0, "load average nan on 2 cores before it began"),  # what is not known is not quiet
        (0.0, float("nan"), "other programs used nan of 2 cores meanwhile"),
    ],
)
def test_only_an_idle_machine_is_quiet(load, others, says):
    assert bench.disturbance(load, others, 2) == says
    assert bench.disturbance(4 * load, 4 * others, 8) == says.replace("0.5 on 2", "2.0 on 8").replace(
        "0.11 of 2", "0.44 of 8"
    ).replace("3.0 on 2", "12.0 on 8").replace("1.20 of 2", "4.80 of 8").replace(" 2 ", " 8 ")


def part(tmp_path, code=BURN):
    """Return the command of a part that works for 0.4 s and writes its file, and the file."""
    out = tmp_path / "step.json"
    code += f"open({str(out)!r}, 'w').write('{{\"runs\": 1}}')\n"
    return [sys.executable, "-c", code], out


def test_cpu_seconds_are_those_of_the_part_and_a_neighbour_is_seen(tmp_path, neighbour):
    command, out = part(tmp_path)
    line = bench.run_part(command, out, "float32", {"cores": cores(), "processor": "EPYC"}, load=0.0)
    content = json.loads(out.read_text())
    known = content["run"]
    assert content["runs"] == 1 and known["machine"]["processor"] == "EPYC" and known["precision"] == "float32"
    assert 0.4 <= known["cpu_seconds"] < 2.0  # with the start of Python; the neighbour's are not among them
    assert known["wall_seconds"] >= known["cpu_seconds"] * 0.9
    assert known["others_cores"] > 0.05 * cores() and not known["quiet"]
    assert "NOT quiet: other programs used" in line and "of processor time" in line


def test_the_load_before_it_decides_too(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "OTHERS", 2.0)  # whatever else runs here
    command, out = part(tmp_path)
    machine = {"cores": 2}
    assert bench.run_part(command, out, "bfloat16", machine, load=0.2).endswith("; quiet")
    assert json.loads(out.read_text())["run"]["quiet"] is True
    assert "NOT quiet: load average 7.0 on 2 cores" in bench.run_part(command, out, "bfloat16", machine, load=7.0)


def test_the_part_runs_in_its_precision_and_a_failure_ends_the_benchmark(tmp_path):
    command, out = part(tmp_path, "import os\nassert os.environ['RLVR_PRECISION'] == 'bfloat16'\n")
    bench.run_part(command, out, "bfloat16", {"cores": 2}, load=0.0)
    with pytest.raises(SystemExit, match="ended with status 1"):
        bench.run_part(command, out, "float32", {"cores": 2}, load=0.0)


def test_bfloat16_is_timed_where_it_is_native():
    assert bench.native({"gpu": True, "flags": []}) and bench.native({"gpu": False, "flags": ["avx2", "amx_bf16"]})
    assert not bench.native({"gpu": False, "flags": ["avx2", "avx512_f"]})


@pytest.mark.slow
def test_the_parts_write_cpu_seconds_beside_wall_seconds(tmp_path):
    done = subprocess.run(
        [sys.executable, REPO / "scripts/bench/run.py", "--parts", "training", "--precisions", "float32", "--out", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "training.json").read_text())
    assert len(found["shared prompts"]["cpu_seconds"]) == len(found["shared prompts"]["seconds"]) == 3
    assert found["run"]["machine"]["processor"] and found["run"]["load_before"] >= 0
    assert "training in float32" in done.stdout and ("quiet" in done.stdout)
