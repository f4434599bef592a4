#!/bin/bash
# One machine, one process per GPU (or PROCESSES=2 on a CPU); comes back where it was when it is started again:
#   bash scripts/single_node.sh --config rlcr smollm2 --output_dir runs/long
#   PROCESSES=2 bash scripts/single_node.sh --config rlcr tiny --output_dir runs/two --use_cpu true
# For a sharded model put `accelerate launch --config_file scripts/accelerate/fsdp2.yaml` in the place of torchrun.
set -euo pipefail
torchrun --standalone --nproc_per_node "${PROCESSES:-gpu}" -m rlvr train "$@" \
  --save_strategy steps --save_steps 10 --save_total_limit 2 --resume auto
