#!/usr/bin/env bash
# The device checks, in under four minutes on one GPU: windows a second of the fit at batch 1, 16, 256 and 1024, peak
# memory, agreement with the CPU. From a checkout with hmpfit's packages installed:
#   bash benchmarks/gpu.sh [OUT]                   # writes OUT/gpu.txt (default: gpu_check) and exits with 1 on failure
#   DEVICE=cpu SIZES=1,2 bash benchmarks/gpu.sh    # the same on a CPU, to see that the script works
set -euo pipefail
cd "$(dirname "$0")/.."
device=${DEVICE:-cuda} sizes=${SIZES:-1,16,256,1024} out=${1:-gpu_check} python=${PYTHON:-python}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
mkdir -p "$out"
"$python" benchmarks/gpu_check.py --device "$device" --sizes "$sizes" | tee "$out/gpu.txt"
