"""`result.npz`: the public file of a run. Its keys are a contract with other people's scripts: add, never rename.

docs/results.md has every key (shape, unit, frame). Separate from `records.py`, whose stage files may change freely.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.schemas import ANGLE_MOST, BETA_MOST, METERS, PIXELS, SECONDS, Fields
from hmpfit.geometry.lenses import lens_name
from hmpfit.geometry.rigid_transforms import apply
from hmpfit.geometry.rotations import exp
from hmpfit.hands.model import HandModels
from hmpfit.records import Camera, CameraMotion, FitRecord, Floats, HandMotion, KeypointTracks
from hmpfit.results.record_files import write_npz

SCHEMA = "hmpfit.result.1"
_DEVIATIONS = ("joint_std_mm", "joint_std_wrist_mm")
_OF_WORLD = ("world_from_camera", "joints_world", "scale_std")
LANDMARK_MOST = 1e12  # a joint beside the camera is projected far away, and that is no mistake
STD_MM_MOST = 1e9


@dataclass(frozen=True)
class StoredResult:
    """What `result.npz` holds, read back as records; H hands, T frames, camera-frame meters and pixels."""

    motion: HandMotion
    joints: Floats  # [H, T, 21, 3]
    joint_std_mm: Floats  # [H, T, 21]
    tracks: KeypointTracks
    camera: Camera
    landmarks_px: Floats  # [H, T, 21, 2]
    camera_motion: CameraMotion | None = None  # None: a result without a world frame
    joint_std_wrist_mm: Floats | None = None  # [H, T, 21]; None: a result of an earlier version

    @property
    def from_wrist_mm(self) -> Floats:
        """Deviations of the joints as seen from the wrist [H, T, 21]; of results without them, the camera frame's."""
        return self.joint_std_mm if self.joint_std_wrist_mm is None else self.joint_std_wrist_mm

    @property
    def world_from_camera(self) -> Floats | None:
        """The camera's path [T, 4, 4] in meters, None where it is not known."""
        known = self.camera_motion is not None and self.camera_motion.known
        return self.camera_motion.world_from_camera if known and self.camera_motion is not None else None


def write_result(path: Path, result: FitRecord) -> None:
    """Write `result.npz`. Keypoints that no detector saw are stored as 0 with confidence 0, so all values are finite.

    Only the deviations may be NaN throughout, where nothing is known of it because no solver ran, and what speaks of
    the world, where the camera's path or its scale is not known (`camera_status`).
    Raises ValueError when anything else in the result is not finite: that is a mistake of ours, not of the input.
    """
    arrays = _arrays(result)
    known = result.camera_motion is None or result.camera_motion.known
    for key, values in arrays.items():
        unknown = (key in _DEVIATIONS and np.isnan(values).all()) or (key in _OF_WORLD and not known)
        if values.dtype.kind == "f" and not (unknown or np.isfinite(values).all()):
            raise ValueError(f"'{key}' of the result is not finite")
    write_npz(path, arrays)


def _arrays(result: "FitRecord | StoredResult") -> dict[str, np.ndarray]:
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
        **({} if result.joint_std_wrist_mm is None else {"joint_std_wrist_mm": result.joint_std_wrist_mm}),
        "sighted": tracks.seen if tracks.sighted is None else tracks.sighted,
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


def _world(result: "FitRecord | StoredResult") -> dict[str, np.ndarray]:
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
        arrays = read_npz(file)
    except UnreadableFileError as error:
        raise InputError(f"'{file}' is not a readable result of hmpfit: {error.reason}.") from None
    schema = str(arrays.get("schema", "none"))[:40]
    if not schema.startswith(SCHEMA.rpartition(".")[0]):
        raise InputError(f"'{file}' has the schema '{schema}', and this version reads '{SCHEMA}'.")
    return _records(Fields(arrays, file, "a result of hmpfit"))


