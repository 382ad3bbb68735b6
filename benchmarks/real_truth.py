"""Print how far MediaPipe, the first guess, and the fit with and without a prior are from real 3D truth.

    python benchmarks/real_truth.py ../shared/inputs/truth [--tell-size | --focal] [--out DIR] [--json]

One row per set and way. PA, RA and camera-frame errors in mm, the medians of size and wrist depth over the truth's,
RA-ACC in mm per frame^2, the 95th percentile of speed over the truth's, and the calibration of `joint_std_mm` and
(columns `wrist_...`) `joint_std_wrist_mm`: shares of joints within one and two deviations, and rank correlation with
the error. Joints whose triangulated bones are no hand are left out. Cameras are the truth's own. Run folders stay in
--out, so that a second call costs nothing.

With --tell-size: a row per hand of each clip, default and with `--hand-size` of what a ruler would give (`ruler_length`
of the truth, the mean of a clip's hands), then medians of each set. `size` comes from an alignment, which errors of
pose shrink, so that it reads too large; `length` is the median ratio of bone lengths, whatever the pose.
With --focal: the focal length found without intrinsics, a row per clip.
"""

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from earlier_runs import take_stages

from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.evaluation.real_truth import RealErrors, plausible_joints, real_errors
from hmpfit.evaluation.rigid_lengths import ruler_length
from hmpfit.geometry.intrinsics import focal_log_std
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import Sequence
from hmpfit.pipeline import fit_in_folder, keypoints_in_folder
from hmpfit.recipes import RunSettings
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.skeleton import OPENPOSE_WRIST

COLUMN = 24  # characters
GUESS, TOLD, FOCAL = "first guess", "size told", "focal"
WAYS = {
    GUESS: {"solver": "none"},
    "no prior": {"prior": "none"},
    "default": {},
}
VARIED = 0.3  # of a hand's depth, from which on a clip's focal length can be told
FOCAL_AIM = 0.15
Choices = dict[str, Any]
Row = dict[str, float | str]


def measure(sequence: Sequence, out: Path, ways: dict[str, Choices]) -> dict[str, list[RealErrors]]:
    """Return the errors of each hand of one clip for every way, MediaPipe's 3D landmarks first."""
    truth = sequence.truth()
    joints = true_joints(sequence)
    found: dict[str, list[RealErrors]] = {}
    for way, choices in ways.items():
        folder = out / way.replace(" ", "_") / sequence.name
        take_tracks(out, sequence, folder)
        job = sequence_job(sequence, sequence.name, folder, out)
        settings: RunSettings = replace(of_job(job, resolve_settings(**choices)), workers=1)
        result = fit_in_folder(job.video, folder, settings)
        if way == GUESS:
            tracks, _ = keypoints_in_folder(job.video, folder, settings)
            if tracks.world_m is not None:
                found["MediaPipe 3D"] = _scored(tracks.world_m, tracks.is_right, joints, truth.is_right)
        posed = pose_hands(load_hand_models(settings.hand_model), result.motion).joints
        tracks = result.tracks  # frames that the detector saw are scored, believed or not
        seen = (tracks.seen if tracks.sighted is None else tracks.sighted)[..., None, None]
        found[way] = _scored(
            np.where(seen, posed, np.nan), result.motion.is_right, joints, truth.is_right,
            result.joint_std_mm, result.joint_std_wrist_mm,
        )  # fmt: skip
    return found


def true_joints(sequence: Sequence) -> np.ndarray:
    """Return the plausible true joints [H, T, 21, 3] of a clip, meters, NaN where not known."""
    return np.stack([plausible_joints(hand) for hand in sequence.truth().joints_m])


def take_tracks(out: Path, sequence: Sequence, folder: Path) -> None:
    """Make a run folder and copy into it the hands that another way has found in the picture."""
    for way in (*WAYS, TOLD, FOCAL):
        take_stages(out / way.replace(" ", "_") / sequence.name, folder, "tracks.npz")


def measure_size(sequence: Sequence, out: Path) -> list[Row]:
    """Return a row per hand and way, default and with the size told that a ruler would give."""
    joints = true_joints(sequence)
    lengths_mm = 1e3 * np.array([ruler_length(hand) for hand in joints])
    told_mm = float(np.mean(lengths_mm))
    ways: dict[str, Choices] = {"default": {}, TOLD: {"hand_size_mm": round(told_mm, 1)}}
    rows: list[Row] = []
    for way, hands in measure(sequence, out, ways).items():
        for hand, errors in enumerate(hands):
            numbers = {"size": errors.size_ratio, "length": errors.length_ratio, "depth": errors.depth_ratio}
            who: Row = {"clip": sequence.name, "hand": float(hand), "way": way, "ruler mm": lengths_mm[hand]}
            rows.append({**who, "told mm": told_mm if way == TOLD else np.nan, **numbers})
    return rows


