"""Files of other systems, written in their formats from a known motion, must come back as that motion."""

import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch

from hmpfit.errors import InputError
from hmpfit.fitting.stages import fit
from hmpfit.geometry.cameras import project
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.initializers.from_file import initialize
from hmpfit.recipes import load_recipe
from hmpfit.records import DETECTED, Camera, Floats, HandMotion, KeypointTracks
from tests.foreign_files import HEIGHT, WIDTH, WRITERS, hamer_npz

FRAMES = 12
K = np.array([[900.0, 0, WIDTH / 2], [0, 900.0, HEIGHT / 2], [0, 0, 1]])
CAMERA = Camera(K[None], WIDTH, HEIGHT, None, "given")
TIMES = np.arange(FRAMES) / 25


def moving(frames: int, noise: float = 0.0) -> HandMotion:
    """A right and a left hand that turn and bend slowly before the camera; `noise` shakes every frame alike."""
    rng = np.random.default_rng(5)
    steps = np.linspace(0, 1, frames)[None, :, None]
    bend = np.zeros((15, 3))
    bend[:12, 2] = 0.5
    orient = np.array([[[0.4, 1.0, 0.3]], [[0.4, -1.0, -0.3]]]) + steps * 0.3
    pose = np.stack([bend, bend * [1, -1, -1]])[:, None] * (0.5 + steps[..., None])
    transl = np.array([[[0.02, 0.03, 0.6]], [[-0.12, 0.02, 0.65]]]) + steps * [0.03, 0.02, 0.02]
    return HandMotion(
        global_orient=orient + rng.normal(scale=noise, size=orient.shape),
        hand_pose=pose + rng.normal(scale=noise, size=pose.shape),
        transl=transl + rng.normal(scale=0.1 * noise, size=transl.shape),
        betas=rng.normal(scale=0.3, size=(2, 10)),
        is_right=np.array([True, False]),
        status=np.full((2, frames), DETECTED, np.uint8),
    )


def pixels(joints: Floats) -> Floats:
    return project(torch.as_tensor(joints), torch.as_tensor(K)).numpy()


def tracks_of(joints: Floats, motion: HandMotion, times_s: Floats) -> KeypointTracks:
    ones = np.ones(joints.shape[:3])
    return KeypointTracks(pixels(joints), ones, ones[..., 0] > 0, motion.is_right, times_s)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_motion_back(kind: str, models: HandModels, tmp_path: Path) -> None:
    motion = moving(FRAMES)
    joints = pose_hands(models, motion).joints
    path = WRITERS[kind](motion, joints, models, tmp_path)
    read = initialize(path, TIMES, CAMERA, models, tracks_of(joints, motion, TIMES))
    found = pose_hands(models, read).joints
    hands = [int(np.flatnonzero(motion.is_right == side)[0]) for side in read.is_right]
    assert len(hands) == (1 if kind == "pymaf_x_hand" else 2)
    apart_m = np.linalg.norm(found - joints[hands], axis=-1)
    # Whole-body files know no hand shape, joints are fitted by inverse kinematics, a far camera sees no perspective.
    allowed_m = {"pymaf_x_body": 0.04, "metro": 0.013, "pymaf_x_hand": 0.02}.get(kind, 1e-6)
    assert apart_m.max() < allowed_m, f"{1000 * apart_m.max():.3f} mm"
    assert np.linalg.norm(pixels(found) - pixels(joints[hands]), axis=-1).max() < (16 if allowed_m > 1e-3 else 1e-3)
    assert (read.status == DETECTED).all()


def test_a_far_camera_keeps_the_wrist_and_the_size(models: HandModels, tmp_path: Path) -> None:
    motion = moving(FRAMES)
    joints = pose_hands(models, motion).joints
    near = Camera(np.array([[[450.0, 0, WIDTH / 2], [0, 450.0, HEIGHT / 2], [0, 0, 1]]]), WIDTH, HEIGHT)
    read = initialize(hamer_npz(motion, joints, models, tmp_path), TIMES, near, models)
    found = pose_hands(models, read).joints
    wrist = project(torch.as_tensor(found[:, :, 0]), torch.as_tensor(near.K[0])).numpy()
    assert np.abs(wrist - pixels(joints[:, :, 0])).max() < 1e-6
    assert np.allclose(found[:, :, 0, 2], joints[:, :, 0, 2] / 2)


