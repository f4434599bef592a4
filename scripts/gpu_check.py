"""Checks rlvr on a GPU in at most ten minutes, without a network: what cannot be run on a machine that has none.

    python scripts/gpu_check.py                               one GPU, or two
    python scripts/gpu_check.py --model smollm2-135m-instruct the packaged model in the timings
    python scripts/gpu_check.py --device cpu --quick          the script itself, on `tiny`, in about a minute

Each part is a process of its own with its own limit: one that fails or hangs is reported and stops no other. The
results go to gpu_check/ as gpu_check.json, gpu_check.md (a table for docs/machines.md) and one log per part. The exit
status is 1 if a part did not pass, 2 without a GPU. vLLM and two GPUs are checked where they are.
"""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

REPO = Path(__file__).parents[1]
TOTAL = 600  # seconds


class Part(NamedTuple):
    """One check: a command, its limit in seconds, and what to read from the JSON file that it writes, if it does."""

    name: str
    command: list[str]
    limit: float
    out: Path | None = None
    read: Callable[[Any], dict[str, str]] | None = None


@dataclass
class Outcome:
    """What became of a part: ok, failed, timed out or skipped (with the reason), its seconds and its figures."""

    name: str
    state: str
    seconds: float
    detail: str = ""
    figures: dict[str, str] = field(default_factory=dict)


def parts(folder: Path, model: str, facts: dict[str, Any], quick: bool) -> list[Part]:
    """Return the checks, the most telling first; what TOTAL leaves no time for is skipped."""
    bench, tests, on_cpu = REPO / "scripts" / "bench", REPO / "tests", facts["device"] == "cpu"
    pytest = [sys.executable, "-m", "pytest", "-rfE", "--tb", "short"]
    which = ["-k", "cpu and (greedy or step_is_trls)" if quick else "cpu"] if on_cpu else ["-m", "device and not slow"]
    sampling_size = "--sequences 32 128 --repeats 3 --tokens 128 --group 8"
    step_size = "--repeats 1 --steps 6 --tokens 128 --prompts 8 --group 8"
    if quick:
        sampling_size = "--sequences 8 --repeats 1 --tokens 8 --group 4"
        step_size = "--repeats 1 --steps 2 --tokens 8 --prompts 2 --group 4"
    sampling = [sys.executable, str(bench / "sampling.py"), "--model", model, *sampling_size.split()]
    sampling += ["--dtype", facts["precision"]]
    step = [sys.executable, str(bench / "step.py"), "--model", model, *step_size.split()]

    def timing(name: str, command: list[str], limit: float, read: Callable[[Any], dict[str, str]]) -> Part:
        out = folder / f"{slug(name)}.json"
        return Part(name, [*command, "--out", str(out)], limit, out, read)

    found = [
        Part("tests on the device", [*pytest, str(tests / "test_device.py"), *which], 150),
        timing("sampling: rlvr against transformers", sampling, 110, sampling_figures),
        timing("a step: rlvr against TRL", step, 110, step_figures),
    ]
    if facts["vllm"]:
        arms = ["--arms", "rlvr", "--vllm", sys.executable]
        found.append(timing("sampling: rlvr against vLLM", [*sampling, *arms], 110, sampling_figures))
        found.append(timing("a step with vLLM", [*step, "--arms", "rlvr_vllm", "trl_vllm"], 110, step_figures))
    if facts["count"] >= 2:
        two = [str(tests / "test_two_processes.py"), "-k", "gpus", "-m", "device and not slow"]
        found.append(Part("two processes on two GPUs", [*pytest, *two], 150))
    return found


def slug(name: str) -> str:
    """Return the file name of a part."""
    return "_".join(re.findall(r"\w+", name))


def sampling_figures(found: Any) -> dict[str, str]:
    """Read scripts/bench/sampling.py's file: the median speed and the peak memory of every arm."""
    figures = {}
    for n, arms in found["tokens_per_second"].items():
        for arm, speeds in arms.items():
            peak = found["peak_gb"][n].get(arm)
            memory = f", peak {peak:.2f} GB" if peak and found["device"] != "cpu" else ""
            figures[f"{arm}, {n} sequences"] = f"{median(speeds):,.0f} tokens/s{memory}"
    return figures