def motion_fields(stored: Fields) -> HandMotion:
    """Return the motion among a result's arrays. Raises InputError naming the key that is missing or wrong."""
    motion = HandMotion(
        global_orient=stored.array("global_orient", ("H", "T", 3), low=-ANGLE_MOST, high=ANGLE_MOST),
        hand_pose=stored.array("hand_pose", ("H", "T", 15, 3), low=-ANGLE_MOST, high=ANGLE_MOST),
        transl=stored.array("transl", ("H", "T", 3), low=-METERS, high=METERS),
        betas=stored.array("betas", ("H", 10), low=-BETA_MOST, high=BETA_MOST),
        is_right=stored.flags("is_right", ("H",)),
        status=stored.array("status", ("H", "T"), np.uint8, 0, 3),
        **{key: stored.array(key, ("H",), np.int64, 0, 1e6) for key in ("hand_id", "person_id") if key in stored},
    )
    if 0 in motion.status.shape:
        raise stored.wrong("status", "holds no frames")
    return motion


def _records(stored: Fields) -> StoredResult:
    motion = motion_fields(stored)
    confidence = stored.array("keypoint_confidence", ("H", "T", 21), low=0, high=1)
    keypoints_px = stored.array("keypoints_px", ("H", "T", 21, 2), low=-PIXELS, high=PIXELS, allow_nan=True)
    evidence = confidence > 0
    sighted = stored.flags("sighted", ("H", "T")) if "sighted" in stored else evidence.any(axis=-1)
    tracks = KeypointTracks(
        xy_px=np.where(evidence[..., None], keypoints_px, np.nan),
        confidence=confidence,
        seen=evidence.any(axis=-1),
        is_right=motion.is_right,
        times_s=_times(stored),
        hand_id=motion.hand_id,
        person_id=motion.person_id,
        sighted=None if (sighted == evidence.any(axis=-1)).all() else sighted,
    )
    landmarks_px = keypoints_px
    if "landmarks_px" in stored:
        landmarks_px = stored.array("landmarks_px", ("H", "T", 21, 2), low=-LANDMARK_MOST, high=LANDMARK_MOST)
    joints = stored.array("joints", ("H", "T", 21, 3), low=-METERS, high=METERS)
    std_mm = stored.array("joint_std_mm", ("H", "T", 21), low=0, high=STD_MM_MOST, allow_nan=True)
    wrist_mm = None
    if "joint_std_wrist_mm" in stored:
        wrist_mm = stored.array("joint_std_wrist_mm", ("H", "T", 21), low=0, high=STD_MM_MOST, allow_nan=True)
    camera, camera_motion = _camera(stored), _camera_motion(stored)
    return StoredResult(motion, joints, std_mm, tracks, camera, landmarks_px, camera_motion, wrist_mm)


def _camera_motion(stored: Fields) -> CameraMotion | None:
    if "world_from_camera" not in stored:
        return None
    status = str(stored.content.get("camera_status", "given"))[:40]
    poses = stored.array("world_from_camera", ("T", 4, 4), low=-METERS, high=METERS, allow_nan=True)
    scale_std = 0.0
    if "scale_std" in stored:  # infinite where nothing is known of the scale
        told = stored.any_array("scale_std")
        if told.shape != () or told.dtype.kind != "f" or not told >= 0:
            raise stored.wrong("scale_std", "is no number from 0 on")
        scale_std = float(told)
    map_poses = None
    if "map_from_camera" in stored:
        map_poses = stored.array("map_from_camera", ("T", 4, 4), low=-1e9, high=1e9, allow_nan=True)
    return CameraMotion(poses, status, scale_std, "", map_poses)


def _times(stored: Fields) -> Floats:
    times_s = stored.array("times_s", ("T",), low=-SECONDS, high=SECONDS)
    if (np.diff(times_s) <= 0).any():
        raise stored.wrong("times_s", "does not rise from frame to frame")
    return times_s


def _camera(stored: Fields) -> Camera:
    K = stored.array("K", ("cameras", 3, 3), low=-PIXELS, high=PIXELS)
    if len(K) not in (1, stored.sides["T"]) or (K[:, [0, 1], [0, 1]] <= 0).any():
        raise stored.wrong("K", "is no camera, or not one for each frame")
    distortion = stored.array("distortion", (None,), low=-1e3, high=1e3) if "distortion" in stored else np.zeros(5)
    size = 2 * K[0, :2, 2]
    if "image_size" in stored:
        size = stored.array("image_size", (2,), low=1, high=PIXELS)
    if len(distortion) not in (4, 5, 8):
        raise stored.wrong("distortion", f"has {len(distortion)} numbers; a lens has 4, 5 or 8")
    bends = distortion.any() or len(distortion) == 4  # a fisheye of zeros is no pinhole
    return Camera(K, int(size[0]), int(size[1]), distortion if bends else None, "given")
