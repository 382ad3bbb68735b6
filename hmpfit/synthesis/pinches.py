"""Close the thumb on a finger: damped least squares over the angles of both, on a hand of round numbers. numpy only.

Separate because it is the one place of the generator that needs positions.
"""

import numpy as np
from numpy.typing import NDArray

from hmpfit.skeleton import MANO_HAND_JOINTS, MANO_JOINTS, MANO_PARENTS
from hmpfit.synthesis.hand_degrees_of_freedom import (
    DOFS,
    FOUR,
    HIGH,
    INDEX,
    LOW,
    THUMB_LIFT,
    Subject,
    angles_to_hand_pose,
)

Floats = NDArray[np.float64]

# Open hand's joints and tips, millimeters from the wrist in MANO's rest pose, rounded: contact only has to look right.
FINGER_MM = {
    "index": ((-93, 0, 22), (-130, 0, 24), (-156, 0, 25), (-181, 0, 26)),
    "middle": ((-93, 4, -3), (-136, 4, -6), (-166, 4, -8), (-193, 4, -10)),
    "ring": ((-86, 5, -22), (-124, 5, -30), (-150, 5, -35), (-175, 5, -40)),
    "pinky": ((-76, 0, -41), (-104, 0, -51), (-120, 0, -57), (-142, 0, -65)),
    "thumb": ((-29, -4, 21), (-54, -8, 51), (-82, -12, 75), (-106, -14, 95)),
}
PAD_MM = 7.0  # a fingertip's pad lies this far off its bone
STEPS, DAMPING, STAY = 12, 0.02, 0.08
_UP = {**{finger: np.array([0.0, 1.0, 0.0]) for finger in FOUR}, "thumb": THUMB_LIFT}


def pinched(angles: Floats, fingers: tuple[str, ...], subject: Subject, gap_mm: float = 0.0) -> Floats:
    """Return angles [21] near the given ones whose thumb pad meets the pads of `fingers`, `gap_mm` apart."""
    free = [INDEX[f"{finger}_{part}"] for finger in fingers for part in ("mcp", "spread", "pip", "dip")]
    free += [i for i, name in enumerate(DOFS) if name.startswith("thumb")]
    now, eye = angles.copy(), np.eye(len(free))
    for _ in range(STEPS):
        trial = np.repeat(now[None], len(free) + 1, axis=0)
        trial[np.arange(len(free)), free] += 0.5
        residual = _distances(trial, fingers, subject, gap_mm)
        jacobian = (residual[:-1] - residual[-1]).T / 0.5
        normal = jacobian.T @ jacobian + (DAMPING + STAY**2) * eye
        gradient = jacobian.T @ residual[-1] + STAY**2 * (now - angles)[free]
        now[free] -= np.clip(np.linalg.solve(normal, gradient), -15, 15)
        now = np.clip(now, LOW, HIGH)
    return now


def _distances(angles: Floats, fingers: tuple[str, ...], subject: Subject, gap_mm: float) -> Floats:
    """Return the distances between the pads per posture [N], [N, 3 fingers], millimeters."""
    pads = _pads(angles_to_hand_pose(angles, subject), (*fingers, "thumb"))
    parts = []
    for k, finger in enumerate(fingers):
        toward = pads[finger][0] - pads["thumb"][0] + pads[finger][1] * (gap_mm / 2) - pads["thumb"][1] * (gap_mm / 2)
        side = np.array([0.0, 0.0, 9.0]) * (k - (len(fingers) - 1) / 2)  # several fingers sit side by side on the thumb
        parts.append(toward + side)
    return np.concatenate(parts, axis=1)


def _pads(hand_pose: Floats, fingers: tuple[str, ...]) -> dict[str, tuple[Floats, Floats]]:
    """Return each named finger's pad position [N, 3] in millimeters and its outward normal [N, 3]."""
    turned = {"wrist": np.broadcast_to(np.eye(3), (len(hand_pose), 3, 3))}
    pads = {}
    for finger in fingers:
        at = np.array(FINGER_MM[finger], dtype=float)
        matrix, place = turned["wrist"], np.broadcast_to(at[0], (len(hand_pose), 3))
        for part in (1, 2, 3):
            name = f"{finger}{part}"
            assert MANO_PARENTS[MANO_JOINTS.index(name)] >= 0
            matrix = matrix @ _matrix(hand_pose[:, MANO_HAND_JOINTS.index(name)])
            place = place + matrix @ (at[part] - at[part - 1])
        normal = -(matrix @ _UP[finger])
        back = matrix @ (at[2] - at[3]) * 0.25
        pads[finger] = (place + back + normal * PAD_MM, normal)
    return pads


def _matrix(rotvec: Floats) -> Floats:
    """Return rotation matrices [N, 3, 3] of axis-angle [N, 3] (Rodrigues)."""
    angle = np.linalg.norm(rotvec, axis=-1)[:, None, None]
    x, y, z = (rotvec / np.maximum(angle[:, 0], 1e-12)).T
    zero = np.zeros_like(x)
    k = np.stack((zero, -z, y, z, zero, -x, -y, x, zero), axis=-1).reshape(-1, 3, 3)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)
