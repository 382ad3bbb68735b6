"""Fit the deviation of joints to real hands with 3D truth, and write hmpfit/fitting/joint_deviation.json.

    python benchmarks/calibrate_deviation.py ../shared/inputs/truth [--runs DIR] [--out FILE]

A ridge regression of the logarithm of wrist-relative errors on `deviation_features`, each set weighing the same, then
one factor, so that 2 of 3 joints of sets that had no part in the weights lie within one deviation. Prints, for each
set, what a table fitted on the other sets does there. What happens in frames without evidence is measured by
withholding stretches of a second.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.evaluation.real_truth import plausible_joints
from hmpfit.fitting.deviation import NAMES, TABLE, deviation_features
from hmpfit.hands.hand_size import ADULT_STD
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.matching import match_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import Sequence
from hmpfit.pipeline import fit_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.skeleton import OPENPOSE_WRIST

RIDGE = 0.3
ERROR_FLOOR_MM = 3.0
WITHIN = 0.67
GAP_S = 1.0  # how long a withheld stretch is
APART_S = 4.0  # from the start of one to that of the next
MOST_GAP_GROWTH = 3.0
WRIST_MM = 10.0  # what the wrist's landmark strays sideways, in the medians of these sets

Clips = dict[str, list[dict[str, np.ndarray]]]  # by set


def samples(sequence: Sequence, out: Path, withheld: bool) -> dict[str, np.ndarray]:
    """Return features [N, F], wrist-relative errors [N] in mm, the wrist's error and distance, seconds to evidence."""
    models = load_hand_models("open")
    folder = out / ("withheld" if withheld else "default") / sequence.name
    folder.mkdir(parents=True, exist_ok=True)
    job = sequence_job(sequence, sequence.name, folder, out)
    settings = replace(of_job(job, resolve_settings()), workers=1)
    if withheld:
        length, step = round(GAP_S * sequence.fps), round(APART_S * sequence.fps)
        frames = len(sequence.times_s)
        ranges = tuple((a, a + length) for a in range(step // 2, frames - length - 1, step))
        settings = replace(settings, hide_keypoints=ranges)
    result = fit_in_folder(job.video, folder, settings)
    truth = sequence.truth()
    true = np.stack([plausible_joints(hand) for hand in truth.joints_m])
    joints = pose_hands(models, result.motion).joints
    rows = match_hands(joints, result.motion.is_right, true, truth.is_right)
    kept, true = rows[rows >= 0], true[rows >= 0]
    with np.load(folder / "fit.npz") as stored:
        linear_mm = stored["linear_std_mm"]
    values = deviation_features(joints, result.tracks, linear_mm)[kept]
    joints, seen = joints[kept], result.tracks.seen[kept]
    relative = (joints - joints[:, :, :1]) - (true - true[:, :, :1])
    error = 1e3 * np.linalg.norm(relative, axis=-1)
    known = np.isfinite(error)
    known[..., OPENPOSE_WRIST] = False
    times = result.tracks.times_s
    seconds = np.stack([np.abs(times[:, None] - times[hand][None]).min(1) for hand in seen])
    known &= ((seconds > 0) if withheld else seen)[..., None]
    place = joints[:, :, OPENPOSE_WRIST]
    wrist_error = 1e3 * np.linalg.norm(place - true[:, :, OPENPOSE_WRIST], axis=-1)
    spread = [np.broadcast_to(a[..., None], known.shape)[known] for a in (seconds, wrist_error)]
    distance = np.broadcast_to(1e3 * np.linalg.norm(place, axis=-1)[..., None], known.shape)[known]
    return {
        "x": values[known],
        "error": error[known],
        "seconds": spread[0],
        "wrist_error": spread[1],
        "distance": distance,
    }


def fit_table(sets: list[list[dict[str, np.ndarray]]]) -> tuple[np.ndarray, float]:
    """Return the weights [F] of all sets and the factor that puts `WITHIN` of joints that had no part within one std.

    Other people's hands err more than those that the weights were fitted to: the ratios of error to deviation that
    decide the factor are of each set under the weights of the others.
    """
    ratios = [_ratios(one, fit_weights([other for other in sets if other is not one] or [one])) for one in sets]
    shares = np.concatenate([np.full(len(values), 1 / len(values)) for values in ratios])
    ratio = np.concatenate(ratios)
    order = np.argsort(ratio)
    reached = np.searchsorted(np.cumsum(shares[order]) / shares.sum(), WITHIN)
    return fit_weights(sets), float(ratio[order[reached]])


def fit_weights(sets: list[list[dict[str, np.ndarray]]]) -> np.ndarray:
    """Return the ridge regression's weights [F] of the logarithm of the error, each set weighing the same."""
    x = np.concatenate([clip["x"] for one in sets for clip in one])
    error = np.concatenate([clip["error"] for one in sets for clip in one])
    share = np.concatenate(
        [np.full(len(c["error"]), 1 / sum(len(d["error"]) for d in one)) for one in sets for c in one]
    )
    goal = 0.5 * np.log(error**2 + ERROR_FLOOR_MM**2)
    pull = np.where(np.array(NAMES) == "one", 0.0, RIDGE)
    return np.linalg.solve((x * share[:, None]).T @ x + np.diag(pull), (x * share[:, None]).T @ goal)


def _ratios(clips: list[dict[str, np.ndarray]], weights: np.ndarray) -> np.ndarray:
    return np.concatenate([clip["error"] / np.exp(clip["x"] @ weights) for clip in clips])


def table_of(seen: Clips, hidden: Clips) -> dict[str, object]:
    """Return the content of `joint_deviation.json` from the samples of every set."""
    weights, factor = fit_table(list(seen.values()))
    withheld = [clip for clips in hidden.values() for clip in clips]
    excess = np.concatenate([clip["error"] / (np.exp(clip["x"] @ weights) * factor) for clip in withheld])
    near = np.concatenate([clip["seconds"] for clip in withheld])
    gaps = np.geomspace(0.05, 5.0, 60)
    within = [np.mean(excess < np.minimum(np.sqrt(1 + (near / gap) ** 2), MOST_GAP_GROWTH)) for gap in gaps]
    every = [clip for clips in seen.values() for clip in clips]
    trials = np.linspace(0, 0.15, 61)
    shares = [np.mean([_wrists_within(clips, trial) for clips in seen.values()]) for trial in trials]
    low, high = np.percentile(np.concatenate([clip["x"] for clip in every]), [1, 99], axis=0)
    return {
        "source": "benchmarks/calibrate_deviation.py",
        "sets": sorted(seen),
        "joints": int(sum(len(clip["error"]) for clip in every)),
        "weights": {name: round(float(value), 4) for name, value in zip(NAMES, weights)},
        "low": {name: round(float(value), 4) for name, value in zip(NAMES, low)},
        "high": {name: round(float(value), 4) for name, value in zip(NAMES, high)},
        "scale": round(factor, 4),
        "gap_time_s": round(float(gaps[_nearest(within)]), 3),
        "most_gap_growth": MOST_GAP_GROWTH,
        "wrist_mm": WRIST_MM,
        "distance_std": round(float(trials[_nearest(shares)]), 4),
    }


def _wrists_within(clips: list[dict[str, np.ndarray]], distance_std: float) -> float:
    """Return the share of a set's wrists within one deviation in the camera's frame."""
    away = np.hypot(ADULT_STD, distance_std) * np.concatenate([clip["distance"] for clip in clips])
    return float(np.mean(np.concatenate([clip["wrist_error"] for clip in clips]) < np.hypot(away, WRIST_MM)))


def _nearest(shares: list[float]) -> int:
    return int(np.argmin(np.abs(np.array(shares) - WITHIN)))


def main() -> None:
    """Measure, print what was left out each time, and write the table of all sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("real_truth_out"))
    parser.add_argument("--out", type=Path, default=TABLE)
    arguments = parser.parse_args()
    seen: Clips = {}
    hidden: Clips = {}
    for sequence in open_dataset(f"truth:{arguments.truth}").sequences:
        name = sequence.name.split("/")[0]
        seen.setdefault(name, []).append(samples(sequence, arguments.runs, False))
        hidden.setdefault(name, []).append(samples(sequence, arguments.runs, True))
    for name, clips in seen.items():
        weights, factor = fit_table([other for key, other in seen.items() if key != name])
        error = np.concatenate([clip["error"] for clip in clips])
        std = np.exp(np.concatenate([clip["x"] for clip in clips]) @ weights) * factor
        print(
            f"{name:14s} left out: within 1 std {np.mean(error < std):.2f}, 2 std {np.mean(error < 2 * std):.2f}, "
            f"rank correlation {spearmanr(std, error)[0]:.2f}"
        )
    table = table_of(seen, hidden)
    arguments.out.write_text(json.dumps(table, indent=1) + "\n")
    print(f"growth over {table['gap_time_s']} s without evidence; distance {table['distance_std']:.1%} besides size")


if __name__ == "__main__":
    main()
