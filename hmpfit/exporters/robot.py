"""Joint angles of a robot hand that follows the human's fingertips: `--to robot:NAME`, one JSON file for all hands."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hmpfit.exporters.animation import frames_per_second, hand_labels
from hmpfit.exporters.gripper import follow_fingers
from hmpfit.exporters.retargeting import retarget
from hmpfit.exporters.robot_hands import find_robot, urdf_path
from hmpfit.exporters.urdf import RobotKinematics, read_urdf
from hmpfit.geometry.rotations import exp
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import STATUS_NAMES, Floats
from hmpfit.results.npz import StoredResult, in_wrist_frame
from hmpfit.skeleton import openpose

FOLLOWS_MM = 15.0  # fingertips farther from the human's, after scaling, are warned of
_LOG = logging.getLogger("hmpfit")


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `robot_<name>.json`, or `out` itself if it ends in .json.

    Per hand: `joint_names`, `lower`, `upper` (radians; meters for sliding joints) and `angles` [T][N] of every movable
    joint of `urdf`; the base's `base_position_m` and `base_orientation_xyzw` in the exported frame; the mount that led
    there; `fingertip_error_mm` [T][K] between the robot's tips and the human's, scaled and brought to the robot's base.
    A share of frames in which a tip strays by more than 15 mm is logged as a warning. Raises InputError without the
    hand's name, UnknownNameError for another one, MissingExtraError without dexi-rs.
    """
    robot = find_robot(options.variant)
    file = out if out.suffix == ".json" else out / f"robot_{options.variant}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    hands, advance = [], options.progress.phase("following the fingertips", len(result.motion.is_right))
    for hand, label in enumerate(hand_labels(result)):
        is_right = bool(result.motion.is_right[hand])
        urdf = urdf_path(robot, is_right)
        kinematics = read_urdf(urdf, list(robot.tips.values()), robot.still)
        fingers = [openpose(f"{finger}_tip") for finger in robot.tips]
        if robot.jaws:
            content, error_mm = _gripper(result, hand, kinematics, fingers)
        else:
            content, error_mm = _hand(result, hand, kinematics, fingers)
        _warn(label, str(options.variant), error_mm)
        about = {
            "hand": label,
            "is_right": is_right,
            "urdf": "/".join(urdf.parts[-2:]),
            "status": [STATUS_NAMES[int(value)] for value in result.motion.status[hand]],
            "joint_names": [joint.name for joint in kinematics.movable],
            "lower": [joint.lower for joint in kinematics.movable],
            "upper": [joint.upper for joint in kinematics.movable],
        }
        hands.append({**about, **content, **_errors(robot.tips, error_mm)})
        advance()
    whole = {
        "robot": options.variant,
        "frame": options.frame,
        "fps": frames_per_second(result),
        "times_s": result.tracks.times_s.tolist(),
        "hands": hands,
    }
    file.write_text(json.dumps(whole, allow_nan=False) + "\n")
    return [file]


def _hand(
    result: StoredResult, hand: int, kinematics: RobotKinematics, fingers: list[int]
) -> tuple[dict[str, Any], Floats]:
    """Return angles, tips, base and mount of one hand, and the tips' errors [T, K] in millimeters."""
    in_wrist = in_wrist_frame(result.joints[[hand]], result.motion.global_orient[[hand]])[0]
    tips = in_wrist[:, fingers]
    found = retarget(kinematics, tips, bool(result.motion.is_right[hand]))
    orient = torch.as_tensor(result.motion.global_orient[hand], dtype=torch.float64)
    turned = exp(orient).numpy() @ found.mount.rotation.T
    content = {
        "angles": np.round(kinematics.all_angles(found.angles), 7).tolist(),
        "tips_m": np.round(found.tips, 7).tolist(),
        **_base(turned, result.joints[hand, :, 0] - turned @ found.mount.offset_m),
        "mount": {
            "scale": found.mount.scale,
            "rotation": found.mount.rotation.tolist(),
            "offset_m": found.mount.offset_m.tolist(),
        },
    }
    return content, 1000 * np.linalg.norm(found.tips - found.mount.to_robot(tips), axis=-1)


def _gripper(
    result: StoredResult, hand: int, kinematics: RobotKinematics, fingers: list[int]
) -> tuple[dict[str, Any], Floats]:
    widest_m = sum(joint.upper for joint in kinematics.movable)
    jaws, turned, places, error_m = follow_fingers(result.joints[hand], fingers[0], fingers[1], widest_m)
    return {"angles": np.round(jaws, 7).tolist(), **_base(turned, places)}, 1000 * error_m


def _base(rotations: Floats, places: Floats) -> dict[str, Any]:
    return {
        "base_position_m": np.round(places, 7).tolist(),
        "base_orientation_xyzw": np.round(Rotation.from_matrix(rotations).as_quat(), 9).tolist(),
    }


def _errors(links: Mapping[str, str], error_mm: Floats) -> dict[str, Any]:
    return {
        "fingers": list(links),
        "tip_links": list(links.values()),
        "fingertip_error_mm": np.round(error_mm, 3).tolist(),
        "fingertip_error_mm_median": float(np.median(error_mm)),
        "fingertip_error_mm_95": float(np.percentile(error_mm, 95)),
        "fingertip_error_mm_max": float(error_mm.max()),
    }


def _warn(label: str, robot: str, error_mm: Floats) -> None:
    astray = float((error_mm > FOLLOWS_MM).any(axis=1).mean())
    if astray:
        _LOG.warning(
            "%s hand on %s: a fingertip is over %.0f mm from the human's in %.1f %% of the frames, at most %.1f mm",
            label, robot, FOLLOWS_MM, 100 * astray, error_mm.max(),
        )  # fmt: skip
