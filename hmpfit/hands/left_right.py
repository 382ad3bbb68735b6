"""Turn a left-hand model into its mirror image, so that everything inside hmpfit is a right hand.

Separate from the reader because it is mathematics on arrays, and because the known bug of the left file is mended here.
Motion is mirrored by `records.HandMotion.mirrored`.
"""

from typing import Any

import numpy as np

from hmpfit.hands.model import Floats
from hmpfit.records import MIRROR_ANGLES, MIRROR_X


def mirror_arrays(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return a model's arrays mirrored in x: positions and directions negated in x, faces turned inside out.

    A mirrored rotation is M R M with M = diag(-1, 1, 1), so each entry ij of the pose feature (R - I) changes sign when
    exactly one of i, j is x; `posedirs` [135, V*3] takes that sign on its rows and the mirror on its columns.
    """
    features = np.tile(np.outer(MIRROR_X, MIRROR_X).reshape(-1), arrays["posedirs"].shape[0] // 9)
    vertices = len(arrays["v_template"])
    angles = np.tile(MIRROR_ANGLES, arrays["hands_mean"].size // 3)
    return {
        **arrays,
        "v_template": arrays["v_template"] * MIRROR_X,
        "faces": arrays["faces"][:, ::-1].copy(),
        "shapedirs": arrays["shapedirs"] * MIRROR_X[:, None],
        "posedirs": arrays["posedirs"] * features[:, None] * np.tile(MIRROR_X, vertices),
        "hands_mean": arrays["hands_mean"] * angles,
        "hands_components": arrays["hands_components"] * angles,
    }


def fix_left_shapedirs(left: dict[str, Any], right: dict[str, Any] | None) -> Floats:
    """Return the left hand's `shapedirs` [V, 3, 10] with the known sign error of the released MANO_LEFT mended.

    In that file the x rows equal the right hand's where they should be their negative. With the right file at hand the
    test is the usual one (sum of absolute differences below 1, InterHand2.6M's). Without it, the left hand is judged by
    itself: a component that makes the hand longer in z must not make it shorter in x, over all components together.
    """
    dirs = left["shapedirs"]
    if right is not None and right["shapedirs"].shape == dirs.shape:
        wrong = np.abs(dirs[:, 0] - right["shapedirs"][:, 0]).sum() < 1
    else:
        centered = left["v_template"] - left["v_template"].mean(0)
        growth = np.einsum("vc,vck->ck", centered, dirs) / (centered**2).sum(0)[:, None]
        wrong = float(growth[0] @ (growth[1] + growth[2])) < 0
    return dirs * MIRROR_X[:, None] if wrong else dirs
