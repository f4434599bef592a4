"""Makes tests/alarm_rows.json: what real runs of `tiny` logged, some that collapse and some that do not.

python -m tests.alarm_rows        (two minutes; the rows are committed, so nobody has to)
"""

import json
import sys
import tempfile
from pathlib import Path

from rlvr.commands.main import main
from rlvr.runs.directory import read_metrics

STORE = Path(__file__).with_suffix(".json")
KEYS = (
    "step", "accuracy", "format_rate", "entropy", "answers/repetition", "answers/echo", "completions/mean_length",
    "completions/mean_terminated_length", "completions/clipped_ratio", "groups/all_wrong", "groups/all_right", "kept",
    "grad_norm", "reward",
)  # fmt: skip
# Accepts the right sum and, by mistake, 7 for every problem: the model finds out.
LEAKY = """
from rlvr.core import specs
arithmetic = specs.import_file("data", "arithmetic")
VERSION = 1
load, solution = arithmetic.load, arithmetic.solution
def verify(answer, gold):
    return arithmetic.verify(answer, gold) or answer.strip() == "7"
"""
RUNS = {
    "healthy_grpo": ["grpo", "--learning_rate", "1e-4"],
    "healthy_rlcr": ["rlcr", "--learning_rate", "1e-4"],
    "healthy_w_reinforce": ["w_reinforce", "--learning_rate", "1e-5"],
    "brevity": ["grpo", "--rewards", '{"correct": 0.2, "length(target=0)": 0.8}', "--allow_hackable", "true",
                "--data", "arithmetic(levels=[3])", "--max_completion_length", "64", "--learning_rate", "1e-3"],
    "leaky_verifier": ["grpo", "--data", "leaky.py", "--learning_rate", "1e-3"],
    "nsr_weak_prior": ["nsr", "--learning_rate", "1e-3"],
}  # fmt: skip


def rows(name: str) -> list[dict]:
    """Train one run for 40 steps and return its rows, rounded."""
    recipe, *flags = RUNS[name]
    with tempfile.TemporaryDirectory() as folder:
        leaky = Path(folder) / "leaky.py"
        leaky.write_text(LEAKY)
        flags = [str(leaky) if flag == "leaky.py" else flag for flag in flags]
        argv = ["train", "--config", recipe, "tiny", "--max_steps", "40", "--eval_size", "0", *flags]
        assert main([*argv, "--no_report", "--output_dir", f"{folder}/run"]) == 0
        logged = read_metrics(Path(folder) / "run" / "metrics.jsonl")
    return [{k: r[k] if r[k] is None else round(r[k], 4) for k in KEYS if k in r} for r in logged]


if __name__ == "__main__":
    stored = json.loads(STORE.read_text()) if STORE.is_file() else {}
    stored |= {name: rows(name) for name in sys.argv[1:] or RUNS}
    lines = (f'"{name}": [\n' + ",\n".join(map(json.dumps, stored[name])) + "\n]" for name in RUNS if name in stored)
    STORE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
