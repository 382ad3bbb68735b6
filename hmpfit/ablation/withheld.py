"""The table on real video, which has no truth: withhold landmarks from the fit, then score its projections of them.

Stretches of frames are withheld from detector and tracker alike; between them one finger after the other is withheld
from the landmarks that the fit gets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hmpfit.ablation.rows import AblationPlan
from hmpfit.errors import HmpfitError, InputError
from hmpfit.evaluation.tables import Table, mean_of
from hmpfit.hands.matching import match_hands
from hmpfit.recipes import RunSettings
from hmpfit.records import FitRecord, Floats, KeypointTracks
from hmpfit.skeleton import FINGERS, OPENPOSE_21
from hmpfit.video.clip import open_clip

PERIOD_S, STRETCH_S = 2.0, 0.5  # every two seconds half a second of frames, and half a second of one finger
LEAST_CONFIDENCE = 1e-6
COLUMNS = ("withheld_frames_px", "withheld_fingers_px", "reprojection_px", "acceleration_mm_per_frame2")


@dataclass(frozen=True)
class WithheldKeypoints:
    """What one video's fit is given and what it is scored against; hands H, frames T of `given`."""

    given: KeypointTracks  # withheld landmarks are NaN
    frames_px: Floats  # [H, T, 21, 2] landmarks of the withheld frames, else NaN
    fingers_px: Floats  # [H, T, 21, 2] landmarks of the withheld fingers, else NaN


def measure_withheld(
    videos: Sequence[Path], plan: AblationPlan, out: Path
) -> tuple[Table, dict[str, dict[str, dict[str, float]]]]:
    """Return the table of median errors in pixels, averaged over videos, and each video's numbers.

    Rows whose keypoints cannot be given as a file are left out. A video that cannot be fitted is named in the notes.
    Raises InputError when none could be, or when a video is too short to withhold anything.
    """
    rows = {name: pair for name, pair in plan.rows.items() if pair[0].given_keypoints}
    found: dict[str, dict[str, dict[str, float]]] = {}
    notes: dict[str, str] = {}
    for video in videos:
        folder = out / "videos" / video.stem
        try:
            found[video.stem] = _measure_video(video, folder, AblationPlan(rows, {}))
        except HmpfitError as error:
            notes[video.name] = " ".join(str(error).split())
    if not found:
        raise InputError(f"None of the videos could be fitted; the first: {next(iter(notes.values()))}")
    lines = [(name, mean_of([one[name] for one in found.values()])) for name in rows]
    shown = tuple((name, {column: mean.get(column) for column in COLUMNS}) for name, mean in lines)
    return Table(f"Withheld keypoints, median error ({len(found)} real videos, no truth)", COLUMNS, shown, notes), found


def withheld_stretches(frames: int, fps: float) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the half-open ranges of withheld frames and, half a period later each, of withheld fingers.

    Nothing is withheld at either end. Raises InputError for a clip that is too short.
    """
    period, length = max(4, round(PERIOD_S * fps)), max(1, round(STRETCH_S * fps))
    starts = range(period // 4, frames - length, period)
    whole = [(start, start + length) for start in starts if start + length + period // 8 <= frames]
    single = [(start + period // 2, start + period // 2 + length) for start, _ in whole]
    single = [(start, stop) for start, stop in single if stop + period // 8 <= frames]
    if not whole or not single:
        raise InputError(
            f"A video of {frames} frames is too short to withhold any; give one of {1.25 * PERIOD_S:g} s or more."
        )
    return whole, single


def without_fingers(tracks: KeypointTracks, ranges: Sequence[tuple[int, int]]) -> tuple[KeypointTracks, Floats]:
    """Return the tracks without one finger in each range (thumb first, then in turn), and the withheld landmarks."""
    xy, alpha = tracks.xy_px.copy(), tracks.confidence.copy()
    world = None if tracks.world_m is None else tracks.world_m.copy()
    taken = np.full(xy.shape, np.nan)
    for number, (start, stop) in enumerate(ranges):
        finger = FINGERS[number % len(FINGERS)]
        rows = [row for row, name in enumerate(OPENPOSE_21) if name.startswith(finger)]
        part = (slice(None), slice(start, stop), rows)
        taken[part] = xy[part]
        xy[part], alpha[part] = np.nan, 0.0
        if world is not None:
            world[part] = np.nan
    return replace(tracks, xy_px=xy, confidence=alpha, world_m=world), taken


def withheld_scores(result: FitRecord, withheld: WithheldKeypoints) -> dict[str, float]:
    """Return the numbers of one row: median pixel errors over landmarks, and the mean acceleration of the joints."""
    given = withheld.given
    frames, fingers, shown, acceleration = [], [], [], []
    for hand, row in enumerate(match_hands(result.tracks.xy_px, result.motion.is_right, given.xy_px, given.is_right)):
        if row >= 0:
            found = result.landmarks_px[row]
            frames.append(np.linalg.norm(found - withheld.frames_px[hand], axis=-1).ravel())
            fingers.append(np.linalg.norm(found - withheld.fingers_px[hand], axis=-1).ravel())
            shown.append(np.linalg.norm(found - given.xy_px[hand], axis=-1).ravel())
            joints = result.joints[row] - result.joints[row][:, :1]
            acceleration.append(1000 * np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).ravel())
    if not frames:
        raise InputError("The fit has no hand of the sides that were seen.")
    medians = [_median(frames), _median(fingers), _median(shown)]
    return dict(zip(COLUMNS, (*medians, float(np.mean(np.concatenate(acceleration)))), strict=True))


def _median(parts: list[Floats]) -> float:
    values = np.concatenate(parts)
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _measure_video(video: Path, folder: Path, plan: AblationPlan) -> dict[str, dict[str, float]]:
    from hmpfit.pipeline import fit_in_folder, keypoints_in_folder

    settings = next(iter(plan.rows.values()))[1]
    clip = open_clip(video, settings.frames, mirrored=settings.mirrored)
    frames, fingers = withheld_stretches(clip.frames, clip.fps)
    hidden = tuple((clip.first_frame + a, clip.first_frame + b) for a, b in frames)
    seen, frames_px = keypoints_in_folder(video, folder / "keypoints", replace(settings, hide_keypoints=hidden))
    given, fingers_px = without_fingers(seen, fingers)
    withheld = WithheldKeypoints(given, frames_px, fingers_px)
    file = folder / "keypoints.npz"
    _write(file, given)
    return {
        name: withheld_scores(fit_in_folder(video, folder / name.replace(" ", "_"), _on_file(chosen, file)), withheld)
        for name, (_, chosen) in plan.rows.items()
    }


def _write(file: Path, given: KeypointTracks) -> None:
    """Write the tracks as `--keypoints file:` reads them: there confidence 0 means unseen, here that no view agreed."""
    known = np.isfinite(given.xy_px).all(-1)
    alpha = np.where(known, np.maximum(given.confidence, LEAST_CONFIDENCE), 0.0)
    arrays = {"xy_px": given.xy_px, "confidence": alpha, "is_right": given.is_right, "times_s": given.times_s}
    np.savez(file, **arrays, **({} if given.world_m is None else {"world_m": given.world_m}))


def _on_file(settings: RunSettings, file: Path) -> RunSettings:
    """Return settings that read the keypoints from a file, and nothing from the pictures of the withheld frames."""
    keypoints = replace(settings.recipe.keypoints, followed=0.0)
    recipe = replace(settings.recipe, keypoints=keypoints)
    return replace(settings, keypoints=f"file:{file}", hide_keypoints=(), recipe=recipe)
