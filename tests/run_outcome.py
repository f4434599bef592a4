"""What a run left on disk, without what the clock says: two runs compared to the bit."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from rlvr.runs.directory import read_metrics


def outcome(run: Path) -> dict[str, object]:
    """What a run left, without what the clock says and where it lies: contents, not names."""
    timed = ("seconds", "step_time", "sampling/tokens_per_second")
    found: dict[str, object] = {
        "metrics": [{k: v for k, v in row.items() if k not in timed} for row in read_metrics(run / "metrics.jsonl")]
    }
    for path in (*run.glob("rollouts/*"), *run.glob("difficulty.parquet")):
        found[path.name] = path.read_bytes()
    for path in run.glob("eval/*/*.json"):
        record = json.loads(path.read_text())
        found[f"{path.parent.name}/{path.name}"] = {k: v for k, v in record.items() if k not in ("seconds", "model")}
    for path in (*run.glob("model/*.safetensors"), *run.glob("checkpoints/*/*.safetensors")):
        for name, weight in load_file(path).items():
            found[f"{path.parent.name}/{name}"] = weight
    return found


def assert_same(left: Path, right: Path) -> None:
    one, other = outcome(left), outcome(right)
    assert one.keys() == other.keys()
    for name, value in one.items():
        same = torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        assert same, name
