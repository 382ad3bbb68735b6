"""Limits of the fifteen finger joints in MANO's frame, and a relaxed pose.

Separate from the hand models because anatomy is the same for every model in MANO's rest pose: the initializer, the
generated training motion and the tests all read it here.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hmpfit.skeleton import MANO_HAND_JOINTS

Floats = NDArray[np.float64]

# Direction of each finger in the flat rest pose, degrees from -x towards the thumb (+z). Every bone of a finger bends
# about the axis that is perpendicular to it in the palm plane, so a splayed little finger does not flex about z alone.
REST_DIRECTION_DEG: Final[Mapping[str, float]] = {
    "thumb": 42.0, "index": 3.0, "middle": -4.0, "ring": -11.0, "pinky": -21.0,
}  # fmt: skip
# The nails of a flat hand's fingers face up (+y); the thumb's faces half up, half outwards: degrees of tilt from +y.
# In MANO's template it does along (1, 1, 1), as Yang et al. 2021, "CPF", axes of the hand, take it.
THUMB_NAIL_TILT_DEG: Final = 55.0

# Degrees: (flexion towards the pad, turn about the nail's direction, twist about the bone). For a finger the second is
# spreading towards the thumb side; for the thumb it lifts the thumb off the palm plane and the first sweeps it across.
# Finger flexion: American Academy of Orthopaedic Surgeons, "Joint Motion", 1965: MCP 0-90 with up to 45 of passive
# extension (20 active), PIP 0-100, DIP 0-90; PIP 110 and DIP 80 are the active ranges of Hume et al. 1990, "Functional
# range of motion of the joints of the hand", J. Hand Surg. 15A. Spreading: about 20 each way, more for index and
# little finger (Kapandji, "The Physiology of the Joints", vol. 1). The joints beyond the knuckle are hinges: the few
# degrees of spreading and twist left to them, and of extension, take up what a rigid template cannot express.
# Thumb: CMC 45-60 of palmar motion, 50 of motion in the palm plane, pronation coupled to opposition (Cooney et al.
# 1981, "The kinesiology of the thumb trapeziometacarpal joint", JBJS 63A: 53 flexion, 42 abduction, 17 rotation,
# widened because template and trapezium axes differ); MCP 0-60, IP 0-80 with up to 20 of extension. Negative twist
# turns the thumb's pad towards the fingers.
_FINGER: Final = (((-20, 90), (-20, 20), (-10, 10)), ((-5, 110), (-5, 5), (-5, 5)), ((-8, 80), (-5, 5), (-5, 5)))
_WIDE: Final = (((-20, 90), (-25, 25), (-12, 12)), ((-5, 110), (-5, 5), (-5, 5)), ((-8, 80), (-5, 5), (-5, 5)))
_THUMB: Final = (((-25, 45), (-20, 60), (-45, 20)), ((-15, 60), (-15, 15), (-12, 12)), ((-20, 85), (-5, 5), (-8, 8)))
_RANGES_DEG: Final = {"thumb": _THUMB, "index": _WIDE, "middle": _FINGER, "ring": _FINGER, "pinky": _WIDE}

# A hand hanging loosely: degrees in the same three directions, base joint first. Flexion grows towards the little
# finger, the thumb lies in front of the index finger's edge; fingers closer together than in the template.
_RELAXED_DEG: Final = {
    "index": ((18, -2, 0), (28, 0, 0), (12, 0, 0)),
    "middle": ((22, 1, 0), (32, 0, 0), (15, 0, 0)),
    "ring": ((24, 3, 0), (34, 0, 0), (16, 0, 0)),
    "pinky": ((26, 6, 0), (32, 0, 0), (15, 0, 0)),
    "thumb": ((12, 22, -10), (14, 0, 0), (14, 0, 0)),
}


def _axes() -> Floats:
    directions = np.deg2rad([REST_DIRECTION_DEG[name[:-1]] for name in MANO_HAND_JOINTS])
    tilt = np.deg2rad([THUMB_NAIL_TILT_DEG * name.startswith("thumb") for name in MANO_HAND_JOINTS])[:, None]
    sine, cosine, zero = np.sin(directions), np.cos(directions), np.zeros_like(directions)
    across, up = np.stack((sine, zero, cosine), axis=-1), np.stack((zero, zero + 1, zero), axis=-1)
    bone = np.stack((-cosine, zero, sine), axis=-1)
    nail = np.cos(tilt) * up + np.sin(tilt) * across
    return np.stack((np.cross(nail, bone), nail, bone), axis=1)


def _per_joint(table: Mapping[str, tuple]) -> Floats:
    return np.deg2rad(np.array([table[name[:-1]][int(name[-1]) - 1] for name in MANO_HAND_JOINTS], dtype=float))


def _component_bounds() -> Floats:
    low, high = (ANATOMICAL_LIMITS[..., end, None] * ANATOMICAL_AXES for end in (0, 1))
    return np.stack((np.minimum(low, high).sum(1), np.maximum(low, high).sum(1)), axis=-1)


# [15, 3, 3]: for each of MANO_HAND_JOINTS the unit axes, in MANO's frame, of flexion (positive bends the bone towards
# its pad), of the turn about the nail's direction (positive spreads a finger towards the thumb side and lifts the
# thumb off the palm plane) and of twist (along the bone).
ANATOMICAL_AXES: Final[Floats] = _axes()
# [15, 3, 2]: lowest and highest angle, radians, about each of those axes.
ANATOMICAL_LIMITS: Final[Floats] = _per_joint(_RANGES_DEG)
# [15, 3, 2]: the smallest bounds on the axis-angle components (x, y, z), radians, that hold the anatomical box.
LIMITS: Final[Floats] = _component_bounds()
# [15, 3]: the relaxed hand, absolute axis-angle in MANO's frame.
REST_POSE: Final[Floats] = np.einsum("ja,jak->jk", _per_joint(_RELAXED_DEG), ANATOMICAL_AXES)


def to_anatomical(hand_pose: Floats) -> Floats:
    """Return hand poses [..., 15, 3] (axis-angle) as angles [..., 15, 3] about ANATOMICAL_AXES, radians."""
    return np.einsum("...jk,jak->...ja", hand_pose, ANATOMICAL_AXES)


def from_anatomical(angles: Floats) -> Floats:
    """Return angles [..., 15, 3] about ANATOMICAL_AXES, radians, as hand poses [..., 15, 3] (axis-angle)."""
    return np.einsum("...ja,jak->...jk", angles, ANATOMICAL_AXES)
