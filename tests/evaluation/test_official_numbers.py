"""Our protocols against numbers that the official scripts gave on committed random arrays.

`official_numbers.json` names the scripts and their commits; they ran outside this repository, and nothing of them is
here. `official_arrays.npz` holds tenths of millimeters: joints in OpenPose order (a mirrored sample, an exact one, an
exact wrist), meshes, pairs of hands. The scripts had the joints in their own orders.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from hmpfit.evaluation import single_hand, two_hands

FOLDER = Path(__file__).parent
OFFICIAL = json.loads((FOLDER / "official_numbers.json").read_text())["numbers"]
STORED = np.load(FOLDER / "official_arrays.npz")
THROUGH_FLOAT32 = "arctic_mpjpe_ra_mm"  # the script keeps it in float32


def meters(name: str) -> np.ndarray:
    return STORED[name].astype(np.float64) * 1e-4


@pytest.fixture(scope="module")
def ours() -> dict[str, float]:
    joints, true = meters("joints"), meters("joints_true")
    hands, true_hands = meters("hands"), meters("hands_true")
    repeated = np.arange(len(joints)) % len(STORED["vertices"])
    meshes = meters("vertices")[repeated], meters("vertices_true")[repeated]
    return {
        **single_hand.ho3d(joints, true, *meshes),
        **single_hand.freihand(joints, true, *meshes),
        **single_hand.dexycb(joints, true),
        **two_hands.interhand(hands, true_hands, STORED["hands_joint_valid"], STORED["hands_interacting"]),
        **two_hands.arctic(hands, true_hands, meters("meshes"), meters("meshes_true"), STORED["hands_valid"]),
    }


@pytest.mark.parametrize("name", sorted(OFFICIAL))
def test_a_protocol_gives_the_official_number(ours: dict[str, float], name: str) -> None:
    assert ours[name] == pytest.approx(OFFICIAL[name], rel=1e-6 if name == THROUGH_FLOAT32 else 1e-9, abs=0)


def test_every_number_of_these_protocols_is_compared(ours: dict[str, float]) -> None:
    more = {
        name for name in set(ours) - set(OFFICIAL) if "_wrist_" not in name
    }  # those are the papers', not the script's
    assert more == {"dexycb_samples"}


def test_wrist_aligned_numbers_are_those_of_a_plain_loop(ours: dict[str, float]) -> None:
    joints, true = meters("joints"), meters("joints_true")
    errors = [
        np.linalg.norm(found - found[0] + known[0] - known, axis=-1) for found, known in zip(joints, true, strict=True)
    ]
    assert ours["ho3d_joint_wrist_error_cm"] == pytest.approx(100 * np.mean(errors), rel=1e-12)
    repeated = np.arange(len(joints)) % len(STORED["vertices"])
    meshes, true_meshes = meters("vertices")[repeated], meters("vertices_true")[repeated]
    apart = [
        np.linalg.norm(mesh - found[0] + known[0] - goal, axis=-1)
        for mesh, goal, found, known in zip(meshes, true_meshes, joints, true, strict=True)
    ]
    assert ours["ho3d_vertex_wrist_error_cm"] == pytest.approx(100 * np.mean(apart), rel=1e-12)
    assert 0 < ours["ho3d_f_wrist_at_5mm"] < ours["ho3d_f_wrist_at_15mm"] < 1
