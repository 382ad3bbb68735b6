"""Withheld stretches of real clips beside SLERP: `python benchmarks/withheld_stretches.py CLIP... -o DIR --seed 1`.

Ten stretches of 15 frames a clip, chosen by the seed, are withheld from detector, tracker and fit, some at a time so
that at least twice as many frames stay. The score is the distance of the projected landmarks from what the detector
finds in them when it may look; SLERP is the initial motion with its gaps filled (`--solver none`). Detections in DIR
are reused.
"""

import argparse
from pathlib import Path

import numpy as np

from hmpfit.pipeline import fit_in_folder, keypoints_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import Floats
from hmpfit.video.clip import open_clip

MOST_DRAWS = 1000  # then what is free of a group is too short for another stretch


def choose(frames: int, count: int, length: int, seed: int) -> list[list[int]]:
    """Return the first frames of the stretches, in groups that are withheld together: 2 lengths apart, a third at
    most.
    """
    generator = np.random.default_rng([seed, frames])
    most = max(1, frames // (3 * length))
    groups: list[list[int]] = []
    failed = 0  # draws in a row that no group had room for
    while sum(len(group) for group in groups) < count:
        start = int(generator.integers(length, frames - 2 * length))
        free = [group for group in groups if len(group) < most and all(abs(start - a) >= 2 * length for a in group)]
        failed = 0 if free else failed + 1
        if free:
            free[0].append(start)
        elif failed > MOST_DRAWS or all(len(group) >= most for group in groups):
            groups.append([start])
            failed = 0
    return groups


def score(clip: Path, stretches: list[int], length: int, folder: Path, recipe: str) -> tuple[Floats, Floats]:
    """Return the mean distances in px of each stretch and hand [stretches, H]: of SLERP and of the fit, NaN unknown."""
    hidden = tuple((start, start + length) for start in sorted(stretches))
    name, *sets = recipe.split(";")
    found = []
    for solver in ("none", None):
        settings = resolve_settings(name, tuple(sets), solver=solver, hide_keypoints=hidden, overwrite=True, workers=1)
        tracks, hidden_px = keypoints_in_folder(clip, folder, settings)
        result = fit_in_folder(clip, folder, settings)
        rows = [list(tracks.is_right).index(side) for side in result.motion.is_right]
        off = np.linalg.norm(result.landmarks_px - hidden_px[rows], axis=-1)
        found.append(np.array([[_mean(hand[start : start + length]) for hand in off] for start in stretches]))
    return found[0], found[1]


def _mean(off: Floats) -> float:
    known = off[np.isfinite(off)]
    return float(known.mean()) if len(known) else float("nan")


def main() -> None:
    """Choose, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--length", type=int, default=15)
    parser.add_argument("--stretches", default="", help="first frames, with commas, instead of the seed's choice")
    parser.add_argument("--recipe", default="default", help="default;keypoints.views=0 changes a key")
    chosen = parser.parse_args()
    print("| clip | SLERP, px | fit, px | fit / SLERP | worst stretch |\n|---|---:|---:|---:|---:|")
    ratios = []
    for clip in chosen.clips:
        groups = [[int(n) for n in chosen.stretches.split(",")]] if chosen.stretches else []
        groups = groups or choose(open_clip(clip, None).frames, chosen.count, chosen.length, chosen.seed)
        slerp, fit = [], []
        for number, group in enumerate(groups):
            folder = chosen.out / f"{clip.stem}-{chosen.length}-{chosen.stretches or chosen.seed}-{number}"
            pair = score(clip, group, chosen.length, folder, chosen.recipe)
            slerp.append(pair[0].ravel())
            fit.append(pair[1].ravel())
        a, b = np.concatenate(slerp), np.concatenate(fit)
        ratios.append(np.nanmean(b) / np.nanmean(a))
        worst = np.nanmax(b / a)
        print(
            f"| {clip.stem} | {np.nanmean(a):.2f} | {np.nanmean(b):.2f} | {ratios[-1]:.2f} | {worst:.2f} |", flush=True
        )
    print(f"| **mean** | | | {np.mean(ratios):.2f} | |")


if __name__ == "__main__":
    main()
