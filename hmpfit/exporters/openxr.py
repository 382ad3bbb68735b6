"""OpenXR's 26 hand joints (XR_EXT_hand_tracking) as JSON, for VR and AR programs; WebXR's joints are 25 of them.

Upright axes (y up, z towards the viewer), meters. Palm and the fingers' metacarpal bases are not in MANO: the palm lies
halfway between wrist and middle knuckle, the bases a fixed share of the way from the wrist to their knuckles.
"""

import json
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, AnimatedHand, animate, world_rotations
from hmpfit.hands.joint_limits import ANATOMICAL_AXES
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import MIRROR_X, STATUS_NAMES, Floats
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import FINGERS, MANO_HAND_JOINTS, mano, openpose

_LONG = ("metacarpal", "proximal", "intermediate", "distal", "tip")
_SHORT = ("metacarpal", "proximal", "distal", "tip")
# XrHandJointEXT, in the order of its numbers; "little" is OpenXR's word for the pinky.
OPENXR_26 = (
    "palm", "wrist", *(f"thumb_{part}" for part in _SHORT),
    *(f"{finger}_{part}" for finger in ("index", "middle", "ring", "little") for part in _LONG),
)  # fmt: skip
PALM_SHARE = 0.5
METACARPAL_BASE_SHARE = 0.25  # of the way from the wrist to the knuckle


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `openxr.json`, or `out` itself if it ends in .json: per hand position, orientation and radius of 26 joints.

    `position_m` [T][26][3], `orientation_xyzw` [T][26][4] (-z points to the tip, +y out of the back of the hand),
    `radius_m` [26] the distance from the joint to the skin at rest.
    """
    file = out if out.suffix == ".json" else out / "openxr.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    hands = []
    for hand, moving in enumerate(animate(result, models)):
        positions = joint_positions(result.joints[hand] @ UPRIGHT_FROM_CAMERA)
        status = [STATUS_NAMES[int(value)] for value in result.motion.status[hand]]
        hands.append(
            {
                "hand": moving.label,
                "is_right": moving.is_right,
                "status": status,
                "position_m": np.round(positions, 7).tolist(),
                "orientation_xyzw": np.round(_quaternions(joint_orientations(moving)), 9).tolist(),
                "radius_m": np.round(_radii(moving), 5).tolist(),
            }
        )
    content = {
        "conventions": "XR_EXT_hand_tracking; meters, y up, z towards the viewer; quaternions x y z w",
        "joint_names": list(OPENXR_26),
        "times_s": result.tracks.times_s.tolist(),
        "hands": hands,
    }
    file.write_text(json.dumps(content, allow_nan=False) + "\n")
    return [file]


def _source(name: str) -> str:
    """Return our name of the joint at an OpenXR joint's place; KeyError for palm and the fingers' metacarpals."""
    finger, _, part = name.replace("little", "pinky").partition("_")
    if name == "wrist" or part == "tip":
        return name.replace("little", "pinky")
    numbers = dict(zip(_SHORT, (1, 2, 3))) if finger == "thumb" else {"proximal": 1, "intermediate": 2, "distal": 3}
    return f"{finger}{numbers[part]}"


def joint_positions(joints: Floats) -> Floats:
    """Return OpenXR's 26 places [..., 26, 3] of 21 joints [..., 21, 3] in OpenPose order."""
    wrist, places = joints[..., 0, :], []
    for name in OPENXR_26:
        finger, _, part = name.partition("_")
        if name == "palm":
            places.append(wrist + PALM_SHARE * (joints[..., openpose("middle1"), :] - wrist))
        elif part == "metacarpal" and finger != "thumb":
            knuckle = openpose(f"{finger.replace('little', 'pinky')}1")
            places.append(wrist + METACARPAL_BASE_SHARE * (joints[..., knuckle, :] - wrist))
        else:
            places.append(joints[..., openpose(_source(name)), :])
    return np.stack(places, axis=-2)


def joint_orientations(hand: AnimatedHand) -> Floats:
    """Return rotations [T, 26, 3, 3] in upright axes; a joint's frame turns with the bone that it begins."""
    turned = UPRIGHT_FROM_CAMERA @ world_rotations(hand.rotations)
    found = []
    for name in OPENXR_26:
        finger, _, part = name.partition("_")
        if name in ("palm", "wrist") or (part == "metacarpal" and finger != "thumb"):
            joint, axes = 0, _axes(None, hand.is_right)
        else:
            source = f"{finger.replace('little', 'pinky')}3" if part == "tip" else _source(name)
            joint, axes = mano(source), _axes(source, hand.is_right)
        found.append(turned[:, joint] @ axes)
    return np.stack(found, axis=1)


def _quaternions(rotations: Floats) -> Floats:
    return Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_quat().reshape(*rotations.shape[:-2], 4)


def _axes(joint: str | None, is_right: bool) -> Floats:
    """Return the columns x, y, z of OpenXR's frame in MANO's rest frame; None is the wrist."""
    nail, bone = np.array([0.0, 1.0, 0.0]), np.array([-1.0, 0.0, 0.0])
    if joint is not None:
        _, nail, bone = ANATOMICAL_AXES[MANO_HAND_JOINTS.index(joint)]
    side = np.ones(3) if is_right else MIRROR_X
    y, z = nail * side, -bone * side
    return np.stack((np.cross(y, z), y, z), axis=1)


def _radii(hand: AnimatedHand) -> Floats:
    """Return the distances [26] from the joints at rest to the nearest vertex; a tip, on the skin, has its joint's."""
    order = [hand.names.index(name) for name in ("wrist", *(f"{f}{i}" for f in FINGERS for i in (1, 2, 3)))]
    tips = [hand.names.index(f"{finger}_tip") for finger in FINGERS]
    rest = np.zeros((21, 3))
    rest[[0, *(openpose(f"{f}{i}") for f in FINGERS for i in (1, 2, 3))]] = hand.rest[order]
    rest[[openpose(f"{finger}_tip") for finger in FINGERS]] = hand.rest[tips]
    places = torch.as_tensor(joint_positions(rest))
    radii = torch.cdist(places, torch.as_tensor(hand.rest_vertices)).min(dim=1).values.numpy()
    for number, name in enumerate(OPENXR_26):
        if name.endswith("_tip"):
            radii[number] = radii[number - 1]
    return radii
