"""`result.npz`: the public file of a run. Its keys are a contract with other people's scripts: add, never rename.

The README documents every key (shape, unit, frame). Separate from `records.py`, whose stage files may change freely.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hmpfit.errors import InputError
from hmpfit.geometry.lenses import lens_name
from hmpfit.geometry.rigid_transforms import apply
from hmpfit.geometry.rotations import exp
from hmpfit.hands.model import HandModels
from hmpfit.records import Camera, CameraMotion, FitResult, Floats, HandMotion, KeypointTracks
from hmpfit.results.record_files import UNREADABLE, write_npz

SCHEMA = "hmpfit.result.1"
_OF_WORLD = ("world_from_camera", "joints_world", "scale_std")


@dataclass(frozen=True)
class StoredResult:
    """What `result.npz` holds, read back as records; H hands, T frames, camera-frame meters and pixels."""

    motion: HandMotion
    joints: Floats  # [H, T, 21, 3]
    joint_std_mm: Floats  # [H, T, 21]
    tracks: KeypointTracks
    camera: Camera
    landmarks_px: Floats  # [H, T, 21, 2]
    camera_motion: CameraMotion | None = None  # None: a result that says nothing of the world


def write_result(path: Path, result: FitResult) -> None:
    """Write `result.npz`. Keypoints that no detector saw are stored as 0 with confidence 0, so all values are finite.

    Only `joint_std_mm` may be NaN throughout, where nothing is known of it because no solver ran, and what speaks of
    the world, where the camera's path or its scale is not known (`camera_status`).
    Raises ValueError when anything else in the result is not finite: that is a mistake of ours, not of the input.
    """
    arrays = _arrays(result)
    known = result.camera_motion is None or result.camera_motion.known
    for key, values in arrays.items():
        unknown = (key == "joint_std_mm" and np.isnan(values).all()) or (key in _OF_WORLD and not known)
        if values.dtype.kind == "f" and not (unknown or np.isfinite(values).all()):
            raise ValueError(f"'{key}' of the result is not finite")
    write_npz(path, arrays)


def _arrays(result: "FitResult | StoredResult") -> dict[str, np.ndarray]:
    motion, tracks, camera = result.motion, result.tracks, result.camera
    evidence = np.isfinite(tracks.xy_px).all(axis=-1) & (tracks.confidence > 0)
    return {
        "global_orient": motion.global_orient,
        "hand_pose": motion.hand_pose,
        "transl": motion.transl,
        "betas": motion.betas,
        "is_right": motion.is_right,
        "hand_id": motion.hand_id,
        "person_id": motion.person_id,
        "status": motion.status.astype(np.uint8),
        "joints": result.joints,
        "joints_wrist": in_wrist_frame(result.joints, motion.global_orient),
        "joint_std_mm": result.joint_std_mm,
        "keypoints_px": np.where(evidence[..., None], tracks.xy_px, 0.0),
        "keypoint_confidence": np.where(evidence, tracks.confidence, 0.0),
        "landmarks_px": result.landmarks_px,
        "K": camera.K,
        "distortion": np.zeros(5) if camera.distortion is None else camera.distortion,
        "distortion_model": np.array(lens_name(camera.distortion)),
        "image_size": np.array([camera.width, camera.height]),
        "times_s": tracks.times_s,
        "schema": np.array(SCHEMA),
        **_world(result),
    }


def _world(result: "FitResult | StoredResult") -> dict[str, np.ndarray]:
    camera_motion = result.camera_motion
    if camera_motion is None:
        return {}
    path = camera_motion.world_from_camera
    more = {} if camera_motion.map_from_camera is None else {"map_from_camera": camera_motion.map_from_camera}
    return {
        "world_from_camera": path,
        "camera_status": np.array(camera_motion.status),
        "scale_std": np.array(float(camera_motion.scale_std)),
        "joints_world": apply(path[None], result.joints),
        **more,
    }


def in_wrist_frame(joints: Floats, global_orient: Floats) -> Floats:
    """Return joints [H, T, 21, 3] seen from the wrist: its place is 0 and its axes, those of the hand model, are x y z.

    A flat right hand has its fingers along -x and the palm facing -y; a left hand's along +x.
    """
    rotations = exp(torch.as_tensor(global_orient, dtype=torch.float64)).numpy()
    return np.einsum("htji,htkj->htki", rotations, joints - joints[:, :, :1])


def write_copy(result: StoredResult, models: HandModels, out: Path) -> list[Path]:
    """Write a result that was read back to `out/result.npz`, or to `out` itself if it ends in .npz."""
    file = out if out.suffix == ".npz" else out / "result.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_npz(file, _arrays(result))
    return [file]


def read_result(path: Path) -> StoredResult:
    """Read a `result.npz`, or the one in a run folder; a synthetic clip's `truth.npz` reads too.

    Raises InputError when the file is missing, damaged, or not a result.
    """
    file = path / "result.npz" if path.is_dir() else path
    try:
        with np.load(file, allow_pickle=False) as stored:
            if not str(stored["schema"]).startswith(SCHEMA.rpartition(".")[0]):
                raise InputError(f"'{file}' has the schema '{stored['schema']}', and this version reads '{SCHEMA}'.")
            arrays = dict(stored)
    except UNREADABLE as error:
        raise InputError(f"'{file}' is not a readable result of hmpfit ({error}).") from error
    return _records(arrays, file)


def _records(arrays: dict[str, np.ndarray], file: Path) -> StoredResult:
    try:
        motion = HandMotion.of(arrays)
        confidence = arrays["keypoint_confidence"]
        evidence = confidence > 0
        tracks = KeypointTracks(
            xy_px=np.where(evidence[..., None], arrays["keypoints_px"], np.nan),
            confidence=confidence,
            seen=evidence.any(axis=-1),
            is_right=motion.is_right,
            times_s=arrays["times_s"],
            hand_id=motion.hand_id,
            person_id=motion.person_id,
        )
        width, height = (int(side) for side in arrays.get("image_size", 2 * arrays["K"][0, :2, 2]))
        distortion = arrays.get("distortion", np.zeros(5))
        bends = distortion.any() or len(distortion) == 4  # a fisheye of zeros is no pinhole
        camera = Camera(arrays["K"], width, height, distortion if bends else None, "given")
        landmarks_px = arrays.get("landmarks_px", arrays["keypoints_px"])
        return StoredResult(
            motion, arrays["joints"], arrays["joint_std_mm"], tracks, camera, landmarks_px, _camera_motion(arrays)
        )
    except KeyError as error:
        raise InputError(f"'{file}' lacks the key {error} that every result of hmpfit has.") from error


def _camera_motion(arrays: dict[str, np.ndarray]) -> CameraMotion | None:
    if "world_from_camera" not in arrays:
        return None
    status = str(arrays.get("camera_status", "given"))
    scale_std = float(arrays.get("scale_std", 0.0))
    return CameraMotion(arrays["world_from_camera"], status, scale_std, "", arrays.get("map_from_camera"))