def test_frames_without_a_detection_are_filled_and_said(models: HandModels, tmp_path: Path) -> None:
    motion = moving(FRAMES)
    path = hamer_npz(motion, pose_hands(models, motion).joints, models, tmp_path)
    arrays = dict(np.load(path))
    kept = arrays["frame_ids"] != 4
    some = {key: value[kept] if np.ndim(value) else value for key, value in arrays.items()}
    np.savez(path, **some)
    read = initialize(path, TIMES, CAMERA, models)
    assert (read.status[:, 4] != DETECTED).all() and (np.delete(read.status, 4, 1) == DETECTED).all()
    assert np.abs(read.transl[:, 4] - motion.transl[:, 4]).max() < 1e-3


def test_another_frame_rate_is_resampled(models: HandModels, tmp_path: Path) -> None:
    motion = moving(FRAMES)
    path = WRITERS["amass"](motion, pose_hands(models, motion).joints, models, tmp_path)
    read = initialize(path, np.arange(2 * FRAMES - 1) / 50, CAMERA, models)
    right = int(np.flatnonzero(read.is_right)[0])
    assert np.allclose(read.transl[right, ::2], motion.transl[0])
    assert np.allclose(read.transl[right, 1::2], (motion.transl[0, 1:] + motion.transl[0, :-1]) / 2)


class _Payload:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/hmpfit_must_not_exist",)


def _bad(name: str, folder: Path, models: HandModels) -> Path:
    motion = moving(FRAMES)
    joints = pose_hands(models, motion).joints
    path = folder / "bad.npz"
    if name == "missing":
        return folder / "none.npz"
    if name == "unknown":
        np.savez(path, apples=np.ones(3))
    elif name == "payload":
        path = folder / "bad.pkl"
        joblib.dump({"smplx_params": _Payload()}, path)
    elif name == "objects":
        path = folder / "bad.pkl"
        joblib.dump({"orig_cam_t": np.array([_Payload(), 1], dtype=object)}, path)
    elif name == "damaged":
        path = folder / "bad.pkl"
        path.write_bytes(b"\x80\x04hello")
    elif name == "short":
        path = hamer_npz(moving(3), pose_hands(models, moving(3)).joints, models, folder)
    elif name == "body":
        np.savez(path, poses=np.zeros((FRAMES, 156)), trans=np.zeros((FRAMES, 3)), mocap_framerate=30)
    elif name == "mesh":
        np.savez(path, pred_vertices=np.zeros((FRAMES, 778, 3)))
    elif name == "unplaced":
        path = WRITERS["metro"](motion, joints, models, folder)
    elif name == "empty":
        path = folder / "output.pkl"
        joblib.dump({"smplx_params": [], "orig_cam_t": None, "frame_ids": None}, path)
    return path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "does not exist"),
        ("unknown", "apples.*PyMAF-X, METRO, HaMeR"),
        ("payload", "refused and nothing in it ran"),
        ("objects", "refused and nothing in it ran"),
        ("damaged", "is not a result file"),
        ("short", "holds 3 frames"),
        ("body", "156 columns"),
        ("mesh", "778 vertices"),
        ("unplaced", "no keypoints of its hands"),
        ("empty", "no detections"),
    ],
)
def test_a_bad_file_is_one_sentence(name: str, sentence: str, models: HandModels, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        initialize(_bad(name, tmp_path, models), TIMES, CAMERA, models)
    assert not Path("/tmp/hmpfit_must_not_exist").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_the_fit_refines_every_format(kind: str, models: HandModels, tmp_path: Path) -> None:
    frames = 40
    times = np.arange(frames) / 25
    truth, shaken = moving(frames), moving(frames, noise=0.06)
    evidence = tracks_of(pose_hands(models, truth).joints, truth, times)
    path = WRITERS[kind](shaken, pose_hands(models, shaken).joints, models, tmp_path)
    start = initialize(path, times, CAMERA, models, evidence)
    hands = [int(np.flatnonzero(truth.is_right == side)[0]) for side in start.is_right]
    evidence = KeypointTracks(
        *(getattr(evidence, name)[hands] for name in ("xy_px", "confidence", "seen", "is_right")), times
    )
    fitted = fit(start, evidence, CAMERA, models, None, load_recipe("default"), "gauss_newton", "cpu")
    before, after = (pose_hands(models, motion).joints for motion in (start, fitted.motion))

    def off_px(joints: Floats) -> float:
        return float(np.linalg.norm(pixels(joints) - evidence.xy_px, axis=-1).mean())

    def shake_mm(joints: Floats) -> float:
        relative = joints - joints[:, :, :1]
        return float(np.linalg.norm(np.diff(relative, n=2, axis=1), axis=-1).mean() * 1000)

    assert off_px(after) < off_px(before)
    assert shake_mm(after) < shake_mm(before)
