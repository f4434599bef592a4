"""Run the benchmarks in both precisions, name the machine, and say whether it was quiet while they ran.

    make bench                                         tiny, minutes
    make bench MODEL=smollm2-135m-instruct             the real one, about an hour for each precision
    python scripts/bench/run.py --parts step --precisions float32 --out bench

Each part writes OUT/<part>.json, and OUT/<part>-bfloat16.json in the other precision, which runs where this machine
multiplies bfloat16 in hardware or where --precisions asks for it. To each file this adds "run": the machine, wall and
CPU seconds of the part (its processes together), the load average before it began, and how many cores other programs
used meanwhile. A run is called quiet only if both say so; its numbers are written either way, with the reason.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

BENCH = Path(__file__).parent
sys.path.insert(0, str(BENCH.parent))
PARTS = ("step", "sampling", "training", "growth")
LOAD = 0.25  # load average for each core, at most, before a quiet run: an idle machine has some daemons
OTHERS = 0.05  # share of the cores, at most, that other programs may use during one


class Used(NamedTuple):
    """Hold what a stretch of time used: wall seconds, CPU seconds of our processes, cores that others kept busy."""

    wall_seconds: float
    cpu_seconds: float
    others_cores: float


def our_seconds() -> float:
    """Return the CPU seconds of this process and of the children that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def busy_seconds() -> float:
    """Return the seconds that all cores of the machine have worked, for whomever (a virtual machine's thieves too)."""
    times = psutil.cpu_times()._asdict()
    return sum(times.get(kind, 0.0) for kind in ("user", "system", "nice", "irq", "softirq", "steal"))


def watched(command: Sequence[str], env: dict[str, str]) -> Used:
    """Run a command to its end and return what it used; SystemExit with its status if it fails."""
    start, ours, busy = time.perf_counter(), our_seconds(), busy_seconds()
    status = subprocess.run(command, env=env, check=False).returncode
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")
    wall, cpu = time.perf_counter() - start, our_seconds() - ours
    return Used(wall, cpu, max(0.0, busy_seconds() - busy - cpu) / wall)


def disturbance(load: float, others: float, cores: int) -> str:
    """Return why a run on `cores` cores was not quiet, or "" if it was.

    `load`: the load average before its first part; `others`: cores that other programs used while a part ran.

    >>> disturbance(0.1, 0.02, 2)
    ''
    >>> disturbance(11.3, 0.02, 2)
    'load average 11.3 on 2 cores before it began'
    """
    reasons = []
    if not load <= LOAD * cores:
        reasons.append(f"load average {load:.1f} on {cores} cores before it began")
    if not others <= OTHERS * cores:
        reasons.append(f"other programs used {others:.2f} of {cores} cores meanwhile")
    return ", ".join(reasons)


def commands(part: str, precision: str, model: str, out: Path) -> list[str]:
    """Return the command line of a part; the step and the training pass read RLVR_PRECISION instead of a flag."""
    dtype = ["--dtype", precision] if part == "sampling" else []
    return [sys.executable, str(BENCH / f"{part}.py"), "--model", model, *dtype, "--out", str(out)]


def run_part(command: list[str], out: Path, precision: str, machine: dict[str, Any], load: float) -> str:
    """Run a part, add what is known of the run to its file, and return one line about it."""
    used = watched(command, {**os.environ, "RLVR_PRECISION": precision})
    why = disturbance(load, used.others_cores, machine["cores"])
    known = {"machine": machine, "precision": precision, **used._asdict(), "load_before": load, "quiet": not why}
    content = json.loads(out.read_text(encoding="utf-8")) | {"run": known | {"disturbance": why}}
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return f"{out.stem} in {precision}: {used.wall_seconds:.1f} s, {used.cpu_seconds:.1f} s of processor time; " + (
        f"NOT quiet: {why}" if why else "quiet"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts one after the other and print, at the end, which of them had a quiet machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16"), help="default: what is fast here")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder to write to")
    args = parser.parse_args(argv)
    load = os.getloadavg()[0]  # before this script loads anything itself
    from machine_check import facts

    machine = facts()
    if "broken" in machine:
        raise SystemExit(f"this machine cannot be named: {machine['broken']}")
    print(f"{machine['processor']}, {machine['cores']} cores, {machine['device']}; load average before: {load:.1f}")
    precisions = args.precisions or ["float32", *(["bfloat16"] if native(machine) else [])]
    if "bfloat16" not in precisions:
        print("bfloat16 is left out: this machine emulates it; --precisions float32 bfloat16 runs it all the same")
    args.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for part in args.parts:
        for precision in precisions if part != "growth" else precisions[:1]:  # growth loads float32 weights
            out = args.out / f"{part}{'-bfloat16' if precision == 'bfloat16' else ''}.json"
            print(f"\n{part}, {precision}", flush=True)
            lines.append(run_part(commands(part, precision, args.model, out), out, precision, machine, load))
    print("\n" + "\n".join(lines))


def native(machine: dict[str, Any]) -> bool:
    """Return whether bfloat16 is worth timing: RLVR_PRECISION does not count, what the hardware does alone."""
    return machine["gpu"] or bool({"avx512_bf16", "amx_bf16", "bf16"} & set(machine["flags"]))


if __name__ == "__main__":
    main()