def measure_focal(sequence: Sequence, out: Path) -> Row:
    """Return the focal length found without intrinsics beside the true one, both in longer sides."""
    folder = out / FOCAL / sequence.name
    take_tracks(out, sequence, folder)
    job = replace(sequence_job(sequence, sequence.name, folder, out), intrinsics=None)
    settings = replace(of_job(job, resolve_settings(solver="none")), workers=1)
    found = fit_in_folder(job.video, folder, settings).camera
    true = sequence.camera
    side = max(true.width, true.height)
    depths = [hand[np.isfinite(hand)] for hand in true_joints(sequence)[:, :, OPENPOSE_WRIST, 2]]
    varied = max(float(np.ptp(np.percentile(hand, (5, 95))) / np.median(hand)) for hand in depths if len(hand))
    ratio = float(found.K[0, 0, 0] / true.K[0, 0, 0])
    return {
        "clip": sequence.name, "source": found.source, "true": float(true.K[0, 0, 0] / side),
        "found": float(found.K[0, 0, 0] / side), "error %": 100 * (ratio - 1), "deviation": focal_log_std(found),
        "deviations off": abs(float(np.log(ratio))) / focal_log_std(found), "depth varies": varied,
    }  # fmt: skip


def _scored(
    found: np.ndarray, is_right: np.ndarray, truth: np.ndarray, sides: np.ndarray, *deviations: np.ndarray | None
) -> list[RealErrors]:
    rows = match_hands(found, is_right, truth, sides)
    joints = pick_hands(found, rows)
    stds = [None if one is None else pick_hands(one, rows) for one in deviations]
    return [
        real_errors(joints[hand], truth[hand], *(None if one is None else one[hand] for one in stds))
        for hand in range(len(truth))
    ]


def mean(errors: list[RealErrors]) -> dict[str, float]:
    """Return the means over hands and clips, each weighted by its frames."""
    kept = [one for one in errors if one.frames]
    weights = [one.frames for one in kept]
    names = [field.name for field in fields(RealErrors) if field.name != "frames"]
    return {
        "frames": sum(weights),
        **{name: float(np.average([getattr(one, name) for one in kept], weights=weights)) for name in names},
    }


def main() -> None:
    """Measure every clip and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--tell-size", action="store_true", help="size and depth, untold and told")
    parser.add_argument("--focal", action="store_true", help="the focal length without intrinsics")
    parser.add_argument("--out", type=Path, default=Path("real_truth_out"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sequences = open_dataset(f"truth:{arguments.truth}").sequences
    if arguments.focal:
        _print_focal([measure_focal(sequence, arguments.out) for sequence in sequences], arguments.json)
        return
    if arguments.tell_size:
        sizes = [row for sequence in sequences for row in measure_size(sequence, arguments.out)]
        _print_rows(sizes, _size_summary(sizes), arguments.json)
        return
    sets: dict[str, dict[str, list[RealErrors]]] = {}
    for sequence in sequences:
        for way, errors in measure(sequence, arguments.out, WAYS).items():
            sets.setdefault(sequence.name.split("/")[0], {}).setdefault(way, []).extend(errors)
    table = {name: {way: mean(errors) for way, errors in ways.items()} for name, ways in sets.items()}
    if arguments.json:
        print(json.dumps({"sets": table}, indent=1))
        return
    names = [field.name for field in fields(RealErrors)]
    print(f"{'set':14s}{'way':14s}" + "".join(f"{name.removesuffix('_mm'):>{COLUMN}s}" for name in names))
    for name, ways in table.items():
        for way, numbers in ways.items():
            print(f"{name:14s}{way:14s}" + "".join(f"{numbers[key]:{COLUMN}.2f}" for key in names))


def _size_summary(rows: list[Row]) -> dict[str, Any]:
    """Return the medians over hands and cameras, by set and way."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{str(row['clip']).split('/')[0]}, {row['way']}", []).append(row)
    keys = ("size", "length", "depth")
    return {
        name: {key: round(float(np.median([float(row[key]) for row in group])), 3) for key in keys}
        for name, group in groups.items()
    }


def _print_focal(rows: list[Row], as_json: bool) -> None:
    varied = [row for row in rows if float(row["depth varies"]) >= VARIED]
    summary = {
        "clips": len(rows),
        "depth_varies": len(varied),
        "of_these_within_15_percent": sum(abs(float(row["error %"])) <= 100 * FOCAL_AIM for row in varied),
        "within_15_percent": sum(abs(float(row["error %"])) <= 100 * FOCAL_AIM for row in rows),
        "covered_by_the_deviation": sum(float(row["deviations off"]) <= 1 for row in rows),
    }
    _print_rows(rows, summary, as_json)


def _print_rows(rows: list[Row], summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"summary": summary, "rows": rows}, indent=1))
        return
    for row in rows:
        print("  ".join(f"{key} {value if isinstance(value, str) else f'{value:.3g}'}" for key, value in row.items()))
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
