"""Give the open hand a person's proportions: joints where they are measured, and axes along which people differ.

MakeHuman places the joints of its fingers for looks: its last finger bones are a third too long and the bones next to
the palm a fifth too short. Separate from `straighten`, which turns bones and never stretches one.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.alignment import unit
from hmpfit.hands.open_hand.joint_regressor import joint_regressor
from hmpfit.skeleton import FINGERS, MANO_JOINTS, OPENPOSE_21

Floats = NDArray[np.float64]

# Wrist to middle knuckle of the average adult, meters. Wrist to middle fingertip is then 188 mm: the hand lengths of
# ANSUR II (Gordon et al. 2014), 193 mm in men and 181 mm in women, and 1 mm from the wrist's crease to its center.
PALM_M = 0.0905
# Places of the thumb's saddle joint and of the knuckles, in shares of PALM_M: from the wrist to the middle knuckle,
# towards the thumb, and towards the back of the hand. Medians of three people's triangulated hands (caliscope's desk,
# two rigs of handpose3d; shared/inputs/truth), which agree within 0.03 but for the thumb's depth (0.1).
PALM_SHARES = {
    "thumb": (0.285, 0.32, -0.17),
    "index": (1.012, 0.25, -0.052),
    "middle": (1.0, 0.0, 0.0),
    "ring": (0.92, -0.225, -0.005),
    "pinky": (0.785, -0.42, -0.052),
}
# Lengths from joint to joint to tip in shares of PALM_M: between those three people and the phalanges of Buryanov and
# Kotiuk 2010, "Proportions of hand segments", Int. J. Morphol. 28(3), with 1 to 2 mm of cartilage, 4 mm of fingertip.
FINGER_SHARES = {
    "thumb": (0.402, 0.328, 0.276),
    "index": (0.489, 0.270, 0.210),
    "middle": (0.540, 0.313, 0.228),
    "ring": (0.506, 0.301, 0.224),
    "pinky": (0.397, 0.224, 0.190),
}


@dataclass(frozen=True)
class Proportions:
    """Lengths and places that make a skeleton; see the constants above for their units."""

    palm_m: float
    palm: Floats  # [5, 3]
    fingers: Floats  # [5, 3]

    @staticmethod
    def average() -> "Proportions":
        """Return the average adult's."""
        palm, fingers = (np.array([table[f] for f in FINGERS]) for table in (PALM_SHARES, FINGER_SHARES))
        return Proportions(PALM_M, palm, fingers)

    def moved(self, axis: str, amount: float) -> "Proportions":
        """Return the hand `amount` standard deviations away along one of `AXES`."""
        grown = np.exp(amount * _STD[axis])
        palm, fingers = self.palm.copy(), self.fingers.copy()
        if axis == "size":
            return replace(self, palm_m=self.palm_m * grown)
        if axis == "finger_length":
            fingers *= grown
        elif axis == "palm_width":
            palm[:, 1] *= grown
        elif axis == "first_bones":
            fingers *= grown ** np.array([1.0, -0.3, -1.0])
        elif axis == "thumb_length":
            fingers[0] *= grown
        elif axis == "index_against_ring":
            fingers[1] *= grown
            fingers[3] /= grown
        elif axis == "pinky_length":
            fingers[4] *= grown
        elif axis == "thumb_base_depth":
            palm[0, 2] += amount * _STD[axis]
        elif axis == "thumb_base_along":
            palm[0, 0] += amount * _STD[axis]
        return Proportions(self.palm_m, palm, fingers)


# One standard deviation of each axis among people: logarithms of lengths, shares of PALM_M for the thumb's base. Size
# is ANSUR II's (men and women together); the others are about what Buryanov and Kotiuk's tables vary by, rounded.
_STD = {
    "size": 0.06,
    "finger_length": 0.05,
    "palm_width": 0.07,
    "first_bones": 0.05,
    "thumb_length": 0.06,
    "index_against_ring": 0.03,
    "pinky_length": 0.05,
    "thumb_base_depth": 0.05,
    "thumb_base_along": 0.05,
    "thickness": 0.08,
}
AXES = tuple(_STD)


def reproportion(arrays: dict[str, Any], middle: Proportions | None = None) -> dict[str, Any]:
    """Return a MANO-schema hand's arrays with proportions and with shapedirs along `AXES`.

    `middle` is the hand of zero betas (the average adult's). The skin follows the joints by a thin-plate spline, so
    that a finger keeps its girth where its bones change length.
    """
    template = np.asarray(arrays["v_template"], dtype=np.float64)
    old = _skeleton_of(arrays)
    middle = middle or Proportions.average()
    placed = skeleton(middle, old)
    vertices = _warp(old, placed, template)
    shapes, joint_shapes = [], []
    for axis in AXES:
        ends = [middle.moved(axis, amount) for amount in (1.0, -1.0)]
        targets = [skeleton(end, old) for end in ends]
        skins = [_warp(placed, target, vertices) for target in targets]
        if axis == "thickness":
            skins = [vertices + sign * _STD[axis] * _from_bones(vertices, placed) for sign in (1.0, -1.0)]
        shapes.append((skins[0] - skins[1]) / 2)
        joint_shapes.append((targets[0] - targets[1]) / 2)
    rows = [OPENPOSE_21.index(name) for name in MANO_JOINTS]
    shapedirs, joint_dirs = np.stack(shapes, axis=-1), np.stack(joint_shapes, axis=-1)[rows]
    weights = np.asarray(arrays["weights"], dtype=np.float64)
    tip_vertices = _fingertips(vertices, placed, weights)
    tips = np.array([OPENPOSE_21.index(f"{finger}_tip") for finger in FINGERS])
    offsets = np.zeros((len(OPENPOSE_21), 3))
    offsets[tips] = placed[tips] - vertices[tip_vertices]
    return {
        **arrays,
        "v_template": vertices.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float32),
        "J_regressor": joint_regressor(vertices, shapedirs, placed[rows], joint_dirs, weights),
        "tip_vertices": tip_vertices,
        "landmark_offsets": offsets,
    }


