"""Measure this machine and run make demo and make test on it: a row for docs/machines.md.

    make machine                                           both commands, about a quarter of an hour on two cores
    make machine ARGS='--append docs/machines.md'          and add the row there, its JSON to docs/machines.jsonl
    make machine ARGS='--run test --precision float32'     the tests only, with RLVR_PRECISION=float32
    .venv/bin/python scripts/machine_check.py --run none   the facts and the speeds, a few seconds

The row says processor, instruction sets, torch, the precision that rlvr chooses and why, the speed of matrix products,
and how the commands ended. A command that fails is a row too. Each command's output goes to a log, and its result into
check.json beside it as soon as it ends: started again, the check does not repeat what passed on the same commit
(without local changes), settings, torch and processor. Ctrl-C ends the command and the check. The exit status is 0 if
everything that was asked for passed.
"""

import argparse
import datetime
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[1]
COMMANDS = {"demo": ["make", "demo"], "test": ["make", "test"]}
SETTINGS = ("RLVR_PRECISION", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
FLAGS = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "neon", "sve", "bf16")  # as torch names them
HEADER = (
    "| date, commit | machine | flags | torch, ATen | precision | GFLOP/s float32, bfloat16 | make demo | make test |\n"
    "|---|---|---|---|---|---|---|---|"
)
_SUMMARY = re.compile(r"^=*\s*(\d+ (?:passed|failed|error|skipped).*?) in [\d.]+s", re.MULTILINE)


