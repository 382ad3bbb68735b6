import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.hands.model_files import load_hand_models
from hmpfit.keypoints.blend import merge_keypoints
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.records import Camera, HandMotion, KeypointTracks

K = np.array([[600.0, 0, 320], [0, 600, 180], [0, 0, 1]])
CAMERA = Camera(K[None], 640, 360)


def tracks(value: float, seen: list[list[bool]], is_right: list[bool], confidence: float = 0.8) -> KeypointTracks:
    found = np.array(seen)
    return KeypointTracks(
        xy_px=np.where(found[..., None, None], value, np.nan) * np.ones((1, 1, 21, 2)),
        confidence=np.where(found[..., None], confidence, 0.0) * np.ones((1, 1, 21)),
        seen=found,
        is_right=np.array(is_right),
        times_s=np.arange(found.shape[1]) / 30,
    )


def motion(status: list[int], is_right: bool = True) -> HandMotion:
    frames = len(status)
    return HandMotion(
        global_orient=np.zeros((1, frames, 3)),
        hand_pose=np.zeros((1, frames, 15, 3)),
        transl=np.tile([0.05 if is_right else -0.05, 0.02, 0.5], (1, frames, 1)),
        betas=np.zeros((1, 10)),
        is_right=np.array([is_right]),
        status=np.array([status], dtype=np.uint8),
    )


def test_the_detector_comes_first() -> None:
    both = merge_keypoints(tracks(1, [[True, False, False]], [True]), tracks(2, [[True, True, False]], [True], 0.5))
    assert both.xy_px[0, :, 0, 0] == pytest.approx([1, 2, np.nan], nan_ok=True)
    assert both.confidence[0, :, 0] == pytest.approx([0.8, 0.5, 0])
    assert list(both.seen[0]) == [True, True, False]


def test_sides_are_matched_and_added() -> None:
    both = merge_keypoints(tracks(1, [[True, False]], [True]), tracks(2, [[True, True], [True, True]], [False, True]))
    assert list(both.is_right) == [True, False]
    assert both.xy_px[:, :, 0, 0] == pytest.approx(np.array([[1, 2], [2, 2]]))


def test_guesses_are_no_evidence() -> None:
    guess = projected_tracks(motion([2, 1, 0, 2]), load_hand_models(), CAMERA, np.arange(4) / 30)
    assert list(guess.seen[0]) == [True, False, False, True]
    assert (guess.confidence[0, 1:3] == 0).all() and (guess.confidence[0, [0, 3]] > 0).all()
    both = merge_keypoints(tracks(1, [[True, False, False, False]], [True]), guess)
    assert list(both.seen[0]) == [True, False, False, True]


def test_projection_is_a_pinhole_and_mirrors() -> None:
    models = load_hand_models()
    right = projected_tracks(motion([2]), models, CAMERA, np.zeros(1))
    left = projected_tracks(motion([2], is_right=False), models, CAMERA, np.zeros(1))
    assert (np.abs(right.xy_px - K[:2, 2]) < 400).all()
    if models.left is models.right:
        assert left.xy_px == pytest.approx(right.xy_px * (-1, 1) + (640, 0))


def test_points_behind_the_camera_are_unseen() -> None:
    behind = motion([2])
    behind.transl[..., 2] = -1.0
    assert not projected_tracks(behind, load_hand_models(), CAMERA, np.zeros(1)).seen.any()


def test_other_frames_are_refused() -> None:
    with pytest.raises(InputError, match="frames"):
        merge_keypoints(tracks(1, [[True]], [True]), tracks(1, [[True, True]], [True]))
