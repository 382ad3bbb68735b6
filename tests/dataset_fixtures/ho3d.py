"""A miniature HO3D tree: rendered pictures of the open hand, meta pickles in OpenGL axes, frame lists."""

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import roma
import torch

from hmpfit.datasets.parameters import rest_wrist
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import Camera, HandMotion
from hmpfit.skeleton import OPENPOSE_TO_MANO21
from hmpfit.synthesis.clips import make_clip
from hmpfit.synthesis.demo_motion import demo_motion
from hmpfit.video.clip import open_clip

FLIP = np.array([1.0, -1.0, -1.0])
CAMERA = Camera(np.array([[[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]]]), 640, 480, source="given")


def write_ho3d(
    root: Path, frames: int = 12, pictures: bool = True, suffix: str = "jpg", unannotated: tuple[int, ...] = (3,)
) -> HandMotion:
    """Write `root` with one train and one evaluation sequence and return the true motion (OpenCV axes).

    The frames `unannotated` hold None; the last frame is not listed in train.txt.
    """
    models = load_hand_models("open")
    motion = demo_motion(models, np.random.default_rng(4), seconds=frames / 30)
    posed = pose_hands(models, motion, vertices=True)
    assert posed.vertices is not None
    images = _pictures(root, motion, frames) if pictures else [np.zeros((480, 640, 3), np.uint8)] * frames
    turned = torch.as_tensor(np.diag(FLIP)) @ roma.rotvec_to_rotmat(torch.as_tensor(motion.global_orient[0]))
    orient = roma.rotmat_to_rotvec(turned).numpy()
    wrist_rest = rest_wrist(models.right, motion.betas[0])
    transl = (motion.transl[0] + wrist_rest) * FLIP - wrist_rest
    for split, name in (("train", "ABF10"), ("evaluation", "SM1")):
        folder = root / split / name
        for part in ("rgb", "meta", "depth"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        listed = range(frames - 1) if split == "train" else range(frames)
        (root / f"{split}.txt").write_text("".join(f"{name}/{frame:04d}\n" for frame in listed))
        for frame in range(frames):
            cv2.imwrite(str(folder / "rgb" / f"{frame:04d}.{suffix}"), images[frame][..., ::-1])
            joints = (posed.joints[0, frame] * FLIP)[list(OPENPOSE_TO_MANO21)]
            meta: dict[str, Any] = {"camMat": CAMERA.K[0], "objName": "021_bleach_cleanser", "objLabel": 12}
            if split == "evaluation":
                meta |= {"handJoints3D": joints[0], "handBoundingBox": [200, 100, 400, 300]}
            elif frame in unannotated:
                keys = ("handPose", "handTrans", "handBeta", "handJoints3D", "camMat", "objRot", "objTrans")
                meta |= dict.fromkeys(keys)
            else:
                meta |= {
                    "handPose": np.concatenate((orient[frame], motion.hand_pose[0, frame].ravel())),
                    "handTrans": transl[frame], "handBeta": motion.betas[0], "handJoints3D": joints,
                    "objRot": np.zeros((3, 1)), "objTrans": np.zeros(3),
                }  # fmt: skip
            with (folder / "meta" / f"{frame:04d}.pkl").open("wb") as file:
                pickle.dump(meta, file, protocol=2)
    (root / "evaluation_xyz.json").write_text(
        json.dumps((posed.joints[0] * FLIP)[:, list(OPENPOSE_TO_MANO21)].tolist())
    )
    (root / "evaluation_verts.json").write_text(json.dumps((posed.vertices[0] * FLIP).tolist()))
    return motion


def write_segmentations(root: Path, motion: HandMotion, covered: dict[int, tuple[int, ...]]) -> None:
    """Put HO3D v3's rendered segmentations, a quarter of the pictures' size, beside the dataset's folder.

    The hand is a disk around every joint, in blue; over the joints (OpenPose order) of `covered` frames lies an object,
    green. Frame 5 has none.
    """
    posed = pose_hands(load_hand_models("open"), motion)
    for name in ("train/ABF10", "evaluation/SM1"):
        folder = root.parent / "HO3D_v3_segmentations_rendered" / name / "seg"
        folder.mkdir(parents=True, exist_ok=True)
        for frame, joints in enumerate(posed.joints[0]):
            xy = (CAMERA.K[0] @ joints.T).T
            at = [(int(x), int(y)) for x, y in xy[:, :2] / xy[:, 2:] / 4]
            picture = np.zeros((120, 160, 3), np.uint8)
            for point in at:
                cv2.circle(picture, point, 3, (255, 0, 0), -1)
            for joint in covered.get(frame, ()):
                cv2.circle(picture, at[joint], 4, (0, 255, 0), -1)
            if frame != 5:
                cv2.imwrite(str(folder / f"{frame:04d}.png"), picture)


def _pictures(root: Path, motion: HandMotion, frames: int) -> list[np.ndarray]:
    clip, _ = make_clip(root.parent / f"{root.name}-clip", motion, load_hand_models("open"), CAMERA, seed=1)
    return [image for _, image in open_clip(clip).images()][:frames]
