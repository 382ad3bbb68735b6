"""Write result files in the formats of other systems, as their own code lays them out, from a known motion.

The formats are described in `hmpfit/initializers/foreign/`; nothing here uses the readers.
"""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hmpfit.hands.model import HandModels
from hmpfit.records import Floats, HandMotion

MIRROR = np.array([1.0, -1.0, -1.0])
WIDTH, HEIGHT = 640, 480


def matrices(angles: Floats) -> Floats:
    return Rotation.from_rotvec(angles.reshape(-1, 3)).as_matrix().reshape(*angles.shape[:-1], 3, 3)


def _right_form(motion: HandMotion) -> tuple[Floats, Floats]:
    turn = np.where(motion.is_right[:, None, None], 1.0, MIRROR)
    return motion.global_orient * turn, motion.hand_pose * turn[..., None, :]


def hamer_npz(motion: HandMotion, joints: Floats, models: HandModels, folder: Path) -> Path:
    """One file, arrays over detections, translations in a camera of 900 px focal length."""
    orient, pose = _right_form(motion)
    hands, frames = orient.shape[:2]
    path = folder / "hamer.npz"
    np.savez(
        path,
        global_orient=matrices(orient).reshape(-1, 1, 3, 3),
        hand_pose=matrices(pose).reshape(-1, 15, 3, 3),
        betas=np.repeat(motion.betas, frames, axis=0),
        pred_cam_t_full=motion.transl.reshape(-1, 3),
        right=np.repeat(motion.is_right.astype(float), frames),
        frame_ids=np.tile(np.arange(frames), hands),
        scaled_focal_length=900.0,
    )
    return path


def hamer_crops(motion: HandMotion, joints: Floats, models: HandModels, folder: Path) -> Path:
    """One pickle per frame with crop cameras only, as `demo.py` has them before they are put into the image."""
    orient, pose = _right_form(motion)
    out = folder / "hamer_crops"
    out.mkdir()
    focal, box = 900.0, 200.0
    for frame in range(orient.shape[1]):
        x, y, z = motion.transl[:, frame].T
        scale = 2 * focal / (z * box)
        center = np.stack((focal * x / z + WIDTH / 2 + 10, focal * y / z + HEIGHT / 2 - 5), axis=1)
        sign = np.where(motion.is_right, 1.0, -1.0)
        offset = (center - [WIDTH / 2, HEIGHT / 2]) * 2 / (scale * box)[:, None]
        cam = np.stack((scale, (x - offset[:, 0]) * sign, y - offset[:, 1]), axis=1)
        content = {
            "pred_mano_params": {
                "global_orient": matrices(orient[:, frame])[:, None],
                "hand_pose": matrices(pose[:, frame]),
                "betas": motion.betas,
            },
            "pred_cam": cam, "box_center": center, "box_size": np.full(len(cam), box),
            "right": motion.is_right.astype(float), "scaled_focal_length": np.float64(focal),
        }  # fmt: skip
        with (out / f"frame_{frame:05d}.pkl").open("wb") as stream:
            pickle.dump(content, stream)
    return out


def wilor_json(motion: HandMotion, joints: Floats, models: HandModels, folder: Path) -> Path:
    """One JSON per frame, a list of hands with axis-angle parameters, as WiLoR-mini's users store them."""
    orient, pose = _right_form(motion)
    out = folder / "wilor"
    out.mkdir()
    for frame in range(orient.shape[1]):
        hands = [
            {
                "is_right": float(motion.is_right[hand]),
                "wilor_preds": {
                    "global_orient": orient[hand, frame].reshape(1, 1, 3).tolist(),
                    "hand_pose": pose[hand, frame].reshape(1, 15, 3).tolist(),
                    "betas": motion.betas[hand].reshape(1, 10).tolist(),
                    "pred_cam_t_full": motion.transl[hand, frame].reshape(1, 3).tolist(),
                    "scaled_focal_length": 900.0,
                },
            }
            for hand in range(len(orient))
        ]
        (out / f"{frame:06d}.json").write_text(json.dumps(hands))
    return out


def dyn_hamr(motion: HandMotion, joints: Floats, models: HandModels, folder: Path) -> Path:
    """A world that the camera walks through; left hands as mirrored right hands."""
    hands, frames = motion.global_orient.shape[:2]
    cam_R = Rotation.from_rotvec(np.linspace([0.1, 0.2, 0], [0.3, -0.1, 0.2], frames)).as_matrix()
    cam_t = np.linspace([0.1, 0, 0.2], [-0.1, 0.3, 0], frames)
    wrist = joints[:, :, 0]
    world_wrist = np.einsum("tji,htj->hti", cam_R, wrist - cam_t)
    world_R = np.einsum("tji,htjk->htik", cam_R, matrices(motion.global_orient))
    orient = Rotation.from_matrix(world_R.reshape(-1, 3, 3)).as_rotvec().reshape(hands, frames, 3)
    turn = np.where(motion.is_right[:, None, None], 1.0, MIRROR)
    flip = np.where(motion.is_right[:, None, None], 1.0, [-1.0, 1.0, 1.0])
    root = np.stack([models.right.J_regressor[0] @ (models.right.v_template + models.right.shapedirs @ b)
                     for b in motion.betas])  # fmt: skip
    path = folder / "clip_000010_world_results.npz"
    np.savez(
        path,
        trans=world_wrist * flip - root[:, None], root_orient=orient * turn,
        pose_body=motion.hand_pose * turn[..., None, :], betas=motion.betas,
        is_right=np.repeat(motion.is_right[:, None].astype(float), frames, axis=1),
        cam_R=np.stack([cam_R] * hands), cam_t=np.stack([cam_t] * hands),
        intrins=np.array([900.0, 900.0, WIDTH / 2, HEIGHT / 2]),
    )  # fmt: skip
    return path