def step_figures(found: Any) -> dict[str, str]:
    """Read scripts/bench/step.py's file: seconds, sampling speed and peak memory of every arm."""
    return {
        arm: f"{median(r['seconds'] for r in runs):.3f} s a step, "
        f"{median(r['sampled_tokens_per_second'] for r in runs):,.0f} tokens/s sampled, "
        f"peak {max(r['peak_gb'] for r in runs):.2f} GB"
        for arm, runs in found["runs"].items()
    }


def run(part: Part, folder: Path, left: float, env: dict[str, str]) -> Outcome:
    """Run a part within its limit and the seconds left; its output goes to a log."""
    limit, start = min(part.limit, left), time.monotonic()
    if limit < 5:
        return Outcome(part.name, "skipped", 0.0, "no time left")
    log = folder / f"{slug(part.name)}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            part.command, cwd=REPO, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(process.pid, 9)  # with what it started
            process.wait()
    seconds = time.monotonic() - start
    if status is None:
        return Outcome(part.name, "timed out", seconds, f"over {limit:.0f} s; see {log}")
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    if status:
        return Outcome(part.name, "failed", seconds, f"{lines[-1][:200]} (status {status}; see {log})")
    figures = part.read(json.loads(part.out.read_text())) if part.read and part.out else {}
    return Outcome(part.name, "ok", seconds, "" if figures else lines[-1][:200], figures)


def machine(device: str) -> dict[str, Any]:
    """Say what this is run on."""
    import torch
    import transformers
    import trl

    from rlvr.models.precision import native_bf16

    name, count = "cpu", 0
    if device != "cpu":
        card, count = torch.cuda.get_device_properties(0), torch.cuda.device_count()
        name = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    return {
        "device": name, "count": count, "precision": "bfloat16" if native_bf16(device) else "float32",
        "vllm": device != "cpu" and importlib.util.find_spec("vllm") is not None, "torch": torch.__version__,
        "cuda": torch.version.cuda, "transformers": transformers.__version__, "trl": trl.__version__,
    }  # fmt: skip


def markdown(facts: dict[str, Any], outcomes: list[Outcome]) -> str:
    """Return the table for docs/machines.md."""
    head = ", ".join(f"{key} {value}" for key, value in facts.items())
    rows = ["| part | state | seconds | |", "|---|---|---|---|"]
    for outcome in outcomes:
        rows.append(
            f"| {outcome.name} | {outcome.state} | {outcome.seconds:.0f} | {outcome.detail.replace('|', '/')} |"
        )
        rows += [f"| | | | {name}: {figure} |" for name, figure in outcome.figures.items()]
    return f"{time.strftime('%Y-%m-%d')}: {head}\n\n" + "\n".join(rows) + "\n"


def main() -> int:
    """Run all parts one after the other and write what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the script itself")
    parser.add_argument("--model", default="tiny", help="spec for the timings: tiny, smollm2-135m-instruct, a folder")
    parser.add_argument("--quick", action="store_true", help="few tests, few tokens")
    parser.add_argument("--out", type=Path, default=Path("gpu_check"), help="folder of the results")
    args = parser.parse_args()
    start, folder = time.monotonic(), args.out.resolve()
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print(
            f"gpu_check: no GPU is visible to torch {torch.__version__}, so nothing was checked. Run it on a machine "
            "with one (a CUDA build of torch: make setup TORCH=cuda), or try the script: --device cpu --quick.",
            file=sys.stderr,
        )
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(REPO), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    if args.device == "cpu":
        env |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    facts, model = machine(args.device) | {"model": args.model}, args.model
    if facts["vllm"]:  # it reads folders
        from rlvr.models.load import load_model

        model = str(folder / "model")
        for saved in load_model(args.model):
            saved.save_pretrained(model)
    outcomes: list[Outcome] = []
    for part in parts(folder, model, facts, args.quick):
        outcomes.append(run(part, folder, TOTAL - (time.monotonic() - start), env))
        print(f"{outcomes[-1].state:>9}  {outcomes[-1].seconds:4.0f} s  {part.name}  {outcomes[-1].detail}", flush=True)
    found = {"machine": facts, "seconds": time.monotonic() - start, "parts": [asdict(o) for o in outcomes]}
    (folder / "gpu_check.json").write_text(json.dumps(found, indent=2) + "\n")
    (folder / "gpu_check.md").write_text(markdown(facts, outcomes))
    print(f"\n{markdown(facts, outcomes)}\nwritten to {folder}")
    return int(any(o.state != "ok" for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
