"""Miniature InterHand2.6M and ARCTIC trees in the official layouts: worlds, cameras, frame offsets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.records import Floats
from hmpfit.skeleton import INTERHAND_21, MANO_21, OPENPOSE_21
from tests.dataset_fixtures.hands import moving_hands, write_picture

INTERHAND_ORDER = [OPENPOSE_21.index(name) for name in INTERHAND_21]
MANO_ORDER = [OPENPOSE_21.index(name) for name in MANO_21]
TAKE, LENS = "0390_dh_touchROM", "400262"
NUMBERS = (100, 103, 106, 109, 121, 124)  # steps of 3 with a hole: two windows at 30 frames a second in train
TURN = Rotation.from_euler("xyz", (0.3, -0.5, 0.2)).as_matrix()
SHIFT = np.array([0.02, -0.03, 0.5])
OFFSET = 5  # ARCTIC's ioi_offset: the first picture's number


def write_interhand(root: Path, split: str = "train") -> tuple[Floats, Floats]:
    """Write one capture with two cameras and return joints and meshes [2, T, ...] in the first camera's frame.

    The left hand is not in frame 103 and two joints of the right one are not valid in frame 106.
    """
    frames = len(NUMBERS)
    relative = np.random.default_rng(4).normal(scale=0.2, size=(2, frames, 45))
    motion, world, meshes = moving_hands(frames, relative)
    images, notes = [], []
    for lens in ("400263", LENS):
        for row, number in enumerate(NUMBERS):
            name = f"Capture0/{TAKE}/cam{lens}/image{number}.jpg"
            write_picture(root / "images" / split / name, 334, 512)
            images.append({
                "id": len(images), "file_name": name, "width": 334, "height": 512, "capture": 0, "subject": 1,
                "seq_name": TAKE, "camera": lens, "frame_idx": number,
            })  # fmt: skip
            valid = np.ones(42, int)
            valid[21:] = row != 1
            valid[[0, 4]] = row != 2
            notes.append({
                "id": len(notes), "image_id": len(notes), "bbox": [10, 10, 300, 400], "joint_valid": valid.tolist(),
                "hand_type": "right" if row == 1 else "interacting", "hand_type_valid": True,
            })  # fmt: skip
    rng = np.random.default_rng(5)
    mixed = rng.permutation(len(images))  # the lists are not sorted
    position = -TURN.T @ SHIFT * 1000
    cameras = {
        "0": {
            "campos": {LENS: position.tolist(), "400263": [0, 0, 0]},
            "camrot": {LENS: TURN.tolist(), "400263": np.eye(3).tolist()},
            "focal": {LENS: [1200.0, 1201.0], "400263": [1000.0, 1000.0]},
            "princpt": {LENS: [167.0, 256.0], "400263": [160.0, 250.0]},
        }
    }
    points: dict[str, Any] = {}
    fits: dict[str, Any] = {}
    for row, number in enumerate(NUMBERS):
        both = world[:, row][:, INTERHAND_ORDER].reshape(42, 3) * 1000
        points[str(number)] = {
            "world_coord": both.tolist(), "joint_valid": np.ones((42, 1)).tolist(), "hand_type": "interacting",
            "hand_type_valid": True,
        }  # fmt: skip
        fits[str(number)] = {
            side: {
                "pose": np.concatenate((motion.global_orient[hand, row], relative[hand, row])).tolist(),
                "shape": motion.betas[hand].tolist(), "trans": motion.transl[hand, row].tolist(),
            }
            for hand, side in enumerate(("right", "left"))
        }  # fmt: skip
        if row == 1:
            fits[str(number)]["left"] = None
    folder = root / "annotations" / split
    folder.mkdir(parents=True)
    content = {
        "data": {"images": [images[i] for i in mixed], "annotations": notes}, "camera": cameras,
        "joint_3d": {"0": points}, "MANO_NeuralAnnot": {"0": fits},
    }  # fmt: skip
    for part, values in content.items():
        (folder / f"InterHand2.6M_{split}_{part}.json").write_text(json.dumps(values))
    return world @ TURN.T + SHIFT, meshes @ TURN.T + SHIFT


def write_arctic(root: Path, frames: int = 26) -> tuple[Floats, Floats]:
    """Write one recording with view 2 and the head's view 0; returns joints and meshes [2, T, ...] seen by view 2."""
    relative = np.random.default_rng(6).normal(scale=0.2, size=(2, frames, 45))
    motion, world, meshes = moving_hands(frames, relative)
    name = "s01/box_grab_01"
    for view, (width, height) in ((2, (200, 280)), (0, (280, 200))):
        for frame in range(frames):
            write_picture(root / "images" / name / str(view) / f"{frame + OFFSET:05d}.jpg", width, height)
    cameras = np.tile(np.eye(4), (8, 1, 1))
    cameras[1, :3, :3], cameras[1, :3, 3] = TURN, SHIFT
    K = np.tile([[500.0, 0, 100], [0, 500, 140], [0, 0, 1]], (8, 1, 1)) + np.arange(8)[:, None, None] * np.eye(3)
    misc = {
        "s01": {
            "world2cam": cameras.tolist(), "intris_mat": K.tolist(), "ioi_offset": OFFSET, "gender": "male",
            "image_size": [[280, 200], *[[200, 280]] * 8],
        }
    }  # fmt: skip
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "misc.json").write_text(json.dumps(misc))
    (root / "splits_json").mkdir()
    for protocol in ("p1", "p2"):
        lists = {"train": [], "val": [name], "test": []}
        (root / "splits_json" / f"protocol_{protocol}.json").write_text(json.dumps(lists))
    raw = root / "raw_seqs" / "s01"
    raw.mkdir(parents=True)
    hands: Any = {
        side: {
            "rot": motion.global_orient[hand], "pose": relative[hand], "trans": motion.transl[hand],
            "shape": motion.betas[hand], "fitting_err": np.zeros(frames),
        }
        for hand, side in enumerate(("right", "left"))
    }  # fmt: skip
    np.save(raw / "box_grab_01.mano.npy", hands)
    head: Any = {
        "R_k_cam_np": np.tile(np.eye(3), (frames, 1, 1)),
        "T_k_cam_np": np.arange(frames)[:, None, None] * np.ones((3, 1)), "intrinsics": K[0], "dist8": np.zeros(8),
    }  # fmt: skip
    np.save(raw / "box_grab_01.egocam.dist.npy", head)
    return world @ TURN.T + SHIFT, meshes @ TURN.T + SHIFT


def write_arctic_split(root: Path, joints: Floats) -> None:
    """Write splits/p1_val.npy with joints [2, T, 21, 3] (OpenPose order) of view 2; the left hand is invalid at 12."""
    frames = joints.shape[1]
    stored = {side: np.zeros((frames, 10, 21, 3), np.float32) for side in ("right", "left")}
    valid = {side: np.ones((frames, 9)) for side in ("right", "left")}
    for hand, side in enumerate(("right", "left")):
        stored[side][:, 2] = joints[hand][:, MANO_ORDER]
    valid["left"][12] = 0
    own = {f"joints.{side}": stored[side] for side in stored}
    own |= {f"{side}_valid": valid[side] for side in valid} | {"is_valid": np.ones((frames, 9))}
    content: Any = {"data_dict": {"s01/box_grab_01": {"cam_coord": own}}, "imgnames": []}
    (root / "splits").mkdir()
    np.save(root / "splits" / "p1_val.npy", content)
