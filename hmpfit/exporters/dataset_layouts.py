"""Annotations in the layouts of public datasets: HO3D's pickles and EgoDex's HDF5, for code that trains on those.

Only annotations: the pictures stay in the video. Nothing is unpickled here.
"""

import pickle
from pathlib import Path

import numpy as np

from hmpfit.errors import MissingExtraError
from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, animate, hand_labels
from hmpfit.exporters.openxr import OPENXR_26, joint_orientations, joint_positions
from hmpfit.exporters.persons import persons
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import Floats
from hmpfit.results.frames import move_result
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import OPENPOSE_TO_MANO21

_PROTOCOL = 2  # readable from Python 2.3 on, as HO3D's own


def write_ho3d(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `ho3d/train/<hand>/meta/<frame>.pkl` and `ho3d/train.txt`; OpenGL axes (y up, z backwards), meters.

    Each pickle holds `handPose` [48], `handTrans` [3], `handBeta` [10], `handJoints3D` [21, 3] (MANO's order, then the
    tips) and `camMat` [3, 3]; numpy arrays alone, no code. HO3D has right hands: a left one keeps its own parameters.
    """
    options.need_camera_frame("ho3d")
    upright = np.eye(4)
    upright[:3, :3] = UPRIGHT_FROM_CAMERA
    turned = move_result(result, models, upright[None])
    motion, files, listed = turned.motion, [], []
    frames = motion.transl.shape[1]
    K = np.broadcast_to(result.camera.K, (frames, 3, 3))
    for hand, label in enumerate(hand_labels(result)):
        folder = out / "ho3d" / "train" / label / "meta"
        folder.mkdir(parents=True, exist_ok=True)
        for frame in range(frames):
            name = f"{options.first_frame + frame:04d}"
            content = {
                "handPose": np.concatenate((motion.global_orient[hand, frame], motion.hand_pose[hand, frame].ravel())),
                "handTrans": motion.transl[hand, frame],
                "handBeta": motion.betas[hand],
                "handJoints3D": turned.joints[hand, frame, list(OPENPOSE_TO_MANO21)],
                "camMat": np.array(K[frame]),
            }
            file = folder / f"{name}.pkl"
            file.write_bytes(pickle.dumps(content, protocol=_PROTOCOL))
            files.append(file)
            listed.append(f"{label}/{name}\n")
    index = out / "ho3d" / "train.txt"
    index.write_text("".join(listed))
    return [index, *files]


def write_egodex(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `egodex/<person>.hdf5` with `transforms/<joint>` [T, 4, 4], `confidences/<joint>` and `camera/intrinsic`.

    The world is upright as ARKit's (y up); the camera keeps OpenCV's axes. Joints have ARKit's names; their positions
    are the result's, their rotations OpenXR's (see `openxr.py`), fingers' metacarpal bases constructed as there.
    Raises MissingExtraError when h5py is not installed.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError("--to egodex", "h5py", "pip install h5py (or hmpfit[science])") from error
    (out / "egodex").mkdir(parents=True, exist_ok=True)
    frames = len(result.tracks.times_s)
    moving = animate(result, models)
    upright = np.eye(4)
    upright[:3, :3] = UPRIGHT_FROM_CAMERA
    files = []
    for person, hands in enumerate(persons(result)):
        file = out / "egodex" / f"{person}.hdf5"
        with h5py.File(file, "w", track_order=True) as stored:
            stored.attrs["llm_description"] = options.task
            stored["camera/intrinsic"] = result.camera.K[0]
            stored["transforms/camera"] = upright @ options.camera_poses(frames)
            for hand in hands:
                side = "right" if moving[hand].is_right else "left"
                poses = _transforms(result.joints[hand], joint_orientations(moving[hand]))
                confidence = result.tracks.confidence[hand].mean(-1)
                for number, name in enumerate(OPENXR_26):
                    if (arkit := arkit_name(name, side)) is not None:
                        stored[f"transforms/{arkit}"] = poses[:, number]
                        stored[f"confidences/{arkit}"] = confidence
        files.append(file)
    return files


_ARKIT_PARTS = {
    "metacarpal": "Metacarpal", "proximal": "Knuckle", "intermediate": "IntermediateBase",
    "distal": "IntermediateTip", "tip": "Tip",
}  # fmt: skip
_ARKIT_THUMB = {"metacarpal": "Knuckle", "proximal": "IntermediateBase", "distal": "IntermediateTip", "tip": "Tip"}


def arkit_name(openxr_name: str, side: str) -> str | None:
    """Return ARKit's name of an OpenXR joint, as EgoDex spells it (`leftIndexFingerKnuckle`); None for the palm."""
    if openxr_name == "palm":
        return None
    finger, _, part = openxr_name.partition("_")
    if finger == "wrist":
        return f"{side}Hand"
    if finger == "thumb":
        return f"{side}Thumb{_ARKIT_THUMB[part]}"
    return f"{side}{finger.capitalize()}Finger{_ARKIT_PARTS[part]}"


def _transforms(joints: Floats, rotations: Floats) -> Floats:
    poses = np.tile(np.eye(4), (*rotations.shape[:2], 1, 1))
    poses[..., :3, :3] = rotations
    poses[..., :3, 3] = joint_positions(joints @ UPRIGHT_FROM_CAMERA)
    return poses