def amass(motion: HandMotion, joints: Floats, models: HandModels, folder: Path) -> Path:
    """A folder with one file per hand."""
    out = folder / "amass"
    out.mkdir()
    for hand, is_right in enumerate(motion.is_right):
        poses = np.concatenate((motion.global_orient[hand], motion.hand_pose[hand].reshape(-1, 45)), axis=1)
        np.savez(
            out / f"{'right' if is_right else 'left'}_poses.npz",
            poses=poses, trans=motion.transl[hand], betas=motion.betas[hand], mocap_framerate=25.0,
            surface_model_type="mano_right" if is_right else "mano_left",
        )  # fmt: skip
    return out


def pymaf_x_hand(motion: HandMotion, joints: Floats, models: HandModels, folder: Path) -> Path:
    """The hand-only form: the right hand, in a camera of 5000 px (the depth grows with the focal length)."""
    right = int(np.flatnonzero(motion.is_right)[0])
    wrist = joints[right, :, 0]
    frames = len(wrist)
    far = wrist * [1, 1, 5000 / 900]
    far[:, :2] = wrist[:, :2]
    batches = [
        {
            "shape": torch.as_tensor(np.tile(motion.betas[right], (len(part), 1))),
            "root_orient": torch.as_tensor(matrices(motion.global_orient[right, part])),
            "body_pose": torch.as_tensor(matrices(motion.hand_pose[right, part])),
        }
        for part in np.array_split(np.arange(frames), 3)
    ]
    content = {
        "pred_cam": np.ones((frames, 3)), "orig_cam_t": motion.transl[right] + far - wrist,
        "verts": np.zeros((frames, 2, 3)), "joints3d": None, "frame_ids": np.arange(frames),
        "person_ids": np.zeros(frames), "bboxes": np.ones((frames, 3)), "smplx_params": batches,
    }  # fmt: skip
    path = folder / "output.pkl"
    joblib.dump(content, path)
    return path


def pymaf_x_body(motion: HandMotion, joints: Floats, models: HandModels, folder: Path) -> Path:
    """The whole-body form: wrists at the ends of a chain of body rotations, no place in the image."""
    frames = motion.transl.shape[1]
    rng = np.random.default_rng(8)
    body = matrices(rng.normal(scale=0.3, size=(frames, 22, 3)))
    for is_right, chain in ((True, (0, 3, 6, 9, 14, 17, 19)), (False, (0, 3, 6, 9, 13, 16, 18))):
        hand = int(np.flatnonzero(motion.is_right == is_right)[0])
        arm = body[:, 0]
        for joint in chain[1:]:
            arm = arm @ body[:, joint]
        body[:, 21 if is_right else 20] = arm.transpose(0, 2, 1) @ matrices(motion.global_orient[hand])
    params = {"shape": torch.zeros(frames, 10), "body_pose": torch.as_tensor(body)}
    for is_right, name in ((True, "right_hand_pose"), (False, "left_hand_pose")):
        hand = int(np.flatnonzero(motion.is_right == is_right)[0])
        params[name] = torch.as_tensor(matrices(motion.hand_pose[hand]))
    content = {
        "orig_cam_t": np.ones((frames, 3)), "frame_ids": np.arange(frames), "person_ids": np.zeros(frames),
        "smplx_params": [params],
    }  # fmt: skip
    path = folder / "output_smplx.pkl"
    joblib.dump(content, path)
    return path


def metro(motion: HandMotion, joints: Floats, models: HandModels, folder: Path) -> Path:
    """Root-relative joints of both hands."""
    hands, frames = joints.shape[:2]
    path = folder / "metro.npz"
    np.savez(
        path,
        pred_3d_joints=(joints - joints[:, :, :1]).reshape(-1, 21, 3),
        is_right=np.repeat(motion.is_right, frames), frame_ids=np.tile(np.arange(frames), hands),
    )  # fmt: skip
    return path


WRITERS: dict[str, Callable[[HandMotion, Floats, HandModels, Path], Path]] = {
    "hamer_npz": hamer_npz, "hamer_crops": hamer_crops, "wilor_json": wilor_json, "dyn_hamr": dyn_hamr,
    "amass": amass, "pymaf_x_hand": pymaf_x_hand, "pymaf_x_body": pymaf_x_body, "metro": metro,
}  # fmt: skip
