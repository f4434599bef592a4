#!/usr/bin/env bash
# Runs the fast tests as the other kind of CPU would: in bfloat16 (emulated) where this one has none, else in float32
# on AVX2's kernels. More arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
if .venv/bin/python -c 'import sys; from rlvr.models.precision import native_bf16; sys.exit(not native_bf16())'; then
    export RLVR_PRECISION=float32 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
else
    export RLVR_PRECISION=bfloat16
fi
echo "the fast tests with RLVR_PRECISION=$RLVR_PRECISION"
exec .venv/bin/python -m pytest -n 2 --dist worksteal -m "not slow" "$@"
