"""Print how far off a fitted hand's distance is on real truth, and with the palm's own distance taken in.

    python benchmarks/palm_distance.py ../shared/inputs/truth [--out DIR]

A row per hand and camera, logarithms: the palm's depth over the truth's less bone lengths over the truth's (what size
does not explain), and the palm's own distance over the fit's (`camera_motion/palm_distance.py`, which scales a moving
camera's path). Then the standard deviation and the root mean square of the first, with a share of the second added.
Run folders stay in --out (those of `real_truth.py` serve).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from real_truth import true_joints

from hmpfit.batch import of_job, sequence_job
from hmpfit.camera_motion.palm_distance import SHARE, distance_ratio
from hmpfit.datasets.opening import open_dataset
from hmpfit.evaluation.rigid_lengths import bone_length_ratio
from hmpfit.geometry.cameras import rays
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.matching import match_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import Sequence
from hmpfit.pipeline import fit_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.skeleton import OPENPOSE_PALM

PALM = list(OPENPOSE_PALM)
SHARES = (0.0, 0.3, SHARE, 1.0)


def hand_rows(sequence: Sequence, out: Path) -> list[tuple[float, float]]:
    """Return for each true hand that is found (error of the depth beside size, the palm's own distance), logarithms."""
    folder = out / "default" / sequence.name
    job = sequence_job(sequence, sequence.name, folder, out)
    result = fit_in_folder(job.video, folder, replace(of_job(job, resolve_settings()), workers=1))
    truth, tracks = true_joints(sequence), result.tracks
    posed = pose_hands(load_hand_models("open"), result.motion).joints
    joints = np.where(tracks.seen[..., None, None], posed, np.nan)
    camera = sequence.camera
    ray = rays(tracks.xy_px[:, :, PALM], camera.K[:, None], camera.distortion)
    rows = []
    for hand, row in enumerate(match_hands(joints, result.motion.is_right, truth, sequence.truth().is_right)):
        if row < 0:
            continue
        depth = np.log(joints[row][:, PALM, 2].mean(1) / truth[hand][:, PALM, 2].mean(1))
        error = float(np.nanmedian(depth)) - np.log(bone_length_ratio(joints[row], truth[hand]))
        rows.append((error, float(np.log(distance_ratio(joints[row][:, PALM], ray[row, ..., :2] / ray[row, ..., 2:])))))
    return rows


def main() -> None:
    """Measure every hand and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--out", type=Path, default=Path("real_truth_out"))
    arguments = parser.parse_args()
    found = []
    for sequence in open_dataset(f"truth:{arguments.truth}").sequences:
        for row in hand_rows(sequence, arguments.out):
            print(f"{sequence.name:20} depth beside size {row[0]:+.3f}  palm over fit {row[1]:+.3f}", flush=True)
            found.append(row)
    error, palm = np.array(found).T
    print(f"correlation {np.corrcoef(error, palm)[0, 1]:.2f}")
    for share in SHARES:
        left = error + share * palm
        spread, size = left.std(), np.sqrt((left**2).mean())
        print(f"share {share:.1f}: standard deviation {spread:.3f}, root mean square {size:.3f}")


if __name__ == "__main__":
    main()
