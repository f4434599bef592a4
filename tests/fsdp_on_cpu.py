"""`rlvr` sharded by FSDP2 over CPU processes.

    python -m torch.distributed.run --nproc_per_node 2 -m tests.fsdp_on_cpu train ... --use_cpu true

accelerate reads its FSDP settings only where it has found GPUs, though torch shards over gloo too. For the moment in
which accelerate chooses, the processes are called GPUs; everything after that is accelerate's, TRL's and rlvr's own.
Beside the saved model it writes sharded.pt: the logits of the sharded model, and how much of it this process held.
"""

import os
import sys

import torch
from accelerate.state import AcceleratorState, DistributedType, PartialState
from torch.distributed.tensor import DTensor

FSDP = {
    "ACCELERATE_USE_CPU": "true",
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}  # as scripts/accelerate/fsdp2_cpu.yaml
_chosen = AcceleratorState.__init__


def _choose(self: AcceleratorState, *args, **kwargs) -> None:
    """Let accelerate choose as if the CPU processes were GPUs, once per state."""
    PartialState(cpu=True)
    fresh = AcceleratorState._shared_state == {}
    if fresh and PartialState._shared_state["distributed_type"] == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    _chosen(self, *args, **kwargs)


def _look_at(save):
    """Return `save_model` that also says what the sharded model computes on the ids 1 to 16."""

    def saved(self, folder: str) -> None:
        save(self, folder)
        held = [p for p in self.model.parameters() if isinstance(p, DTensor)]
        share = sum(p.to_local().numel() for p in held) / sum(p.numel() for p in self.model.parameters())
        with torch.no_grad():
            logits = self.model(torch.arange(1, 17)[None]).logits
        if PartialState().is_main_process:
            torch.save({"logits": logits, "share": share}, f"{folder}/sharded.pt")

    return saved


if __name__ == "__main__":
    os.environ.update(FSDP)
    AcceleratorState.__init__ = _choose  # type: ignore[method-assign]
    from rlvr.commands.main import main
    from rlvr.training.trainer import RLVRTrainer

    RLVRTrainer.save_model = _look_at(RLVRTrainer.save_model)  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
