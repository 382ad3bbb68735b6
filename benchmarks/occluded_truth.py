"""How priors fit real hands with 3D truth behind pasted occluders: `python benchmarks/occluded_truth.py TRUTH -o DIR`.

Every clip of TRUTH is fitted as it is, occluded by `paste_occluders.py` (another `--seed`: other occluders) and fitted
again with each prior. PA- and RA-MPJPE in mm against the triangulated truth, joint by joint where it is plausible, over
covered frames (at least eight landmarks under an occluder) and over all others. Fits in DIR are reused.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import paste_occluders
from earlier_runs import take_stages
from occluded_clips import LEAST_COVERED

from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.evaluation.real_truth import plausible_joints, real_errors
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.interfaces.dataset import Sequence
from hmpfit.pipeline import fit_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import FitRecord, Floats

PARTS = ("covered", "others")


def fit(sequence: Sequence, folder: Path, prior: str) -> FitRecord:
    """Fit a clip with a prior; detections of another prior's run of the same clip are shared."""
    folder.mkdir(parents=True, exist_ok=True)
    for other in sorted(folder.parent.iterdir()):
        take_stages(other, folder, "tracks.npz")
    job = sequence_job(sequence, sequence.name, folder, folder.parent)
    return fit_in_folder(job.video, folder, replace(of_job(job, resolve_settings(prior=prior)), workers=1))


def occlude(sequence: Sequence, truth: Path, out: Path, seed: int) -> None:
    """Write the occluded clip and which landmarks are covered, with the truth's other files beside it."""
    clip = out / "truth" / f"{sequence.name}.mp4"
    if clip.exists():
        return
    tracks = fit(sequence, out / "clean" / sequence.name / "none", "none").tracks
    assert sequence.video is not None
    points = np.where(tracks.seen[..., None, None], tracks.xy_px, np.nan)
    made = out / "occluders" / sequence.name
    paste_occluders.paste_occluders(sequence.video, points, made, seed, paste_occluders.KINDS, sequence.video_frames)
    np.savez(made / "sides.npz", is_right=tracks.is_right)
    clip.parent.mkdir(parents=True, exist_ok=True)
    for end in (".truth.npz", ".intrinsics.json"):
        shutil.copyfile(truth / f"{sequence.name}{end}", clip.with_suffix(end))
    (made / "clip.mp4").rename(clip)


def score(sequence: Sequence, out: Path, prior: str) -> dict[str, list[tuple[int, float, float]]]:
    """Return (frames, PA, RA) of every hand over covered frames and over the others."""
    truth, result = sequence.truth(), fit(sequence, out / "runs" / sequence.name / prior, prior)
    with np.load(out / "occluders" / sequence.name / "covered.npz") as stored:
        covered = stored["covered"].sum(-1) >= LEAST_COVERED
    with np.load(out / "occluders" / sequence.name / "sides.npz") as stored:
        sides = stored["is_right"]
    same = match_hands(result.joints, result.motion.is_right, truth.joints_m, truth.is_right)
    joints = pick_hands(result.joints, same)
    found: dict[str, list[tuple[int, float, float]]] = {part: [] for part in PARTS}
    for hand, is_right in enumerate(truth.is_right):
        under: Floats = covered[sides == is_right].any(0)
        for part, frames in zip(PARTS, (under, ~under), strict=True):
            true = np.where(frames[:, None, None], plausible_joints(truth.joints_m[hand]), np.nan)
            errors = real_errors(joints[hand], true)
            if errors.frames:
                found[part].append((errors.frames, errors.pa_mpjpe_mm, errors.ra_mpjpe_mm))
    return found


def main() -> None:
    """Paste occluders, fit, print one row per set and prior."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1, help="of the occluders")
    parser.add_argument("--priors", default="default,pca,gmm,none")
    parser.add_argument("--clips", default="", help="only these, with commas, such as desk/cam0")
    chosen = parser.parse_args()
    wanted = [name for name in chosen.clips.split(",") if name]
    for sequence in open_dataset(f"truth:{chosen.truth}").sequences:
        if not wanted or sequence.name in wanted:
            occlude(sequence, chosen.truth, chosen.out, chosen.seed)
    sequences = open_dataset(f"truth:{chosen.out / 'truth'}").sequences
    print("| set | prior | covered frames | PA, mm | RA, mm | other frames | PA | RA |\n|---|---|" + "---:|" * 6)
    for name in sorted({one.name.split("/")[0] for one in sequences}):
        for prior in chosen.priors.split(","):
            cells = []
            scored = [score(one, chosen.out, prior) for one in sequences if one.name.split("/")[0] == name]
            for part in PARTS:
                rows = np.array([row for one in scored for row in one[part]]).reshape(-1, 3)
                count = rows[:, 0].sum()
                cells += [f"{count:.0f}"]
                cells += [f"{rows[:, 0] @ rows[:, at] / count:.2f}" if count else "–" for at in (1, 2)]
            print(f"| {name} | {prior} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