def processor() -> str:
    """Return the processor's name as its system gives it."""
    try:
        if sys.platform == "darwin":
            return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
        models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        return models[0].strip()
    except (OSError, IndexError, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()


def commit() -> str:
    """Return the commit of this checkout, "-dirty" behind it if anything but the table differs from it."""
    try:
        git = ["git", "-C", str(REPO)]
        head = subprocess.check_output([*git, "rev-parse", "--short=7", "HEAD"], text=True).strip()
        table = [":!docs/machines.md", ":!docs/machines.jsonl"]
        changed = subprocess.check_output([*git, "status", "--porcelain", "--", ".", *table], text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("-dirty" if changed else "")


def gflops(name: str, device: Any) -> float | None:
    """Return the best speed of a square matrix product in GFLOP/s; None where `device` has none in that precision.

    The best of a second of repeats: what others compute meanwhile makes threads wait for each other, up to a
    hundredfold, and says nothing of the machine.
    """
    import torch
    from torch.utils.benchmark import Timer

    def timer(n: int) -> Timer:
        a = torch.randn(n, n, device=device).to(getattr(torch, name))
        return Timer("a @ a", globals={"a": a}, num_threads=torch.get_num_threads())

    try:
        n = 256  # then as large as counts, but small enough for emulation
        while n < 8192 and min(timer(n).timeit(1).mean for _ in range(3)) < 0.01:
            n *= 2
        return 2 * n**3 / min(timer(n).blocked_autorange(min_run_time=1).times) / 1e9
    except RuntimeError:
        return None


def facts() -> dict[str, Any]:
    """Return what this machine is and what rlvr makes of it; a torch that does not import is a fact as well."""
    now = datetime.datetime.now(datetime.UTC)
    found: dict[str, Any] = {
        "date": f"{now:%Y-%m-%d}",
        "commit": commit(),
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "settings": {name: os.environ[name] for name in SETTINGS if os.environ.get(name)},
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }
    try:
        import psutil
        import torch

        from rlvr.models.precision import Precision, capabilities, cores, describe_device

        has, chosen = capabilities(), Precision.choose()
        return found | {
            "cores": cores(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "flags": [name for name in FLAGS if has.get(name)],
            "torch": torch.__version__,
            "aten": torch.backends.cpu.get_cpu_capability(),
            "device": describe_device(chosen.device),
            "gpu": chosen.device.type != "cpu",
            "precision": str(chosen),
            "gflops": {name: gflops(name, chosen.device) for name in ("float32", "bfloat16")},
        }
    except Exception as error:  # whatever breaks here would break the commands too, and is what the row has to say
        return found | {"broken": f"{type(error).__name__}: {error}"}


def run(command: list[str], log: Path, limit: float) -> dict[str, Any]:
    """Run a command with its output in `log`; return exit status (None: stopped at the limit), seconds and summary."""
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as out:
        try:
            child = subprocess.Popen(command, cwd=REPO, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            return {"status": 127, "seconds": 0, "summary": f"{command[0]} did not start: {error.strerror}"}
        try:
            status: int | None = child.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if child.poll() is None:
                if hasattr(os, "killpg"):
                    os.killpg(child.pid, signal.SIGKILL)
                child.kill()
                child.wait()
    found = _SUMMARY.findall(log.read_text(encoding="utf-8", errors="replace"))
    return {"status": status, "seconds": round(time.monotonic() - start), "summary": found[-1] if found else ""}


def cell(text: object) -> str:
    """Return a text as one cell of a Markdown table: no line ends, no bars.

    >>> cell("a | b")
    'a / b'
    """
    return " ".join(str(text).replace("|", "/").split())


def row(check: dict[str, Any]) -> str:
    """Return the Markdown row of a check, in the columns of HEADER."""

    def outcome(name: str) -> str:
        done = check["commands"].get(name)
        if done is None:
            return "not run"
        status = {0: "passed", None: "stopped"}.get(done["status"], f"FAILED, exit {done['status']}")
        return f"{status}, {done['seconds']} s" + (f" ({done['summary']})" if done["summary"] else "")

    settings = [f"{name}={value}" for name, value in check["settings"].items()]
    busy = check["load"] is not None and check["load"] > 0.5 * check.get("cores", 1)
    machine = [check["processor"], check["device"]] if check.get("gpu") else [check["processor"]]
    if "broken" in check:
        middle = [check["broken"], "-", "-", "-"]
    else:
        machine += [f"{check['cores']} cores, {check['memory_gb']} GB"]
        speeds = ["none" if speed is None else f"{speed:.3g}" for speed in check["gflops"].values()]
        middle = [
            " ".join(check["flags"]) or "none",
            f"{check['torch']}, {check['aten']}",
            check["precision"],
            ", ".join(speeds),
        ]
    machine += [check["system"], *settings, *([f"busy: load {check['load']}"] if busy else [])]
    cells = [f"{check['date']}, {check['commit']}", ", ".join(machine), *middle, outcome("demo"), outcome("test")]
    return "| " + " | ".join(map(cell, cells)) + " |"


def append(page: Path, check: dict[str, Any]) -> None:
    """Add the check's row below the table of `page`, and its JSON as a line to the .jsonl beside it."""
    text = page.read_text(encoding="utf-8")
    if HEADER not in text:
        raise SystemExit(f"{page} has no table of machines: it needs the lines\n{HEADER}")
    before, after = text.split(HEADER)
    rows = re.match(r"(\n\|.*)*", after)
    end = rows.end() if rows else 0
    page.write_text(f"{before}{HEADER}{after[:end]}\n{row(check)}{after[end:]}", encoding="utf-8")
    with page.with_suffix(".jsonl").open("a", encoding="utf-8") as out:
        out.write(json.dumps(check) + "\n")


def main() -> int:
    """Collect the facts, run what is asked for, print the row and the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--run", default="demo,test", help="demo, test, both (the default) or none")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), help="force it in both commands (RLVR_PRECISION)"
    )
    parser.add_argument("--append", type=Path, metavar="PAGE", help="add the row to the table of this Markdown page")
    parser.add_argument("--again", action="store_true", help="run everything, what passed before too")
    parser.add_argument("--limit", type=float, default=7200, help="seconds after which a command is stopped (7200)")
    parser.add_argument(
        "--out", type=Path, default=REPO / "build" / "machine-check", help="folder of logs and check.json"
    )
    args = parser.parse_args()
    names = [] if args.run == "none" else args.run.split(",")
    if unknown := [name for name in names if name not in COMMANDS]:
        parser.error(f"--run {args.run}: unknown {unknown}; known are {', '.join(COMMANDS)}, none")
    if args.append and not args.append.is_file():
        parser.error(f"--append {args.append}: no such file")
    if args.precision:
        os.environ["RLVR_PRECISION"] = args.precision
    check = facts() | {"commands": {}}
    out = args.out / (args.precision or "chosen")
    out.mkdir(parents=True, exist_ok=True)
    state = out / "check.json"
    same = ("commit", "processor", "system", "python", "settings", "torch", "aten", "precision")
    if state.is_file() and not args.again and not check["commit"].endswith("dirty"):
        before = json.loads(state.read_text(encoding="utf-8"))
        if all(before.get(key) == check.get(key) for key in same):
            check["commands"] = before["commands"]
    for name in names:
        if check["commands"].get(name, {}).get("status") == 0:
            print(f"{name}: passed before, {check['commands'][name]['seconds']} s (--again runs it again)", flush=True)
            continue
        log = out / f"{name}.log"
        print(f"{' '.join(COMMANDS[name])}: running, its output is in {log}", flush=True)
        check["commands"][name] = run(COMMANDS[name], log, args.limit)
        state.write_text(json.dumps(check), encoding="utf-8")
    print(f"\n{HEADER}\n{row(check)}\n\n{json.dumps(check)}")
    if args.append:
        append(args.append, check)
    return int("broken" in check or any(check["commands"][name]["status"] != 0 for name in names))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on with what has not passed yet")
