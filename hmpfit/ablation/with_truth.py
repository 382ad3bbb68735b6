"""The table on clips whose truth is known, over all frames and over the occluded ones.

Keypoints are found once per clip and shared by all rows. Every row's stage files stay in the output folder, so that
the same call resumes. One process per clip at a time.
"""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from hmpfit.ablation.rows import INITIALIZER, AblationPlan, at
from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.errors import HmpfitError, InputError
from hmpfit.evaluation.scoring import flattened, score_motion
from hmpfit.evaluation.tables import Table, mean_of
from hmpfit.evaluation.truth_files import of_sequence
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.matching import match_hands
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import OCCLUDED_SHARE, Dataset, Truth
from hmpfit.interfaces.initializer import InitialMotion
from hmpfit.records import DETECTED, HandMotion
from hmpfit.results.record_files import load_record
from hmpfit.worker_pool import worker_pool

Scores = dict[str, dict[str, float]]  # row -> numbers of one clip

POSITIONS = ("pa_mpjpe_mm", "ra_mpjpe_mm", "pa_mpvpe_mm")
JITTER = "ra_acc_mm_per_frame2"
COLUMNS = ("pa_mpjpe_mm", "ra_mpjpe_mm", JITTER, "pa_mpvpe_mm", "pa_mpjpe_mm_estimated", "ra_mpjpe_mm_estimated")


@dataclass(frozen=True)
class TruthDataset:
    """Which clips: "KIND:PATH" of a dataset and its split."""

    dataset: str
    split: str | None = None

    def open(self) -> Dataset:
        """Open the dataset, once per process. Raises InputError and UnknownNameError as its reader."""
        return _opened(self.dataset, self.split)


@dataclass(frozen=True)
class ClipScores:
    """The table over all frames, that over occluded ones, every clip's scores, and how often a hand in sight was found.

    `detected_share` is over the frames in which the truth hides at most `OCCLUDED_SHARE` of the joints.
    `occluded_frames` are the others, "clip/frame" by the dataset's own names; None where the truth does not know.
    """

    every: Table
    occluded: Table
    scores: dict[str, Scores]
    detected_share: float | None
    occluded_frames: tuple[str, ...] | None


def measure_with_truth(
    truths: TruthDataset, plan: AblationPlan, out: Path, workers: int = 1, on_done: Callable[[str], None] | None = None
) -> ClipScores:
    """Fit every clip in every row's way and score it.

    Positions are scored over the same frames in every row: a frame without an estimate is charged with a neutral hand.
    `*_estimated` leaves such frames out, and the jitter drops them, as the paper's metric does. A clip that cannot be
    fitted is named in the tables' notes. Raises InputError when none could be.
    """
    sequences = truths.open().sequences
    found: dict[str, Scores] = {}
    notes = dict(plan.notes)
    for name, scores in _over_clips(truths, [one.name for one in sequences], plan, out, workers):
        if isinstance(scores, str):
            notes[name] = scores
        else:
            found[name] = scores
        if on_done is not None:
            on_done(name)
    if not found:
        raise InputError(f"None of the {len(sequences)} clips could be fitted; the first: {next(iter(notes.values()))}")
    ordered = {one.name: found[one.name] for one in sequences if one.name in found}
    return ClipScores(
        _table("All frames", ordered, plan, "", notes),
        _table(f"Occluded frames, over {OCCLUDED_SHARE:.0%} of the joints hidden", ordered, plan, "occluded_", notes),
        ordered,
        _detected_share(ordered),
        _occluded_frames(truths, tuple(ordered)),
    )


