"""Two moving hands whose parameters are written into miniature datasets, and blank pictures of any size."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import MANO_TIP_VERTICES, MANO_VERTICES
from hmpfit.records import Floats, HandMotion
from tests.made_result import two_hands
from tests.model_fixtures import invented_model

MODEL = invented_model()
MODELS = HandModels(MODEL, MODEL)


def mano_sized() -> HandModels:
    """Return hands of MANO's 778 vertices, with its fingertips' numbers."""
    rng = np.random.default_rng(8)
    chosen = rng.permutation(len(MODEL.v_template))[:MANO_VERTICES]
    regressor = rng.uniform(size=(16, MANO_VERTICES))
    small = replace(
        MODEL, v_template=MODEL.v_template[chosen], shapedirs=MODEL.shapedirs[chosen], weights=MODEL.weights[chosen],
        posedirs=MODEL.posedirs.reshape(135, -1, 3)[:, chosen].reshape(135, -1), faces=np.array([[0, 1, 2]]),
        J_regressor=regressor / regressor.sum(1, keepdims=True), tip_vertices=np.array(MANO_TIP_VERTICES),
    )  # fmt: skip
    return HandModels(small, small)


ANGLES = np.array([1.0, -1.0, -1.0])  # what mirroring does to an axis-angle


def mean_pose(is_right: bool) -> Floats:
    """MANO's mean pose [45] of a side, as that side's own file has it."""
    return np.asarray((MODEL.hands_mean.reshape(15, 3) * (1 if is_right else ANGLES)).ravel())


def components(is_right: bool) -> Floats:
    """MANO's principal components [45, 45] of a side, as that side's own file has them."""
    return np.asarray(MODEL.hands_components * (1 if is_right else np.tile(ANGLES, 15)))


def moving_hands(
    frames: int, relative: Floats | None = None, models: HandModels = MODELS
) -> tuple[HandMotion, Floats, Floats]:
    """Return a right and a left hand, their joints [2, T, 21, 3] and meshes [2, T, V, 3].

    With `relative` [2, T, 45] the fingers are those, relative to each side's mean pose.
    """
    motion = two_hands(models, frames).motion
    if relative is not None:
        absolute = relative + np.stack([mean_pose(True), mean_pose(False)])[:, None]
        motion = replace(motion, hand_pose=absolute.reshape(2, frames, 15, 3))
    posed = pose_hands(models, motion, vertices=True)
    assert posed.vertices is not None
    return motion, posed.joints, posed.vertices


def write_picture(file: Path, width: int, height: int) -> None:
    """Write a gray picture."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.full((height, width, 3), 90, np.uint8))
