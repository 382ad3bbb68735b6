"""`result.json`: figures on the quality of a run for scripts. The keys are a contract: add, never rename."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import UnreadableFileError
from hmpfit.files.schemas import Optional, mismatch
from hmpfit.files.structured import read_json_table
from hmpfit.geometry.intrinsics import focal_log_std
from hmpfit.geometry.lenses import lens_name
from hmpfit.records import (
    DETECTED,
    EXTRAPOLATED,
    INTERPOLATED,
    CameraMotion,
    FitRecord,
    Floats,
    KeypointTracks,
    hand_names,
)
from hmpfit.results.jitter import high_pass_rms
from hmpfit.results.trust import trusted_frames
from hmpfit.strict_json import finite, to_json

_MILLIMETERS = 1000.0


def summarize(
    result: FitRecord, fps: float, seconds: Mapping[str, float], hidden_px: Floats | None,
    cpu_seconds: Mapping[str, float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the content of `result.json`, plain values only; a number that is not finite becomes None.

    `fps` is the clip's frame rate; `seconds` the time of each step, `cpu_seconds` the processor's. `hidden_px`
    [H, T, 21, 2] are detections in frames that were withheld from the fit, NaN elsewhere; None when nothing was
    withheld. `provenance` of the result gives hand_model, prior, initializer, version and whatever else the pipeline
    knows.
    """
    hands = range(len(result.motion.is_right))
    camera = result.camera
    summary = {
        "frames": len(result.tracks.times_s),
        "fps": fps,
        "hands": [_hand(result, hand, None if hidden_px is None else hidden_px[hand]) for hand in hands],
        "dropped": [asdict(one) for one in result.tracks.dropped],
        "stages": [
            {
                "name": report.stage,
                "solver": report.solver,
                "outcome": report.outcome,
                "steps": report.steps,
                "cost_start": report.cost_start,
                "cost_end": report.cost_end,
                "seconds": report.seconds,
                "terms_start": dict(report.terms_start),
                "terms_end": dict(report.terms_end),
            }
            for report in result.reports
        ],
        "windows": [list(window) for window in result.windows],
        "seconds": dict(seconds),
        "cpu_seconds": dict(cpu_seconds or {}),
        "camera": {
            "source": camera.source,
            "width": camera.width,
            "height": camera.height,
            "K": np.asarray(camera.K)[0].tolist(),
            "moving": len(camera.K) > 1,
            "focal_log_std": focal_log_std(camera),
            "motion": _motion(result.camera_motion),
            "note": camera.note,
            "distortion_model": lens_name(camera.distortion),
            "distortion": None if camera.distortion is None else np.asarray(camera.distortion).tolist(),
        },
        "recipe": result.recipe,
        **result.provenance,
    }
    return {key: finite(value) for key, value in summary.items()}


_DISTANCE = Optional({"median": float})
_HAND = {
    "is_right": bool, "detected": int, "interpolated": Optional(int), "extrapolated": Optional(int),
    "reprojection_px": _DISTANCE, "hidden_keypoint_px": _DISTANCE, "joint_std_mm_median": Optional(float),
}  # fmt: skip
_STAGE = {
    "name": str, "solver": str, "outcome": str, "steps": int, "seconds": float, "cost_start": Optional(float),
    "cost_end": Optional(float), "terms_start": Optional({}), "terms_end": Optional({}),
}  # fmt: skip
_CAMERA = {"source": Optional(str), "moving": Optional(bool)}
_SUMMARY = {
    "frames": int, "fps": float, "hands": [_HAND], "stages": Optional([_STAGE]), "seconds": {"total": float},
    "cpu_seconds": Optional({}), "video": Optional(str), "first_frame": Optional(int), "camera": Optional(_CAMERA),
}  # fmt: skip


def read_summary(path: Path) -> dict[str, Any]:
    """Read a `result.json`. Raises UnreadableFileError when it is missing, damaged, or lacks a required key."""
    summary = read_json_table(path)
    wrong = mismatch(summary, _SUMMARY)
    if wrong is not None:
        raise UnreadableFileError(path, wrong, "the summary of a run")
    for stage in summary.get("stages") or ():
        for terms in (stage.get("terms_start") or {}, stage.get("terms_end") or {}):
            if any(cost is not None and type(cost) not in (int, float) for cost in terms.values()):
                raise UnreadableFileError(path, "a term's cost is no number", "the summary of a run")
    return summary


