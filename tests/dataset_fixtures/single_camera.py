"""Miniature DexYCB, FreiHAND and HIC trees in the official layouts."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from hmpfit.datasets.dexycb import SERIALS, SUBJECTS
from hmpfit.datasets.hic import FITS
from hmpfit.records import Floats
from hmpfit.skeleton import OPENPOSE_TO_MANO21
from tests.dataset_fixtures.hands import components, mano_sized, moving_hands, write_picture

FRAMES = 4
SUBJECT = SUBJECTS[2]
ABSENT, MISSING = 1, 2  # frames of the first camera's labels
TIPS_COVERED = (4, 8, 12, 16, 20)  # OpenPose order


def write_dexycb(root: Path) -> tuple[Floats, Floats]:
    """Write five recordings of one subject, the fourth and fifth with a left hand, seen by two cameras.

    Returns the true joints and meshes of both hands, right first. Other files of the layout lie about.
    """
    rng = np.random.default_rng(1)
    coefficients = rng.normal(scale=0.2, size=(2, FRAMES, 45))
    relative = np.stack([coefficients[0] @ components(True), coefficients[1] @ components(False)])
    motion, joints, vertices = moving_hands(FRAMES, relative)
    for recording in range(5):
        hand = int(recording >= 3)
        folder = root / SUBJECT / f"20200820_14000{recording}"
        folder.mkdir(parents=True)
        meta = {
            "serials": list(SERIALS), "num_frames": FRAMES, "extrinsics": "a", "ycb_ids": [2], "ycb_grasp_ind": 0,
            "mano_calib": [f"subject-03_{'left' if hand else 'right'}"], "mano_sides": ["left" if hand else "right"],
        }  # fmt: skip
        (folder / "meta.yml").write_text(yaml.safe_dump(meta))
        np.savez(folder / "pose.npz", pose_m=np.zeros((FRAMES, 1, 51)), pose_y=np.zeros((FRAMES, 1, 7)))
        for camera, serial in enumerate(SERIALS[:2]):
            for frame in range(FRAMES):
                write_picture(folder / serial / f"color_{frame:06d}.jpg", 640, 480)
                write_picture(folder / serial / f"aligned_depth_to_color_{frame:06d}.png", 64, 48)
                absent = camera == 0 and frame == ABSENT
                if camera == 0 and frame == MISSING:
                    continue
                pose = np.concatenate(
                    (motion.global_orient[hand, frame], coefficients[hand, frame], motion.transl[hand, frame])
                )
                np.savez(
                    folder / serial / f"labels_{frame:06d}.npz",
                    seg=_seen(joints[hand, frame], camera, frame), pose_y=np.zeros((1, 3, 4), np.float32),
                    pose_m=np.float32(np.zeros((1, 51)) if absent else pose[None]),
                    joint_3d=np.float32(-np.ones((1, 21, 3)) if absent else joints[hand, frame][None]),
                    joint_2d=np.zeros((1, 21, 2), np.float32),
                )  # fmt: skip
    calibration = root / "calibration"
    (calibration / "intrinsics").mkdir(parents=True)
    for number, serial in enumerate(SERIALS):
        lens = {"color": {"fx": 610.0 + number, "fy": 611.0, "ppx": 320.0, "ppy": 240.0}, "depth": {"fx": 1.0}}
        (calibration / "intrinsics" / f"{serial}_640x480.yml").write_text(yaml.safe_dump(lens))
    for hand, side in enumerate(("right", "left")):
        (calibration / f"mano_subject-03_{side}").mkdir()
        shape = {"betas": motion.betas[hand].tolist()}
        (calibration / f"mano_subject-03_{side}" / "mano.yml").write_text(yaml.safe_dump(shape))
    return joints, vertices


def _seen(joints: Floats, camera: int, frame: int) -> NDArray[np.uint8]:
    """Draw a hand of disks around the joints; in frame 3 object 2 lies over the finger tips."""
    xy = joints[:, :2] / joints[:, 2:] * [610.0 + camera, 611.0] + [320, 240]
    seg = np.zeros((480, 640), np.uint8)
    for value, reach, which in ((255, 12, range(21)), (2, 14, TIPS_COVERED if frame == 3 else ())):
        for joint in which:
            cv2.circle(seg, (int(xy[joint, 0]), int(xy[joint, 1])), reach, int(value), -1)
    return seg


def write_freihand(root: Path) -> tuple[Floats, Floats, Floats]:
    """Write three training and two evaluation pictures; returns K, joints and meshes of training."""
    rng = np.random.default_rng(2)
    K = np.tile([[480.0, 0, 112], [0, 480, 112], [0, 0, 1]], (3, 1, 1)) + 0.0
    K[:, 0, 0] += np.arange(3)
    joints, vertices = rng.normal(size=(3, 21, 3)) * 0.05 + [0, 0, 0.7], rng.normal(size=(3, 778, 3)) * 0.05
    for split, count in (("training", 3), ("evaluation", 2)):
        parts = {"K": K[:count], "scale": np.full(count, 0.03)}
        if split == "training":
            parts |= {"xyz": joints, "verts": vertices, "mano": np.zeros((3, 1, 61))}
        for name, values in parts.items():
            (root / f"{split}_{name}.json").parent.mkdir(parents=True, exist_ok=True)
            (root / f"{split}_{name}.json").write_text(json.dumps(values.tolist()))
        for copy in range(2):  # other backgrounds, which come after the green ones
            for index in range(count):
                write_picture(root / split / "rgb" / f"{index + copy * count:08d}.jpg", 224, 224)
    return K, joints, vertices


def write_hic(root: Path, frames: int = FRAMES) -> tuple[Floats, Floats]:
    """Write sequence 01 of two hands (the left one lacks in frame 3) and 15 of a right one; returns chains and meshes.

    Chains [2, T, 16, 3] are in MANO's order, meshes [2, T, 778, 3].
    """
    relative = np.random.default_rng(3).normal(scale=0.2, size=(2, frames, 45))
    motion, joints, meshes = moving_hands(frames, relative, mano_sized())
    chain = joints[:, :, list(OPENPOSE_TO_MANO21)][:, :, :16]
    for name in ("01", "15"):
        for frame in range(frames):
            write_picture(root / name / "1" / "rgb" / f"{frame:03d}.png", 640, 480)
            for hand, letter in enumerate("RL"):
                if letter == "L" and (name == "15" or frame == 3):
                    continue
                folder = root / FITS / f"IJCV16___fakeGT___IJCV___{name}___Model_Hand_{letter}___ncomps45"
                folder.mkdir(parents=True, exist_ok=True)
                fit = {
                    "pose": np.concatenate((motion.global_orient[hand, frame], relative[hand, frame])),
                    "trans": motion.transl[hand, frame], "betas": motion.betas[hand], "v": meshes[hand, frame],
                    "J_transformed": chain[hand, frame], "J_transformed___j21": np.zeros((21, 3)), "ncomps": 45,
                    "model_name": f"MANO_{letter}",
                }  # fmt: skip
                with (folder / f"{frame:03d}.pkl").open("wb") as file:
                    pickle.dump(fit, file, protocol=2)
    return chain, meshes
