"""A palm's own distance: right whatever tilt and distance the fit has, for either hand; silent where little is seen."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmpfit.camera_motion.palm_distance import distance_ratio
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model_files import load_hand_models
from hmpfit.skeleton import OPENPOSE_PALM

REST = Kinematics.of(load_hand_models("open").right).points.numpy()[list(OPENPOSE_PALM)]
FRAMES = 20


def palms(tilt_deg: float, depth_m: float, left: bool = False) -> np.ndarray:
    """Return a palm [T, 5, 3] that faces the camera but for a tilt and sways by 15 degrees."""
    rest = REST * ([-1, 1, 1] if left else [1, 1, 1])
    facing = Rotation.from_euler("x", 90, degrees=True)
    sway = Rotation.from_euler("z", 15 * np.sin(np.linspace(0, 6, FRAMES))[:, None], degrees=True)
    turn = Rotation.from_euler("y", tilt_deg, degrees=True) * sway * facing
    return np.stack([one.apply(rest - rest.mean(0)) for one in turn]) + np.array([0.05, -0.03, depth_m])


def seen(points: np.ndarray) -> np.ndarray:
    return points[..., :2] / points[..., 2:]


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(("tilt_deg", "depth_m"), [(25, 0.45), (-25, 0.45), (10, 0.55), (0, 0.5)])
def test_a_tilted_fit_does_not_move_the_palm(tilt_deg: float, depth_m: float, left: bool) -> None:
    true, fitted = palms(5.0, 0.5, left), palms(5.0 + tilt_deg, depth_m, left)
    noise = np.random.default_rng(0).normal(0, 0.5 / 640, (FRAMES, 5, 2))
    assert distance_ratio(fitted, seen(true)) == pytest.approx(0.5 / depth_m, abs=1e-3)
    assert distance_ratio(fitted, seen(true) + noise) == pytest.approx(0.5 / depth_m, abs=0.01)


def test_few_frames_say_nothing() -> None:
    true, fitted = palms(0.0, 0.5), palms(0.0, 0.4)
    fitted[7:] = np.nan
    assert distance_ratio(fitted, seen(true)) == 1.0
    xy = seen(true)
    xy[:, 2] = np.nan
    assert distance_ratio(palms(0.0, 0.4), xy) == 1.0
