"""Print how far MediaPipe, the first guess, and the fit with and without a prior are from real 3D truth.

    python benchmarks/real_truth.py ../shared/inputs/truth [--out DIR] [--json]

One row per set and way. PA, RA and camera-frame errors in mm, the medians of size and wrist depth over the truth's,
RA-ACC in mm per frame^2, the 95th percentile of speed over the truth's, and the calibration of `joint_std_mm` and
(columns `wrist_...`) `joint_std_wrist_mm`: shares of joints within one and two deviations, and rank correlation with
the error. Joints whose triangulated bones are no hand are left out. Cameras are the truth's own. Run folders stay in
--out, so that a second call costs nothing.
"""

import argparse
import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np

from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.evaluation.real_truth import RealErrors, plausible_joints, real_errors
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import Sequence
from hmpfit.pipeline import fit_in_folder, keypoints_in_folder
from hmpfit.recipes import RunSettings
from hmpfit.recipes.resolving import resolve_settings

COLUMN = 24  # characters
WAYS = {
    "first guess": {"solver": "none"},
    "no prior": {"prior": "none"},
    "default": {},
}


def measure(sequence: Sequence, out: Path) -> dict[str, list[RealErrors]]:
    """Return the errors of each hand of one clip for every way, MediaPipe's 3D landmarks first."""
    models = load_hand_models("open")
    truth = sequence.truth()
    joints = np.stack([plausible_joints(hand) for hand in truth.joints_m])
    found: dict[str, list[RealErrors]] = {}
    for way, choices in WAYS.items():
        folder = out / way.replace(" ", "_") / sequence.name
        folder.mkdir(parents=True, exist_ok=True)
        job = sequence_job(sequence, sequence.name, folder, out)
        settings: RunSettings = replace(of_job(job, resolve_settings(**choices)), workers=1)
        earlier = out / next(iter(WAYS)).replace(" ", "_") / sequence.name / "tracks.npz"
        if earlier.exists() and not (folder / "tracks.npz").exists():
            (folder / "tracks.npz").write_bytes(earlier.read_bytes())
        result = fit_in_folder(job.video, folder, settings)
        if way == next(iter(WAYS)):
            tracks, _ = keypoints_in_folder(job.video, folder, settings)
            if tracks.world_m is not None:
                found["MediaPipe 3D"] = _scored(tracks.world_m, tracks.is_right, joints, truth.is_right)
        posed = pose_hands(models, result.motion).joints
        tracks = result.tracks  # frames that the detector saw are scored, believed or not
        seen = (tracks.seen if tracks.sighted is None else tracks.sighted)[..., None, None]
        found[way] = _scored(
            np.where(seen, posed, np.nan), result.motion.is_right, joints, truth.is_right,
            result.joint_std_mm, result.joint_std_wrist_mm,
        )  # fmt: skip
    return found


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
    parser.add_argument("--out", type=Path, default=Path("real_truth_out"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sets: dict[str, dict[str, list[RealErrors]]] = {}
    for sequence in open_dataset(f"truth:{arguments.truth}").sequences:
        for way, errors in measure(sequence, arguments.out).items():
            sets.setdefault(sequence.name.split("/")[0], {}).setdefault(way, []).extend(errors)
    table = {name: {way: mean(errors) for way, errors in ways.items()} for name, ways in sets.items()}
    if arguments.json:
        print(json.dumps({"sets": table}, indent=1))
        return
    names = list(asdict(RealErrors(*[0] * 8)))
    print(f"{'set':14s}{'way':14s}" + "".join(f"{name.removesuffix('_mm'):>{COLUMN}s}" for name in names))
    for name, ways in table.items():
        for way, numbers in ways.items():
            print(f"{name:14s}{way:14s}" + "".join(f"{numbers[key]:{COLUMN}.2f}" for key in names))


if __name__ == "__main__":
    main()
