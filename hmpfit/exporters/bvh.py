"""BVH: one file per hand, for Blender and every motion-capture tool.

Axes are upright (y up, z towards the viewer), meters. Every joint has its rotation as Z, Y, X Euler angles in degrees;
the wrist has a position too. A tip that the model does not move rigidly with its last joint gets position channels.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, AnimatedHand, animate, frames_per_second, target
from hmpfit.exporters.bone_names import bone_name
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult

RIGID_M = 1e-5  # a tip that strays less than this from its joint is a rigid end of it

_ROTATION = "Zrotation Yrotation Xrotation"
_POSITION = "Xposition Yposition Zposition"


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write a BVH per hand below `out`, or to `out` itself if it ends in .bvh, and return the files.

    The frame time is the mean of the result's time stamps: BVH knows no other.
    """
    hands = animate(result, models)
    files = []
    for hand in hands:
        file = target(out, hand.label, ".bvh", len(hands) > 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_text(hand, 1.0 / frames_per_second(result), options.bones))
        files.append(file)
    return files


def _text(hand: AnimatedHand, frame_time_s: float, bones: str) -> str:
    joints = hand.rotations.shape[1]
    rigid = np.abs(hand.tips - hand.tips[:1]).max(axis=(0, 2)) < RIGID_M
    lines: list[str] = ["HIERARCHY"]
    channels: list[Floats] = []

    def position(values: Floats) -> None:
        channels.extend(values.T)

    def place(joint: int, depth: int) -> None:
        pad, inner = "  " * depth, "  " * (depth + 1)
        tip = joint - joints
        name = bone_name(bones, hand.label, hand.names[joint])
        lines.extend((f"{pad}{'ROOT' if joint == 0 else 'JOINT'} {name}", f"{pad}{{"))
        if tip >= 0:
            # A named joint rather than a bare End Site, which many readers drop.
            if rigid[tip]:
                lines.extend((f"{inner}OFFSET {_row(hand.tips[0, tip])}", f"{inner}CHANNELS 3 {_ROTATION}"))
                channels.extend(np.zeros((3, len(hand.tips))))
            else:
                lines.extend((f"{inner}OFFSET 0 0 0", f"{inner}CHANNELS 3 {_POSITION}"))
                position(hand.tips[:, tip])
            lines.extend((f"{inner}End Site", f"{inner}{{", f"{inner}  OFFSET 0 0 0", f"{inner}}}", f"{pad}}}"))
            return
        if joint == 0:
            lines.extend((f"{inner}OFFSET 0 0 0", f"{inner}CHANNELS 6 {_POSITION} {_ROTATION}"))
            position(hand.wrist @ UPRIGHT_FROM_CAMERA)
            channels.extend(_euler(UPRIGHT_FROM_CAMERA @ hand.rotations[:, 0]))
        else:
            offset = hand.rest[joint] - hand.rest[hand.parents[joint]]
            lines.extend((f"{inner}OFFSET {_row(offset)}", f"{inner}CHANNELS 3 {_ROTATION}"))
            channels.extend(_euler(hand.rotations[:, joint]))
        for child in (other for other, parent in enumerate(hand.parents) if parent == joint):
            place(child, depth + 1)
        lines.append(f"{pad}}}")

    place(0, 0)
    lines.extend(("MOTION", f"Frames: {len(hand.rotations)}", f"Frame Time: {frame_time_s:.9g}"))
    lines.extend(_row(frame) for frame in np.stack(channels, axis=1))
    return "\n".join(lines) + "\n"


def _euler(rotations: Floats) -> Floats:
    """Return Z, Y, X Euler angles [3, T] in degrees of rotations [T, 3, 3] that apply X first, without jumps."""
    angles = Rotation.from_matrix(rotations).as_euler("ZYX")
    return np.rad2deg(np.unwrap(angles, axis=0)).T


def _row(values: Floats) -> str:
    return " ".join(f"{value:.8f}" for value in values)