def landmark_offsets(joints: Floats) -> Floats:
    """Return where a detector's landmarks lie from the joints and tips [21, 3] of another hand model at rest, [21, 3].

    A detector was taught people's joints. Along each finger, from the wrist to the tip, they lie at the average adult's
    shares of the way; the model's own joints may lie elsewhere, and this is the difference (wrist and tips agree).
    """
    average = skeleton(Proportions.average(), joints)
    offsets = np.zeros_like(joints)
    for finger in FINGERS:
        rows = [0, *(OPENPOSE_21.index(f"{finger}{part}") for part in ("1", "2", "3", "_tip"))]
        ways = [
            np.concatenate(([0.0], np.linalg.norm(np.diff(p[rows], axis=0), axis=1).cumsum()))
            for p in (joints, average)
        ]
        wanted = ways[1] / ways[1][-1] * ways[0][-1]
        along = np.stack([np.interp(wanted, ways[0], joints[rows, axis]) for axis in range(3)], axis=-1)
        offsets[rows[1:-1]] = (along - joints[rows])[1:-1]
    return offsets


def skeleton(proportions: Proportions, like: Floats) -> Floats:
    """Return the 21 points [21, 3] in OpenPose order of a flat hand whose bones point where those of `like` do."""
    axes = palm_axes(like)
    points = np.zeros_like(like)
    points[0] = like[0]
    for finger, place, lengths in zip(FINGERS, proportions.palm, proportions.fingers):
        rows = [OPENPOSE_21.index(f"{finger}{part}") for part in ("1", "2", "3", "_tip")]
        points[rows[0]] = points[0] + proportions.palm_m * place @ axes
        for a, b, length in zip(rows, rows[1:], lengths):
            bone = like[b] - like[a]
            points[b] = points[a] + proportions.palm_m * length * unit(bone)
    return points


def palm_axes(points: Floats) -> Floats:
    """Return the axes [3, 3] of a right palm: wrist to middle knuckle, towards the thumb, towards its back."""
    wrist, index, middle, pinky = (points[OPENPOSE_21.index(n)] for n in ("wrist", "index1", "middle1", "pinky1"))
    ahead = unit(middle - wrist)
    side = index - pinky
    side = side - (side @ ahead) * ahead
    side = unit(side)
    return np.stack((ahead, side, np.cross(ahead, side)))


def _skeleton_of(arrays: dict[str, Any]) -> Floats:
    template = np.asarray(arrays["v_template"], dtype=np.float64)
    joints = arrays["J_regressor"] @ template
    points = np.zeros((len(OPENPOSE_21), 3))
    for row, name in enumerate(OPENPOSE_21):
        tip = name.removesuffix("_tip")
        vertex = arrays["tip_vertices"][FINGERS.index(tip)] if name.endswith("_tip") else None
        points[row] = joints[MANO_JOINTS.index(name)] if vertex is None else template[vertex]
    return points


def _fingertips(vertices: Floats, points: Floats, weights: Floats) -> NDArray[np.int64]:
    """Return for each finger the vertex of its last bone that lies farthest along it."""
    tips = []
    for finger in FINGERS:
        middle, last = (points[OPENPOSE_21.index(f"{finger}{part}")] for part in ("2", "3"))
        own = weights.argmax(1) == MANO_JOINTS.index(f"{finger}3")
        tips.append(int(np.where(own, (vertices - last) @ (last - middle), -np.inf).argmax()))
    return np.array(tips)


def _warp(before: Floats, after: Floats, vertices: Floats) -> Floats:
    """Move vertices [V, 3] as the points [21, 3] move: whole cross-sections, hence points a finger's girth around."""
    from scipy.interpolate import RBFInterpolator

    around = 0.008 * np.concatenate((np.zeros((1, 3)), np.eye(3)[1:], -np.eye(3)[1:]))
    sources = (before[:, None] + around).reshape(-1, 3)
    moves = np.broadcast_to((after - before)[:, None], (len(before), len(around), 3)).reshape(-1, 3)
    return vertices + RBFInterpolator(sources, moves, kernel="thin_plate_spline", smoothing=1e-9)(vertices)


def _from_bones(vertices: Floats, points: Floats) -> Floats:
    """Return how vertices [V, 3] lie from the nearest place of the nearest bone."""
    nearest, best = np.zeros_like(vertices), np.full(len(vertices), np.inf)
    for finger in FINGERS:
        rows = [0, *(OPENPOSE_21.index(f"{finger}{part}") for part in ("1", "2", "3", "_tip"))]
        for a, b in pairwise(rows):
            bone = points[b] - points[a]
            share = np.clip((vertices - points[a]) @ bone / (bone @ bone), 0, 1)[:, None]
            apart = vertices - points[a] - share * bone
            closer = np.linalg.norm(apart, axis=1) < best
            best = np.where(closer, np.linalg.norm(apart, axis=1), best)
            nearest[closer] = apart[closer]
    return nearest