def _occluded_frames(truths: TruthDataset, clips: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the frames in which some annotated hand is occluded; None where no clip has visibility."""
    lines, known = [], False
    for name in clips:
        sequence = truths.open().sequence(name)
        truth = of_sequence(sequence, 0)
        known |= truth.visible is not None
        hidden = (truth.occluded() & truth.annotated().any(-1)).any(0)
        lines += [f"{name}/{sequence.frame_names[frame]}" for frame in np.flatnonzero(hidden)]
    return tuple(lines) if known else None


def measure_clip(truths: TruthDataset, name: str, plan: AblationPlan, out: Path) -> Scores:
    """Fit one clip in every row's way and score it. Raises HmpfitError when it cannot be fitted at all."""
    from hmpfit.pipeline import fit_in_folder

    sequence = truths.open().sequence(name)
    scores: Scores = {}
    for row, (how, settings) in plan.rows.items():
        folder = out / "rows" / _file_name(row) / name
        job = sequence_job(sequence, name, folder, out)
        if job.problem is not None:
            raise InputError(job.problem)
        folder.mkdir(parents=True, exist_ok=True)
        for other in (out / "rows").glob(f"*/{name}/tracks.npz"):
            if not (folder / "tracks.npz").exists():
                shutil.copyfile(other, folder / "tracks.npz")  # the same detector saw the same pixels
        chosen = replace(of_job(job, at(settings, name)), workers=1)
        motion = fit_in_folder(job.video, folder, chosen).motion
        models = load_hand_models(chosen.hand_model)
        truth = of_sequence(sequence, len(models.right.v_template))
        if how.as_found and (folder / "initial.npz").exists():
            motion = _as_found(load_record(folder / "initial.npz", InitialMotion).motion)
        elif how.as_found:
            motion = _as_found(motion)
        scores[row] = _numbers(motion, models, truth)
        scores[row] |= _in_sight(motion, models, truth) if row == INITIALIZER else {}
    return scores


def _numbers(motion: HandMotion, models: HandModels, truth: Truth) -> dict[str, float]:
    whole = score_motion(motion, models, truth, "hmp")
    numbers = _same_frames(flattened(whole))
    numbers["frames"] = whole["coverage"]["frames"]
    if truth.occluded().any():
        hidden = score_motion(motion, models, truth, "hmp", subset=True)
        numbers.update({f"occluded_{name}": value for name, value in _same_frames(flattened(hidden)).items()})
        numbers["occluded_frames"] = hidden["coverage"]["frames"]
    return numbers


def _same_frames(flat: dict[str, float]) -> dict[str, float]:
    """Put the numbers over all frames under the plain names, those over estimated frames under `*_estimated`."""
    out = {name: flat[f"{name}_charged"] for name in POSITIONS if f"{name}_charged" in flat}
    out |= {f"{name}_estimated": flat[name] for name in POSITIONS if name in flat}
    return out | {name: flat[name] for name in (JITTER, "coverage") if name in flat}


def _in_sight(motion: HandMotion, models: HandModels, truth: Truth) -> dict[str, float]:
    """Count the annotated frames of hands in sight, and those that the initializer saw."""
    if truth.visible is None:
        return {}
    in_sight = truth.annotated().all(-1) & ~truth.occluded()
    seen = np.zeros_like(in_sight)
    same = match_hands(pose_hands(models, motion).joints, motion.is_right, truth.joints_m, truth.is_right)
    for hand, row in enumerate(same):
        if row >= 0:
            seen[hand] = motion.status[row] == DETECTED
    return {"in_sight_frames": float(in_sight.sum()), "in_sight_detected": float((in_sight & seen).sum())}


def _detected_share(scores: dict[str, Scores]) -> float | None:
    counts = [one[INITIALIZER] for one in scores.values() if "in_sight_frames" in one.get(INITIALIZER, {})]
    frames = sum(one["in_sight_frames"] for one in counts)
    return sum(one["in_sight_detected"] for one in counts) / frames if frames else None


def _as_found(motion: HandMotion) -> HandMotion:
    """Return the motion with its filled frames unknown again: what a per-frame method gives."""
    seen = motion.status == DETECTED
    return replace(motion, transl=np.where(seen[..., None], motion.transl, np.nan))


@cache
def _opened(dataset: str, split: str | None) -> Dataset:
    return open_dataset(dataset, split)


def _over_clips(
    truths: TruthDataset, names: list[str], plan: AblationPlan, out: Path, workers: int
) -> Iterator[tuple[str, Scores | str]]:
    if workers == 1:
        for name in names:
            yield name, _guarded(truths, name, plan, out)
        return
    with worker_pool(workers) as pool:
        futures = {pool.submit(_guarded, truths, name, plan, out): name for name in names}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _guarded(truths: TruthDataset, name: str, plan: AblationPlan, out: Path) -> Scores | str:
    try:
        return measure_clip(truths, name, plan, out)
    except HmpfitError as error:
        return " ".join(str(error).split())


def _file_name(row: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "+()-." else "_" for letter in row)


def _table(title: str, scores: dict[str, Scores], plan: AblationPlan, prefix: str, notes: dict[str, str]) -> Table:
    lines = []
    for row in plan.rows:
        each = [one[row] for one in scores.values() if f"{prefix}pa_mpjpe_mm" in one[row]]
        mean = mean_of(each, [one[f"{prefix}frames"] for one in each]) if each else {}
        lines.append((row, {column: mean.get(f"{prefix}{column}") for column in COLUMNS}))
    frames = sum(next(iter(one.values())).get(f"{prefix}frames", 0) for one in scores.values())
    return Table(f"{title} ({len(scores)} clips, {frames:.0f} frames)", COLUMNS, tuple(lines), notes)
