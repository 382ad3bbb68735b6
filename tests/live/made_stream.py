"""Frames of a stream whose hands are known: what a perfect tracker would see of a made motion."""

import numpy as np

from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.live.records import SeenFrame, SeenHand
from hmpfit.records import DETECTED, Camera, HandMotion

FPS = 30.0
CAMERA = Camera(np.array([[[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]]]), 640, 480, source="given")
MODELS = load_hand_models("open")


def made_motion(frames: int, sides: tuple[bool, ...] = (True,)) -> HandMotion:
    """Return hands that turn, wander and close, smoothly."""
    hands, t = len(sides), np.arange(frames) / FPS
    phase = np.arange(hands)[:, None] * 0.7
    orient = np.stack([0.3 * np.sin(2 * t + phase), 0.4 * np.sin(1.5 * t + phase), 0.2 * t + 0 * phase], -1)
    place = np.array([[-0.12 if right else 0.12, 0.0, 0.6] for right in sides])
    wander = np.stack([0.05 * np.sin(t + phase), 0.03 * np.cos(1.3 * t + phase), 0.04 * np.sin(0.7 * t + phase)], -1)
    bend = 0.35 + 0.3 * np.sin(2.2 * t + phase)
    pose = np.zeros((hands, frames, 15, 3))
    pose[..., 2] = bend[..., None] * np.where(np.arange(15) < 12, 1.0, 0.2)
    motion = HandMotion(
        orient, pose, place[:, None] + wander, np.zeros((hands, 10)), np.ones(hands, dtype=bool),
        np.full((hands, frames), DETECTED, np.uint8),
    )  # fmt: skip
    left = ~np.array(sides)
    mirrored = motion.mirrored(left)
    transl = np.where(left[:, None, None], mirrored.transl * [-1.0, 1.0, 1.0], mirrored.transl)
    return HandMotion(
        mirrored.global_orient, mirrored.hand_pose, transl, mirrored.betas, np.array(sides), mirrored.status
    )


def seen_frames(motion: HandMotion, first: int = 0) -> list[SeenFrame]:
    """Return what a perfect tracker sees of a motion: exact landmarks, full confidence."""
    frames = motion.status.shape[1]
    pixels = projected_tracks(motion, MODELS, CAMERA, np.arange(frames) / FPS).xy_px
    joints = pose_hands(MODELS, motion).joints
    return [
        SeenFrame(
            first + n, (first + n) / FPS, (first + n) / FPS,
            tuple(
                SeenHand(h, bool(side), pixels[h, n], joints[h, n] - joints[h, n, :1], np.ones(21))
                for h, side in enumerate(motion.is_right)
            ),
        )
        for n in range(frames)
    ]  # fmt: skip


def from_wrist_mm(joints: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean distance of joints [21, 3] as seen from the wrist."""
    return float(1e3 * np.linalg.norm((joints - joints[:1]) - (truth - truth[:1]), axis=-1).mean())
