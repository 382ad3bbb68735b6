"""Draw hands from `anny`'s body model: vertices and bone heads of many people in one mesh.

Separate from the rest of the build because this is the only file that needs `anny` (constraints-build.txt).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.skeleton import MANO_JOINTS

ANNY_FINGERS = {"finger1": "thumb", "finger2": "index", "finger3": "middle", "finger4": "ring", "finger5": "pinky"}
# anny's axes (x back of the hand, y along the fingers, z thumb) to MANO's (-x fingers, -y palm, z thumb)
MANO_FROM_ANNY = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class SampledHands:
    """S hands as anny models them, wrist bone at the origin, roughly along MANO's axes, meters."""

    vertices: NDArray[np.float64]  # [S, V, 3]
    heads: NDArray[np.float64]  # [S, 16, 3] MANO-16 order
    adult: NDArray[np.bool_]  # [S]
    faces: NDArray[np.int64]  # [F, 3]
    weights: NDArray[np.float64]  # [V, 16] metacarpals merged into the wrist


def sample_hands(count: int, seed: int) -> SampledHands:
    """Draw `count` hands: four fifths adults, one fifth children; body parameters spread about their middle.

    anny's `age` is 2/3 for a young adult and 1 for an old one, 1/3 for a child; the other parameters lie in 0..1 with
    0.5 the average. Finger length, finger thickness and wrist girth vary on their own as well.
    """
    import anny
    import torch

    local = ["r-hand-fingers-length-incr", "r-hand-fingers-diameter-incr", "measure-wrist-circ-incr"]
    spread = np.array([0.15, 0.5, 0.3])
    model = anny.Anny(rig="anny-hand.R", topology="hand.R", local_changes=local)
    rng = np.random.default_rng(seed)
    adult = np.arange(count) % 5 != 0
    age = np.where(adult, rng.uniform(0.6, 0.95, count), rng.uniform(0.4, 0.6, count))
    bodies = {"age": age, "gender": rng.uniform(0, 1, count), "proportions": rng.uniform(0, 1, count)}
    for name, std in (("muscle", 0.2), ("weight", 0.2), ("height", 0.1)):
        bodies[name] = np.clip(rng.normal(0.5, std, count), 0, 1)
    changes = np.clip(rng.normal(size=(count, len(local))) * spread, -1, 1)
    with torch.no_grad():
        out = model(
            phenotype_kwargs={k: torch.as_tensor(v, dtype=torch.float64) for k, v in bodies.items()},
            local_changes_kwargs={k: torch.as_tensor(changes[:, i]) for i, k in enumerate(local)},
        )
    wrist = out["rest_bone_poses"][:, model.bone_labels.index("wrist.R")].double().numpy()
    to_mano = MANO_FROM_ANNY @ wrist[:, :3, :3].transpose(0, 2, 1)
    vertices = (out["rest_vertices"].double().numpy() - wrist[:, None, :3, 3]) @ to_mano.transpose(0, 2, 1)
    heads = (out["rest_bone_heads"].double().numpy() - wrist[:, None, :3, 3]) @ to_mano.transpose(0, 2, 1)
    joint_of_bone = [_mano_joint(label) for label in model.bone_labels]
    weights = np.zeros((vertices.shape[1], len(MANO_JOINTS)))
    bones, values = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.double().numpy()
    for slot in range(bones.shape[1]):
        np.add.at(weights, (np.arange(len(weights)), np.array(joint_of_bone)[bones[:, slot]]), values[:, slot])
    order = [model.bone_labels.index("wrist.R")] + [joint_of_bone.index(j) for j in range(1, len(MANO_JOINTS))]
    faces = model.faces.numpy().astype(np.int64)
    return SampledHands(vertices, heads[:, order], adult, faces, weights / weights.sum(1, keepdims=True))


def _mano_joint(bone: str) -> int:
    finger, _, part = bone.partition("-")
    if finger not in ANNY_FINGERS:
        return 0
    return MANO_JOINTS.index(f"{ANNY_FINGERS[finger]}{part[0]}")
