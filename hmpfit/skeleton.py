"""Joint names and orders: the only place where a joint has a number.

Two orders exist. MANO-16 (+ five tips) is what hand models pose; OpenPose-21 (= MediaPipe) is what detectors see and
what every file of ours stores. Source: `docs/method.md` section 1.
"""

FINGERS = ("thumb", "index", "middle", "ring", "pinky")

MANO_JOINTS = (
    "wrist",
    "index1", "index2", "index3",
    "middle1", "middle2", "middle3",
    "pinky1", "pinky2", "pinky3",
    "ring1", "ring2", "ring3",
    "thumb1", "thumb2", "thumb3",
)  # fmt: skip
MANO_PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
MANO_HAND_JOINTS = MANO_JOINTS[1:]
MANO_TIPS = tuple(f"{finger}_tip" for finger in FINGERS)
MANO_21 = MANO_JOINTS + MANO_TIPS

OPENPOSE_21 = (
    "wrist",
    *(f"{finger}{part}" if part < 4 else f"{finger}_tip" for finger in FINGERS for part in (1, 2, 3, 4)),
)
OPENPOSE_PARENTS = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
BONES = tuple((parent, child) for child, parent in enumerate(OPENPOSE_PARENTS) if parent >= 0)

# InterHand2.6M, each hand: from the tip of every finger to its base, the wrist last (its `skeleton.txt`).
INTERHAND_21 = (
    *(f"{finger}{part}" if part < 4 else f"{finger}_tip" for finger in FINGERS for part in (4, 3, 2, 1)),
    "wrist",
)

INTERHAND_TO_OPENPOSE = tuple(INTERHAND_21.index(name) for name in OPENPOSE_21)
MANO21_TO_OPENPOSE = tuple(MANO_21.index(name) for name in OPENPOSE_21)
OPENPOSE_TO_MANO21 = tuple(OPENPOSE_21.index(name) for name in MANO_21)
MANO16_TO_OPENPOSE = tuple(OPENPOSE_21.index(name) for name in MANO_JOINTS)

OPENPOSE_WRIST = OPENPOSE_21.index("wrist")
OPENPOSE_MIDDLE_MCP = OPENPOSE_21.index("middle1")
OPENPOSE_PALM = tuple(OPENPOSE_21.index(n) for n in ("wrist", "index1", "middle1", "ring1", "pinky1"))


def mano(name: str) -> int:
    """Return the index of a joint or tip in MANO-21 order; KeyError-like ValueError when it does not exist."""
    return MANO_21.index(name)


def openpose(name: str) -> int:
    """Return the index of a joint or tip in OpenPose-21 order; ValueError when it does not exist."""
    return OPENPOSE_21.index(name)


def chain(finger: str) -> tuple[int, int, int]:
    """Return the three MANO-16 indices of a finger's joints, base first."""
    base = MANO_JOINTS.index(f"{finger}1")
    return base, base + 1, base + 2
