"""The paper's table: the same clips fitted in several ways, each scored against their truth.

Keypoints are found once per clip and shared by all rows. Every row's stage files stay in the output folder, so that the
same call resumes. One process per clip at a time.
"""

import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import HmpfitError
from hmpfit.evaluation.scoring import flattened, read_truth, score_motion
from hmpfit.evaluation.tables import Table, mean_of
from hmpfit.exporters.records import load_record
from hmpfit.hands.model_files import load_hand_models
from hmpfit.recipes import RunSettings
from hmpfit.records import DETECTED, HandMotion

# Row -> (the paper's row, how it differs from a whole fit).
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "initialiser": ("PyMAF-X", {"solver": "none"}),
    "+ SLERP": ("+ SLERP", {"solver": "none"}),
    "no motion prior": ("no motion prior", {"prior": "none"}),
    "stage 1 (mediapipe)": ("Stage-1 (MediaPipe)", {"keypoints": "mediapipe", "stages": 1}),
    "stage 1 (blend)": ("Stage-1 (Blend)", {"stages": 1}),
    "stage 2 (blend)": ("Stage-2 (Blend)", {}),
}
COLUMNS = ("pa_mpjpe_mm", "ra_mpjpe_mm", "ra_acc_mm_per_frame2", "pa_mpvpe_mm")


@dataclass(frozen=True)
class Clip:
    """A clip with known truth: a folder with clip.mp4 and truth.npz."""

    name: str
    folder: Path


Scores = dict[str, dict[str, float]]  # row -> numbers of one clip


def ablate(
    clips: Sequence[Clip],
    settings: RunSettings,
    out: Path,
    rows: Sequence[str] = tuple(ROWS),
    workers: int = 1,
    on_done: Callable[[str], None] | None = None,
) -> tuple[Table, Table, dict[str, Scores]]:
    """Return the table over all frames, the table over occluded frames, and every clip's scores.

    A clip that cannot be fitted is named in the tables' notes. Frames of the initialiser without an estimate are
    charged with a neutral hand in the columns `*_charged`; the fitted rows cover every frame of a hand that was seen.
    """
    scores, notes = {}, {}
    for name, found in _over_clips(clips, settings, out, tuple(rows), workers):
        if isinstance(found, str):
            notes[name] = found
        else:
            scores[name] = found
        if on_done is not None:
            on_done(name)
    ordered = {clip.name: scores[clip.name] for clip in clips if clip.name in scores}
    return (
        _table("All frames", ordered, rows, "", notes),
        _table("Occluded frames", ordered, rows, "occluded_", notes),
        ordered,
    )


def ablate_clip(clip: Clip, settings: RunSettings, out: Path, rows: Sequence[str]) -> Scores:
    """Fit one clip in every row's way and score it. Raises HmpfitError when it cannot be fitted at all."""
    from hmpfit.pipeline import fit_in_folder

    truth = read_truth(clip.folder)
    models = load_hand_models(settings.hand_model)
    with np.load(clip.folder / "truth.npz") as stored:
        K = stored["K"][0]
    camera = ",".join(repr(float(value)) for value in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
    sides = {(True,): "right", (False,): "left"}.get(tuple(truth.is_right.tolist()), "both")
    scores: Scores = {}
    for row in rows:
        folder = out / "rows" / row.replace(" ", "_") / clip.name
        folder.mkdir(parents=True, exist_ok=True)
        for other in (out / "rows").glob(f"*/{clip.name}/tracks.npz"):
            if not (folder / "tracks.npz").exists():
                shutil.copyfile(other, folder / "tracks.npz")  # the same detector saw the same pixels
        chosen = replace(_of_row(settings, row), intrinsics=camera, hands=sides, workers=1)
        result = fit_in_folder(clip.folder / "clip.mp4", folder, chosen)
        motion = result.motion
        if row == "initialiser":
            motion = _as_found(load_record(folder / "initial.npz", HandMotion))
        whole = score_motion(motion, models, truth, "hmp")
        numbers = flattened(whole)
        numbers["frames"] = whole["coverage"]["frames"]
        if truth.occluded().any():
            hidden = score_motion(motion, models, truth, "hmp", subset=True)
            numbers.update({f"occluded_{name}": value for name, value in flattened(hidden).items()})
            numbers["occluded_frames"] = hidden["coverage"]["frames"]
        scores[row] = numbers
    return scores


def _of_row(settings: RunSettings, row: str) -> RunSettings:
    changes = dict(ROWS[row][1])
    recipe = dict(settings.recipe)
    if "solver" in changes:
        recipe["solver"] = changes.pop("solver")
    if "stages" in changes:
        recipe["stages"] = recipe["stages"][: changes.pop("stages")]
    return replace(settings, recipe=recipe, **changes)


def _as_found(motion: HandMotion) -> HandMotion:
    """Return the motion with its filled frames unknown again: what a per-frame method gives."""
    seen = motion.status == DETECTED
    return replace(motion, transl=np.where(seen[..., None], motion.transl, np.nan))


def _over_clips(
    clips: Sequence[Clip], settings: RunSettings, out: Path, rows: tuple[str, ...], workers: int
) -> Iterator[tuple[str, Scores | str]]:
    if workers == 1:
        for clip in clips:
            yield clip.name, _guarded(clip, settings, out, rows)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_guarded, clip, settings, out, rows): clip for clip in clips}
        for future in as_completed(futures):
            yield futures[future].name, future.result()


def _guarded(clip: Clip, settings: RunSettings, out: Path, rows: tuple[str, ...]) -> Scores | str:
    try:
        return ablate_clip(clip, settings, out, rows)
    except HmpfitError as error:
        return " ".join(str(error).split())


def _table(title: str, scores: dict[str, Scores], rows: Sequence[str], prefix: str, notes: dict[str, str]) -> Table:
    columns = (*COLUMNS, *(f"{column}_charged" for column in COLUMNS[:3]))
    lines = []
    for row in rows:
        each = [one[row] for one in scores.values() if f"{prefix}pa_mpjpe_mm" in one[row]]
        mean = mean_of(each, [one[f"{prefix}frames"] for one in each]) if each else {}
        lines.append((row, {column: mean.get(f"{prefix}{column}") for column in columns}))
    frames = sum(next(iter(one.values())).get(f"{prefix}frames", 0) for one in scores.values())
    return Table(f"{title} ({len(scores)} clips, {frames:.0f} frames)", columns, tuple(lines), notes)