def _motion(camera_motion: CameraMotion | None) -> dict[str, Any] | None:
    if camera_motion is None:
        return None
    steps = np.diff(camera_motion.world_from_camera[:, :3, 3], axis=0)
    return {
        "status": camera_motion.status,
        "reason": camera_motion.reason,
        "scale_std": float(camera_motion.scale_std),
        "path_m": float(np.linalg.norm(steps, axis=1).sum()),
    }


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write the summary as JSON that every parser reads: a number that is not finite becomes null."""
    path.write_text(to_json(summary, indent=1) + "\n")


def _hand(result: FitRecord, hand: int, hidden_px: Floats | None) -> dict[str, Any]:
    motion, tracks = result.motion, result.tracks
    status = motion.status[hand]
    detected = (status == DETECTED) & tracks.seen[hand]
    landmarks_px = result.landmarks_px[hand]
    trusted = trusted_frames(tracks)[hand]
    sighted = tracks.seen[hand] if tracks.sighted is None else tracks.sighted[hand]
    wrist_relative = result.joints[hand] - result.joints[hand][:, :1]
    acceleration = np.linalg.norm(np.diff(wrist_relative, n=2, axis=0), axis=-1) * _MILLIMETERS
    return {
        "is_right": bool(motion.is_right[hand]),
        "name": hand_names(motion.is_right)[hand],
        "hand_id": int(motion.hand_id[hand]),
        "person_id": int(motion.person_id[hand]),
        "vote": _vote(tracks, hand),
        "detected": int((status == DETECTED).sum()),
        "interpolated": int((status == INTERPOLATED).sum()),
        "extrapolated": int((status == EXTRAPOLATED).sum()),
        "trusted_share": float(trusted.mean()),
        "doubted": int((sighted & ~trusted).sum()),
        "reprojection_px": _distance(landmarks_px[detected], tracks.xy_px[hand][detected]),
        "hidden_keypoint_px": None if hidden_px is None else _distance(landmarks_px, hidden_px),
        "joint_std_mm_median": float(np.median(result.joint_std_mm[hand])),
        "joint_std_wrist_mm_median": None
        if result.joint_std_wrist_mm is None
        else float(np.median(result.joint_std_wrist_mm[hand, :, 1:])),
        **_size(result, hand),
        "accel_mm_per_frame2": float(acceleration.mean()) if acceleration.size else None,
        "accel_mm_per_frame2_p95": float(np.percentile(acceleration.mean(-1), 95)) if acceleration.size else None,
        "mesh_high_pass_rms_px": None if result.mesh_center_px is None else high_pass_rms(result.mesh_center_px[hand]),
        "box_diagonal_px_median": float(np.nanmedian(tracks.box_diagonal_px[hand][detected]))
        if detected.any()
        else None,
    }


def _size(result: FitRecord, hand: int) -> dict[str, Any]:
    """Return how large a hand is and how that is known, wrist to middle fingertip."""
    size = result.hand_size
    if size is None:
        return {"hand_size_mm": None, "hand_size_std_mm": None, "hand_size_source": None}
    millimeters = float(size.size_mm[hand])
    return {
        "hand_size_mm": millimeters,
        "hand_size_std_mm": millimeters * size.relative_std,
        "hand_size_source": size.source,
    }


def _vote(tracks: KeypointTracks, hand: int) -> dict[str, float | str | None] | None:
    """Return the detections' votes on a hand's side; None where the source has no votes."""
    if tracks.right_log_odds is None or tracks.agreement is None:
        return None
    right = 1 / (1 + np.exp(-float(tracks.right_log_odds[hand])))
    arm = float("nan") if tracks.arm_right is None else float(tracks.arm_right[hand])
    side = None if np.isnan(arm) else "right" if arm > 0.5 else "left"
    return {"right_probability": float(right), "agreement": float(tracks.agreement[hand]), "arm": side}


def _distance(found_px: Floats, seen_px: Floats) -> dict[str, float] | None:
    distances = np.linalg.norm(found_px - seen_px, axis=-1)
    distances = distances[np.isfinite(distances)]
    return {"mean": float(distances.mean()), "median": float(np.median(distances))} if distances.size else None
