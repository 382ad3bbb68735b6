"""MANO parameters for other people's code: AMASS-style, HaMeR-style and smplx npz."""

from pathlib import Path

import numpy as np
import torch

from hmpfit.exporters.animation import frames_per_second, hand_labels, target
from hmpfit.geometry.rotations import exp
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.results.npz import StoredResult
from hmpfit.results.record_files import write_npz


def write_amass(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write per hand `poses` [T, 48] (global_orient, then 45 absolute finger angles), `trans` [T, 3], `betas` [10].

    The names are AMASS's; the body's columns are left out, because a hand in a video has no body. Feed them to
    `smplx.MANO(..., use_pca=False, flat_hand_mean=True)`: camera frame, meters.
    """
    motion = result.motion
    files = []
    for hand, label in enumerate(hand_labels(result)):
        file = target(out, label, ".npz", len(motion.is_right) > 1)
        fingers = motion.hand_pose[hand].reshape(len(motion.hand_pose[hand]), -1)
        arrays = {
            "poses": np.concatenate((motion.global_orient[hand], fingers), axis=1),
            "trans": motion.transl[hand],
            "betas": motion.betas[hand],
            "mocap_framerate": np.array(frames_per_second(result)),
            "gender": np.array("neutral"),
            "surface_model_type": np.array("mano_right" if motion.is_right[hand] else "mano_left"),
        }
        files.append(_write(file, arrays))
    return files


def write_mano(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write all hands to one `mano.npz`, or to `out` itself if it ends in .npz, for `smplx.MANO`.

    Per hand `<hand>_global_orient` [T, 3], `_hand_pose` [T, 45] (absolute: `use_pca=False, flat_hand_mean=True`),
    `_transl` [T, 3], `_betas` [T, 10] and `_is_right`; `hands` lists the names (`right`, `left`, `right2`, ...).
    """
    motion, labels = result.motion, hand_labels(result)
    arrays: dict[str, np.ndarray] = {"hands": np.array(labels), "times_s": result.tracks.times_s}
    for hand, label in enumerate(labels):
        frames = len(motion.transl[hand])
        arrays[f"{label}_global_orient"] = motion.global_orient[hand]
        arrays[f"{label}_hand_pose"] = motion.hand_pose[hand].reshape(frames, -1)
        arrays[f"{label}_transl"] = motion.transl[hand]
        arrays[f"{label}_betas"] = np.tile(motion.betas[hand], (frames, 1))
        arrays[f"{label}_is_right"] = np.array(motion.is_right[hand])
    return [_write(out if out.suffix == ".npz" else out / "mano.npz", arrays)]


def write_hamer(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write HaMeR's outputs as arrays over detections [N], hand by hand, frame by frame.

    `global_orient` [N, 1, 3, 3], `hand_pose` [N, 15, 3, 3] and `betas` [N, 10] are a right hand's (a left hand is given
    as its mirror image, `right` [N] says which); `cam_t_full` [N, 3] is the translation of the hand in the camera of
    the whole image, with `focal_length` [N] in its pixels; `frame` [N] and `img_size` (width, height) complete it.
    """
    options.need_camera_frame("hamer")
    motion = result.motion
    upright = motion.mirrored(~motion.is_right)
    hands, frames = motion.transl.shape[:2]
    orient = exp(torch.as_tensor(upright.global_orient.reshape(-1, 1, 3))).numpy()
    fingers = exp(torch.as_tensor(upright.hand_pose.reshape(-1, 15, 3))).numpy()
    camera = result.camera
    K = np.broadcast_to(camera.K, (frames, 3, 3))
    arrays = {
        "global_orient": orient,
        "hand_pose": fingers,
        "betas": np.repeat(motion.betas, frames, axis=0),
        "cam_t_full": motion.transl.reshape(-1, 3),
        "right": np.repeat(motion.is_right.astype(float), frames),
        "frame": np.tile(np.arange(frames), hands),
        "focal_length": np.tile(K[:, 0, 0], hands),
        "principal_point": np.tile(K[:, :2, 2], (hands, 1)),
        "img_size": np.array([camera.width, camera.height]),
    }
    return [_write(out if out.suffix == ".npz" else out / "hands_hamer.npz", arrays)]


def _write(file: Path, arrays: dict[str, np.ndarray]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_npz(file, arrays)
    return file
