"""The generator's hand coordinates, 21 angles in degrees, and their conversion to MANO's axis-angle pose.

Separate from the motions so that anatomy (axes, ranges, coupling of joints) is said once. numpy only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.hands.joint_limits import ANATOMICAL_AXES
from hmpfit.skeleton import MANO_HAND_JOINTS

Floats = NDArray[np.float64]

FOUR = ("index", "middle", "ring", "pinky")
# Per finger: flexion of the knuckle, its spread (positive towards the thumb), flexion of the middle joint, and what
# the last joint does beyond following the middle one. Thumb: bend, lift out of the palm plane and roll of its base,
# bend of the second joint, of the last joint.
DOFS = (
    *(f"{finger}_{part}" for finger in FOUR for part in ("mcp", "spread", "pip", "dip")),
    "thumb_bend", "thumb_lift", "thumb_roll", "thumb_mcp", "thumb_ip",
)  # fmt: skip
INDEX = {name: i for i, name in enumerate(DOFS)}
MCP, SPREAD, PIP, DIP = (
    np.array([INDEX[f"{finger}_{part}"] for finger in FOUR]) for part in ("mcp", "spread", "pip", "dip")
)

# Ranges of active motion of healthy adults, degrees, rounded: finger joints after Hume et al. 1990 and Gehrmann et al.
# 2010, thumb base after Li and Tang 2007.
RANGES: dict[str, tuple[float, float]] = {
    "mcp": (-20.0, 92.0), "spread": (-22.0, 22.0), "pip": (-6.0, 108.0), "dip": (-20.0, 25.0),
    "thumb_bend": (-22.0, 40.0), "thumb_lift": (-12.0, 55.0), "thumb_roll": (-15.0, 45.0),
    "thumb_mcp": (-12.0, 60.0), "thumb_ip": (-22.0, 85.0),
}  # fmt: skip
LOW, HIGH = (
    np.array([RANGES[name if name in RANGES else name.split("_")[1]][side] for name in DOFS]) for side in (0, 1)
)

LAST_LOW, LAST_HIGH = np.deg2rad(-20.0), np.deg2rad(85.0)
# A finger bends about the axis across it in the palm plane of the flat hand.
FLEXION = np.array([ANATOMICAL_AXES[MANO_HAND_JOINTS.index(f"{finger}1"), 0] for finger in FOUR])

# How much of a neighbor's flexion a finger is dragged along with: enslaving, after Zatsiorsky et al. 2000 (rounded).
ENSLAVED = np.array(
    [[0.97, 0.03, 0.00, 0.00], [0.05, 0.85, 0.10, 0.00], [0.01, 0.11, 0.78, 0.10], [0.00, 0.02, 0.14, 0.84]]
)

# The thumb's axes in MANO's flat hand, whose thumb points to -x +z with its nail turned half up, half outwards: bend
# brings its tip towards the palm and the little finger, lift takes it off the palm plane, roll turns its pad to the
# fingers.
_BONE = np.array([-0.69, -0.10, 0.72]) / np.linalg.norm([-0.69, -0.10, 0.72])
_NAIL = np.ones(3) - (np.ones(3) @ _BONE) * _BONE
THUMB_LIFT = _NAIL / np.linalg.norm(_NAIL)
THUMB_BEND = np.cross(THUMB_LIFT, _BONE)
THUMB_ROLL = -_BONE


@dataclass(frozen=True)
class Subject:
    """What differs from person to person."""

    dip_share: float  # of the middle joint's flexion that the last joint follows with
    enslaving: float  # 0 none, 1 typical
    gain: Floats  # [21] multiplies commanded angles
    rest: Floats  # [21] added to every posture, degrees
    bias: Floats  # [15, 3] constant turn of each joint's frame, radians
    tremor_deg: float
    pace: float  # multiplies every duration

    @classmethod
    def sample(cls, generator: np.random.Generator) -> "Subject":
        """Draw a person."""
        flexion = np.full(len(DOFS), 5.0)
        flexion[SPREAD] = 3.0
        bias = generator.normal(0, np.deg2rad(3.0), (15, 3)) * generator.uniform(0.3, 1.6)
        bias[np.array([name.startswith("thumb") for name in MANO_HAND_JOINTS])] *= 2.5
        return cls(
            dip_share=float(generator.uniform(0.45, 0.8)),
            enslaving=float(generator.uniform(0.3, 1.6)),
            gain=generator.normal(1, 0.07, len(DOFS)),
            rest=generator.normal(0, 1, len(DOFS)) * flexion,
            bias=bias,
            tremor_deg=float(generator.uniform(0.05, 0.35)),
            pace=float(np.exp(generator.normal(0, 0.2))),
        )


def angles_to_hand_pose(angles: Floats, subject: Subject) -> Floats:
    """Turn angles [T, 21] in degrees into absolute axis-angle hand_pose [T, 15, 3], MANO's frame and joint order.

    Applies the subject's gain and rest posture, drags neighbors along, keeps every angle inside its range, lets the
    last joint follow the middle one and the spread fade as the knuckle bends.
    """
    angles = angles * subject.gain + subject.rest
    drag = np.eye(4) + subject.enslaving * (ENSLAVED - np.eye(4))
    for dofs in (MCP, PIP):
        angles[:, dofs] = angles[:, dofs] @ drag.T
    angles = soft_clip(angles, LOW, HIGH)
    radians = np.deg2rad(angles)
    pose = np.zeros((len(angles), len(MANO_HAND_JOINTS), 3))
    for f, finger in enumerate(FOUR):
        bend, turn = FLEXION[f], np.array([0.0, 1.0, 0.0])
        mcp, spread, pip, dip = (radians[:, dofs[f]] for dofs in (MCP, SPREAD, PIP, DIP))
        spread = spread * (1 - 0.75 * np.clip(mcp / np.deg2rad(90.0), 0, 1))
        knuckle, middle, last = (MANO_HAND_JOINTS.index(f"{finger}{part}") for part in (1, 2, 3))
        pose[:, knuckle] = compose(spread[:, None] * turn, mcp[:, None] * bend)
        pose[:, middle] = pip[:, None] * bend
        pose[:, last] = np.clip(subject.dip_share * pip + dip, LAST_LOW, LAST_HIGH)[:, None] * bend
    base = compose(radians[:, [INDEX["thumb_lift"]]] * THUMB_LIFT, radians[:, [INDEX["thumb_bend"]]] * THUMB_BEND)
    pose[:, MANO_HAND_JOINTS.index("thumb1")] = compose(base, radians[:, [INDEX["thumb_roll"]]] * THUMB_ROLL)
    pose[:, MANO_HAND_JOINTS.index("thumb2")] = radians[:, [INDEX["thumb_mcp"]]] * THUMB_BEND
    pose[:, MANO_HAND_JOINTS.index("thumb3")] = radians[:, [INDEX["thumb_ip"]]] * THUMB_BEND
    return compose(np.broadcast_to(subject.bias, pose.shape), pose)


def soft_clip(x: Floats, low: Floats, high: Floats, margin: float = 6.0) -> Floats:
    """Bend x smoothly into [low, high] (degrees), so that a limit is a stop and not a corner in time."""
    over, under = np.maximum(x - (high - margin), 0), np.maximum(low + margin - x, 0)
    return x - over + margin * np.tanh(over / margin) + under - margin * np.tanh(under / margin)


def compose(a: Floats, b: Floats) -> Floats:
    """Return the axis-angle [..., 3] of exp(a) exp(b), by quaternions; angles stay below pi for hands."""
    aw, av = _quaternion(a)
    bw, bv = _quaternion(b)
    w = aw * bw - (av * bv).sum(-1, keepdims=True)
    v = aw * bv + bw * av + np.cross(av, bv)
    v = np.where(w < 0, -v, v)
    sine = np.linalg.norm(v, axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, np.abs(w))
    return v * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2.0)


def _quaternion(rotvec: Floats) -> tuple[Floats, Floats]:
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    return np.cos(angle / 2), rotvec * np.sinc(angle / (2 * np.pi)) / 2
