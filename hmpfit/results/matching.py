"""Read a result with the hand model that made it, and refuse any other: it would export wrong meshes silently."""

from pathlib import Path

import numpy as np

from hmpfit.errors import InputError
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.results.npz import StoredResult, read_result

SAME_M = 1e-4  # joints that differ by more come from another hand model


def read_with_model(path: Path, hand_model: str, models: HandModels | None = None) -> tuple[StoredResult, HandModels]:
    """Return a stored result and the hand models called `hand_model` ("open" or a path), loaded unless they are given.

    Raises InputError when the result cannot be read or its joints are not those of this hand model.
    """
    stored, models = read_result(path), models or load_hand_models(hand_model)
    apart_m = np.abs(pose_hands(models, stored.motion).joints - stored.joints).max()
    if apart_m > SAME_M:
        raise InputError(
            f"'{path}' was fitted with another hand model than '{hand_model}' (its joints lie up to "
            f"{apart_m * 1000:.1f} mm apart); give the model of that run with --hand-model."
        )
    return stored, models
