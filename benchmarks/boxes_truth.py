"""What true boxes bring on frames that MediaPipe misses: `python benchmarks/boxes_truth.py TRUTH BACKGROUNDS -o DIR`.

In half of every clip of TRUTH the hands hold something: a thing is pasted over each, behind some of its fingers, and
moves with it (`detector_pictures.hold`). Scored are the frames of these stretches in which MediaPipe, asked frame by
frame, finds no hand at the place of the true one though 30 % of its joints show: PA- and RA-MPJPE in mm against the
triangulated truth of interpolation (those frames withheld, `--solver none`), of the default run, and of
`--init ifvonet` and `--init keypoints` with `--boxes` from the truth. Run folders in DIR are reused.
"""

import argparse
import shutil
from collections.abc import Sequence as Many
from dataclasses import replace
from pathlib import Path

import numpy as np
from cover_samples import landmarks_of_truth
from detector_pictures import LEAST_VISIBLE, Image, hold, read_backgrounds
from paste_occluders import read, write
from real_truth import true_joints

from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.evaluation.real_truth import RealErrors, real_errors
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.interfaces.dataset import Sequence
from hmpfit.keypoints.detection import DetectorOptions
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.networks import LandmarkNetwork
from hmpfit.keypoints.palm_detector import PalmDetector
from hmpfit.pipeline import fit_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import Bools, Floats

STRETCH_S = 1.0  # of time with a thing and without
AT_HAND = 0.5  # a detection this near, in diagonals of the hand's box, is the hand
MARGIN = 0.1  # of the boxes around the joints, in their sides


def spoil(sequence: Sequence, truth: Path, out: Path, bank: Many[Image], seed: int) -> Path:
    """Write the clip with held things, the true boxes and the frames that MediaPipe misses; return the clip."""
    clip = out / "truth" / f"{sequence.name}.mp4"
    if (clip.parent / f"{clip.stem}.missed.npz").exists():
        return clip
    clip.parent.mkdir(parents=True, exist_ok=True)
    points, is_right = landmarks_of_truth(truth / f"{sequence.name}.truth.npz")
    assert sequence.video is not None
    images, fps = read(sequence.video, sequence.video_frames or (0, points.shape[1]))
    files, options = load_landmarker(), DetectorOptions()
    palms = PalmDetector(files.palm, options.palm_score, options.most_hands)
    network = LandmarkNetwork(files.landmarks)
    missed = np.zeros(points.shape[:2], bool)
    for frame in range(min(len(images), points.shape[1])):
        stretch = int(sequence.times_s[frame] / STRETCH_S)
        if stretch % 2 == 0:
            continue
        picture, over = images[frame].astype(np.float32), np.zeros(images[frame].shape[:2], np.float32)
        for hand in np.flatnonzero(np.isfinite(points[:, frame, 0, 0])):
            picture, alpha = hold(picture, points[hand, frame], bank, np.random.default_rng((seed, hand, stretch)))
            over = np.maximum(over, alpha)
        images[frame] = np.clip(picture, 0, 255).astype(np.uint8)
        regions = palms(images[frame]).regions
        found = network(images[frame], regions) if len(regions.side_px) else None
        seen = np.zeros((0, 2)) if found is None else found.xy_px[found.presence >= options.presence].mean(1)
        for hand in np.flatnonzero(np.isfinite(points[:, frame, 0, 0])):
            xy = points[hand, frame]
            x, y = np.clip(xy, 0, np.array(over.shape[::-1]) - 1).astype(int).T
            shown = (over[y, x] < 0.5).mean()
            away = np.linalg.norm(seen - xy.mean(0), axis=-1).min(initial=np.inf)
            missed[hand, frame] = shown >= LEAST_VISIBLE and away > AT_HAND * np.linalg.norm(np.ptp(xy, axis=0))
    low, high = points.min(2), points.max(2)
    boxes = np.concatenate((low - MARGIN * (high - low), high + MARGIN * (high - low)), axis=-1)
    np.savez(clip.parent / f"{clip.stem}.boxes.npz", boxes_px=boxes, is_right=is_right)
    for end in (".truth.npz", ".intrinsics.json"):
        shutil.copyfile(truth / f"{sequence.name}{end}", clip.with_suffix(end))
    write(clip, images, fps)
    np.savez(clip.parent / f"{clip.stem}.missed.npz", missed=missed)
    return clip


def stretches(frames: Bools) -> tuple[tuple[int, int], ...]:
    """Return the half-open ranges of frames [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], frames.astype(int), [0]))))
    return tuple((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def measure(sequence: Sequence, clip: Path, out: Path) -> dict[str, list[RealErrors]]:
    """Return each way's errors of every hand over the frames in which it is missed."""
    with np.load(clip.parent / f"{clip.stem}.missed.npz") as stored:
        missed: Bools = stored["missed"]
    boxes = str(clip.parent / f"{clip.stem}.boxes.npz")
    ways = {
        "interpolation": ({"solver": "none"}, stretches(missed.any(0))),
        "default": ({}, ()),
        "boxes, keypoints": ({"boxes": boxes}, ()),
        "boxes, ifvonet": ({"boxes": boxes, "init": "ifvonet"}, ()),
    }
    joints, found = true_joints(sequence), dict[str, list[RealErrors]]()
    for way, (choices, hidden) in ways.items():
        folder = out / way.replace(", ", "_") / sequence.name
        folder.mkdir(parents=True, exist_ok=True)
        job = sequence_job(sequence, sequence.name, folder, out)
        settings = replace(of_job(job, resolve_settings(**choices)), hide_keypoints=hidden, workers=1)  # type: ignore[arg-type]
        result = fit_in_folder(job.video, folder, settings)
        rows = match_hands(result.joints, result.motion.is_right, joints, sequence.truth().is_right)
        posed: Floats = np.where(missed[..., None, None], pick_hands(result.joints, rows), np.nan)
        found[way] = [real_errors(one, true) for one, true in zip(posed, joints) if missed.any()]
    return found


def main() -> None:
    """Spoil, fit, print one row per clip and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("backgrounds", type=Path, help="folder of pictures that things look like")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1, help="of the things")
    parser.add_argument("--clips", default="", help="only these, with commas, such as desk/cam0")
    chosen = parser.parse_args()
    bank, wanted = read_backgrounds(chosen.backgrounds), set(filter(None, chosen.clips.split(",")))
    print("| clip | way | frames of hands | PA | RA |\n|---|---|---:|---:|---:|")
    for sequence in open_dataset(f"truth:{chosen.truth}").sequences:
        if not wanted or sequence.name in wanted:
            spoil(sequence, chosen.truth, chosen.out, bank, chosen.seed)
    for sequence in open_dataset(f"truth:{chosen.out / 'truth'}").sequences:
        clip = chosen.out / "truth" / f"{sequence.name}.mp4"
        for way, hands in measure(sequence, clip, chosen.out).items():
            counted = [one for one in hands if one.frames]
            weights = [one.frames for one in counted]
            numbers = [
                float(np.average([getattr(one, key) for one in counted], weights=weights)) if counted else np.nan
                for key in ("pa_mpjpe_mm", "ra_mpjpe_mm")
            ]
            print(f"| {sequence.name} | {way} | {sum(weights)} | {numbers[0]:.1f} | {numbers[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
