"""Withheld stretches of real hands with 3D truth: `python benchmarks/withheld_truth.py TRUTH -o DIR`.

Stretches of every clip are withheld from detector, tracker and fit, `--seconds` long and `--every` so many seconds one,
the first drawn by the seed. PA-, RA-MPJPE and the error in the camera's frame, mm, over the joints of these frames:
SLERP (`--solver none`), the fit that reads nothing from their pictures (`keypoints.followed` 0), and the default.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from earlier_runs import take_stages
from real_truth import mean, true_joints

from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.evaluation.real_truth import RealErrors, real_errors
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.interfaces.dataset import Sequence
from hmpfit.pipeline import fit_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import Bools, Floats

WAYS = {"SLERP": {"solver": "none"}, "no pixels": {"assignments": ("keypoints.followed=0",)}, "default": {}}


def stretches(times_s: Floats, seconds: float, every_s: float, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Return the half-open ranges of frames that are withheld; frames stay before, between and after them."""
    starts = np.arange(times_s[0] + generator.uniform(0.25, 0.75) * (every_s - seconds), times_s[-1], every_s)
    ranges = [np.searchsorted(times_s, (start, start + seconds)).tolist() for start in starts]
    return [(a, b) for a, b in ranges if 0 < a < b < len(times_s)]


def measure(
    sequence: Sequence, withheld: list[tuple[int, int]], joints: Floats, out: Path
) -> dict[str, list[RealErrors]]:
    """Return each way's errors of every hand [H, T, 21, 3] over the withheld frames."""
    frames: Bools = np.zeros(joints.shape[1], bool)
    for a, b in withheld:
        frames[a:b] = True
    found = {}
    for way, choices in WAYS.items():
        folder = out / way.replace(" ", "_") / sequence.name
        folder.mkdir(parents=True, exist_ok=True)
        take_stages(out / "SLERP" / sequence.name, folder, "tracks.npz")
        job = sequence_job(sequence, sequence.name, folder, out)
        first = sequence.video_frames[0] if sequence.video_frames else 0
        hidden = tuple((first + a, first + b) for a, b in withheld)
        settings = replace(of_job(job, resolve_settings(**choices)), hide_keypoints=hidden, workers=1)
        result = fit_in_folder(job.video, folder, settings)
        rows = match_hands(result.joints, result.motion.is_right, joints, sequence.truth().is_right)
        posed = np.where(frames[:, None, None], pick_hands(result.joints, rows), np.nan)
        found[way] = [real_errors(one, true) for one, true in zip(posed, joints)]
    return found


def main() -> None:
    """Choose, fit, print one row per set and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a stretch")
    parser.add_argument("--every", type=float, default=1.4, help="so many seconds one stretch")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    found: dict[str, dict[str, list[RealErrors]]] = {}
    for sequence in open_dataset(f"truth:{chosen.truth}").sequences:
        joints, generator = true_joints(sequence), np.random.default_rng([chosen.seed, len(sequence.name)])
        ranges = stretches(sequence.times_s, chosen.seconds, chosen.every, generator)
        errors = measure(sequence, ranges, joints, chosen.out)
        rows = found.setdefault(sequence.name.partition("/")[0], {way: [] for way in WAYS})
        for way, hands in errors.items():
            rows[way] += hands
    print("| set | way | frames of hands | PA | RA | camera |\n|---|---|---:|---:|---:|---:|")
    for name, ways in found.items():
        for way, hands in ways.items():
            numbers, frames = mean(hands), sum(one.frames for one in hands)
            three = (numbers[key] for key in ("pa_mpjpe_mm", "ra_mpjpe_mm", "camera_mm"))
            print(f"| {name} | {way} | {frames} | " + " | ".join(f"{number:.1f}" for number in three) + " |")


if __name__ == "__main__":
    main()
