"""Print what a device does with the fit: windows a second by size of the batch, peak memory, agreement with the CPU.

`bash benchmarks/gpu.sh` runs it. Exits with 1 where a joint of the device's fit is farther than 0.1 mm from the CPU's.
"""

import argparse
import sys
import time

import numpy as np
import torch

from hmpfit.bench.solver_speed import made_start
from hmpfit.fitting.batching.gather import ClipToFit
from hmpfit.fitting.stages import Fitted, fit_batch
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.pipeline.devices import device_for
from hmpfit.priors.motion_field.loading import load_default
from hmpfit.recipes import load_recipe

MOST_APART_MM = 0.1
COMPARED, DISTINCT = 8, 16  # clips that the CPU fits too; clips that are made


def main() -> int:
    """Measure and print; return the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default="cuda")
    options.add_argument("--sizes", default="1,16,256,1024")
    options.add_argument("--seconds", type=float, default=150.0, help="no further size begins after so long")
    chosen = options.parse_args()
    device, sizes = device_for(chosen.device), sorted(int(size) for size in chosen.sizes.split(","))
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"device: {name}, torch {torch.__version__}")
    models, prior, recipe = load_hand_models("open"), load_default(), load_recipe("default")
    began = time.perf_counter()
    made = [made_start(models, prior.window_frames, number) for number in range(min(sizes[-1], DISTINCT))]
    clips = [ClipToFit(one.initial, one.tracks, one.camera, models) for one in made]

    def fit(some: list[ClipToFit], on: str) -> list[Fitted]:
        most = len(some) * prior.window_frames if on == "cuda" else None
        found = fit_batch(some, prior, recipe, device=on, most_frames=most)
        if on == "cuda":
            torch.cuda.synchronize()
        return found

    fit(clips[:1], device)
    print("windows  seconds  windows/s  peak MiB")
    for size in sizes:
        if time.perf_counter() - began > chosen.seconds:
            print(f"{size:7d}  left out: time is up")
            continue
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        fit([clips[n % len(clips)] for n in range(size)], device)
        took = time.perf_counter() - start
        peak = f"{torch.cuda.max_memory_allocated() / 2**20:8.0f}" if device == "cuda" else "       -"
        print(f"{size:7d}  {took:7.2f}  {size / took:9.1f}  {peak}", flush=True)
    some = clips[: min(COMPARED, len(clips))]
    apart = max(
        float(np.linalg.norm(pose_hands(models, a.motion).joints - pose_hands(models, b.motion).joints, axis=-1).max())
        for a, b in zip(fit(some, device), fit(some, "cpu"), strict=True)
    )
    agrees = 1e3 * apart <= MOST_APART_MM
    told = "within" if agrees else "beyond"
    print(f"joints beside the CPU's: {1e3 * apart:.4f} mm at most ({told} {MOST_APART_MM} mm)")
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
