"""Print how much of the true motion the fit follows, by the fits of two cameras that see the same hand.

    python benchmarks/motion_gain.py ../shared/inputs/truth [--out DIR]

Triangulated truth trembles, so that its peak speeds are no measure: a fit that trembles as much would be perfect. Here
the fit of another camera says which moves are fast and in which direction; its errors are its own picture's. With
wrist-relative moves p of a camera's fit, q of the other's and t of the truth, sum(p . q) / sum(t . q) over the fastest
twentieth of q is the share of the true motion that the fit follows (regression by an instrument). Noise that the truth
has from q's picture is in the denominator, so that the share reads too low. Beside it: the 95th percentile of speed,
fit to truth, and how much of the truth's variance is motion: mean(p . t) mean(q . t) / (mean(p . q) mean(t . t)), which
reads too large. Means over pairs of cameras and hands. Run folders of `real_truth.py` stay in --out.
"""

import argparse
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import real_truth

from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.interfaces.dataset import Sequence
from hmpfit.pipeline import fit_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import Bools, Floats
from hmpfit.skeleton import OPENPOSE_WRIST

STEPS = (1, 3)  # frames between the two places of a move
FASTEST = 95  # percentile of the other camera's speeds
LEAST = 200  # moves of joints that a hand and a pair of cameras must share


def in_world(sequence: Sequence, truth: Path, out: Path) -> tuple[Floats, Floats]:
    """Return the fit's and the true joints [H, T, 21, 3] from the wrist in the world's axes, NaN where not known."""
    folder = out / "default" / sequence.name
    real_truth.take_tracks(out, sequence, folder)
    job = sequence_job(sequence, sequence.name, folder, out)
    result = fit_in_folder(job.video, folder, replace(of_job(job, resolve_settings()), workers=1))
    true, tracks = real_truth.true_joints(sequence), result.tracks
    seen = (tracks.seen if tracks.sighted is None else tracks.sighted)[..., None, None]
    found = np.where(seen, result.joints, np.nan)
    found = pick_hands(found, match_hands(found, result.motion.is_right, true, sequence.truth().is_right))
    with np.load(truth / f"{sequence.name}.truth.npz") as stored:
        turn = stored["R"]
    return from_wrist(found) @ turn, from_wrist(true) @ turn


def from_wrist(joints: Floats) -> Floats:
    """Return joints [..., 21, 3] from the wrist, whose own place is then unknown."""
    relative = joints - joints[..., [OPENPOSE_WRIST], :]
    relative[..., OPENPOSE_WRIST, :] = np.nan
    return relative


def gains(fit: Floats, other: Floats, true: Floats) -> tuple[float, float, float]:
    """Return gain, ratio of peak speeds and the truth's share of motion, of moves [N, 3] known in all three."""
    speed = np.linalg.norm(other, axis=-1)
    fast: Bools = speed >= np.percentile(speed, FASTEST)
    peaks = [float(np.percentile(np.linalg.norm(moves, axis=-1), FASTEST)) for moves in (fit, true)]
    share = _dot(fit, true) * _dot(other, true) / (_dot(fit, other) * _dot(true, true))
    return _dot(fit[fast], other[fast]) / _dot(true[fast], other[fast]), peaks[0] / peaks[1], share


def _dot(a: Floats, b: Floats) -> float:
    return float((a * b).sum(-1).mean())


def main() -> None:
    """Print a line for each set with two cameras and each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--out", type=Path, default=Path("real_truth_out"))
    arguments = parser.parse_args()
    sets: dict[str, list[tuple[Floats, Floats]]] = {}
    for sequence in open_dataset(f"truth:{arguments.truth}").sequences:
        views = sets.setdefault(sequence.name.split("/")[0], [])
        views.append(in_world(sequence, arguments.truth, arguments.out))
    print("| set | frames | gain | least, most | peak speed | truth that moves |\n|---|---:|---:|---:|---:|---:|")
    for name, views in sets.items():
        for step in STEPS:
            found = []
            for (fit, true), (other, _) in permutations(views, 2):
                moves = [joints[:, step:] - joints[:, :-step] for joints in (fit, other, true)]
                known = np.isfinite(np.concatenate(moves, axis=-1)).all(-1)
                found += [
                    gains(*(one[hand][known[hand]] for one in moves))
                    for hand in range(len(known))
                    if known[hand].sum() >= LEAST
                ]
            if found:
                gain, peak, share = np.mean(found, axis=0)
                least, most = (end(row[0] for row in found) for end in (min, max))
                print(f"| {name} | {step} | {gain:.2f} | {least:.2f}, {most:.2f} | {peak:.2f} | {share:.2f} |")


if __name__ == "__main__":
    main()
