"""The arm of rendered hands: closed where it meets the hand, along the axis asked for, whatever the batch."""

import numpy as np

from hmpfit.hands.model_files import load_hand_models
from hmpfit.synthesis.forearm import LENGTH_M, RINGS, Forearm

MODEL = load_hand_models("open").right


def open_edges(faces: np.ndarray) -> int:
    directed = {(int(a), int(b)) for face in faces for a, b in zip(face, np.roll(face, -1))}
    return sum((b, a) not in directed for a, b in directed)


def test_arm_closes_the_wrist_and_faces_outwards() -> None:
    arm = Forearm.of(MODEL.faces, len(MODEL.v_template))
    assert open_edges(MODEL.faces) == len(arm.edge) == open_edges(arm.faces)
    mesh = arm.attach(MODEL.v_template, np.array([1.0, 0.0, 0.0]))
    assert len(mesh) == arm.faces.max() + 1 == len(MODEL.v_template) + RINGS * len(arm.edge)
    assert np.array_equal(mesh[: len(MODEL.v_template)], MODEL.v_template)
    added = mesh[arm.faces[len(MODEL.faces) :]]
    normals = np.cross(added[:, 1] - added[:, 0], added[:, 2] - added[:, 0])
    middle = mesh[len(MODEL.v_template) :].mean(0)
    outwards = added.mean(1) - middle
    outwards[:, 0] = 0
    assert (np.sum(normals * outwards, axis=1) > 0).mean() > 0.95
    assert abs(mesh[:, 0].max() - MODEL.v_template[arm.edge, 0].mean() - LENGTH_M) < 1e-6


def test_batch_is_loop_and_arm_turns_to_the_elbow() -> None:
    arm = Forearm.of(MODEL.faces, len(MODEL.v_template))
    hands = np.stack((MODEL.v_template, MODEL.v_template * 1.2))
    axes, elbows = np.eye(3)[[0, 0]], np.array([[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]])
    both = arm.attach(hands, axes, elbows)
    assert np.allclose(both[0], arm.attach(hands[0], axes[0], elbows[0]))
    assert np.allclose(both[1], arm.attach(hands[1], axes[1]))
    assert both[0, -len(arm.edge) :, 1].mean() > 0.05 > abs(both[1, -len(arm.edge) :, 1].mean())


def test_closed_mesh_gets_no_arm() -> None:
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    arm = Forearm.of(faces, 4)
    assert np.array_equal(arm.faces, faces)
    assert arm.attach(np.eye(4, 3), np.array([1.0, 0, 0])).shape == (4, 3)
