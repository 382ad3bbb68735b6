"""Joint angles in degrees as a table: flexion, abduction and rotation of the fifteen finger joints.

Angles follow the ISB's joint coordinate system (Wu et al. 2005, "ISB recommendation on definitions of joint coordinate
systems ... Part II: shoulder, elbow, wrist and hand", J. Biomech. 38, 981-992), see docs/exports.md.
"""

import csv
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.exporters.animation import hand_labels
from hmpfit.hands.joint_limits import ANATOMICAL_AXES
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import MIRROR_ANGLES, STATUS_NAMES, Floats
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import MANO_HAND_JOINTS

COLUMNS = (
    "frame", "time_s", "hand", "status", "joint", "anatomical_joint",
    "flexion_deg", "abduction_deg", "ulnar_deviation_deg", "rotation_deg",
)  # fmt: skip
_FINGER, _THUMB = ("mcp", "pip", "dip"), ("cmc", "mcp", "ip")
ANATOMICAL_NAMES = tuple(
    f"{name[:-1]}_{(_THUMB if name.startswith('thumb') else _FINGER)[int(name[-1]) - 1]}" for name in MANO_HAND_JOINTS
)
# Away from the middle finger: the thumb, index and, by custom, the middle finger to the radial side.
_ABDUCTION_SIGN = np.array([1.0 if name.startswith(("ring", "pinky")) else -1.0 for name in MANO_HAND_JOINTS])


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `angles.csv`, or `out` itself if it ends in .csv: one line per hand, frame and joint, degrees."""
    file = out if out.suffix == ".csv" else out / "angles.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(COLUMNS)
        for hand, label in enumerate(hand_labels(result)):
            angles = joint_angles_deg(result.motion.hand_pose[hand], bool(result.motion.is_right[hand]))
            for frame, time_s in enumerate(result.tracks.times_s):
                status = STATUS_NAMES[int(result.motion.status[hand, frame])]
                for joint, names in enumerate(zip(MANO_HAND_JOINTS, ANATOMICAL_NAMES, strict=True)):
                    flexion, deviation, rotation = angles[frame, joint]
                    degrees = (flexion, _ABDUCTION_SIGN[joint] * deviation, deviation, rotation)
                    lines.writerow([frame, f"{time_s:.6f}", label, status, *names, *(f"{x:.5f}" for x in degrees)])
    return [file]


def joint_angles_deg(hand_pose: Floats, is_right: bool) -> Floats:
    """Return flexion, ulnar deviation and rotation [..., 15, 3] in degrees of poses [..., 15, 3] (axis-angle).

    The joint's rotation in ISB axes (X palmar, Y proximal, Z radial) is split as Z, X', Y''; a left hand is mirrored
    first, so that signs mean the same on both sides. Zero is the flat hand.
    """
    pose = hand_pose if is_right else hand_pose * MIRROR_ANGLES
    in_axes = np.einsum("jab,...jb->...ja", isb_axes(), pose)
    split = Rotation.from_rotvec(in_axes.reshape(-1, 3)).as_euler("ZXY", degrees=True)
    return split.reshape(pose.shape)


def isb_axes() -> Floats:
    """Return the ISB axes [15, 3, 3] of every joint of a flat right hand, rows X, Y, Z in MANO's frame."""
    flexion, nail, bone = ANATOMICAL_AXES.transpose(1, 0, 2)
    return np.stack((-nail, -bone, flexion), axis=1)
