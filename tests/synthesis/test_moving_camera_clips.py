"""Truth clips with moving cameras: the picture, the truth file and the geometry agree."""

import numpy as np
import pytest

from hmpfit.camera_motion.pose_files import ClipTimes, read_camera_path
from hmpfit.geometry.rigid_transforms import apply, inverse, rigid
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.hands.rigid_motion import move_hands
from hmpfit.records import Camera
from hmpfit.synthesis.camera_paths import KINDS, sample_camera_path
from hmpfit.synthesis.clips import make_clip
from hmpfit.synthesis.room import Rectangle, Room
from hmpfit.synthesis.scenes import sample_scene

CAMERA = Camera(np.array([[[80.0, 0, 48], [0, 80.0, 32], [0, 0, 1]]]), 96, 64, source="given")


def test_a_mark_on_a_wall_is_seen_where_it_projects_and_the_nearest_wall_hides_others():
    texture = np.full((200, 200, 3), 100, np.uint8)
    texture[98:102, 148:152] = 255  # at (0.75, 0.5) of the wall: world (0.5, 0, 3)
    far = Rectangle(np.array([-1, -1, 3.0]), np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), texture)
    pose = rigid(np.eye(3), np.array([0.2, -0.1, 0.5]))
    image = Room((far,)).image(CAMERA, pose)
    row, column = np.unravel_index(image[..., 0].argmax(), image.shape[:2])
    xyz = apply(inverse(pose), np.array([[0.5, 0.0, 3.0]]))[0]
    expected = CAMERA.K[0] @ xyz / xyz[2]
    assert np.abs(np.array([column, row]) + 0.5 - expected[:2]).max() <= 1.0
    near = Rectangle(np.array([-1, -1, 2.0]), np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), texture // 4)
    for order in ((far, near), (near, far)):
        assert Room(order).image(CAMERA, pose)[20:40, 30:60].max() <= 63


@pytest.mark.parametrize("kind", KINDS)
def test_paths_are_proper_repeatable_and_of_their_kind(kind):
    path, again = (sample_camera_path(kind, 60, 30.0, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(path.world_from_camera, again.world_from_camera)
    turn = path.world_from_camera[:, :3, :3]
    assert np.allclose(turn @ turn.transpose(0, 2, 1), np.eye(3))
    moves = np.ptp(path.world_from_camera[:, :3, 3], axis=0).max() > 0.01
    turns = np.abs(turn - turn[0]).max() > 1e-3
    assert (moves, turns) == {"static": (False, False), "pan": (False, True)}.get(kind, (True, True))
    assert (np.abs(path.carried_m).max() > 0) == (kind == "walk")


def test_hands_moved_by_a_transform_have_their_joints_moved_by_it():
    models = load_hand_models("open")
    scene = sample_scene(models, 3, 6, "both", 96, 64, None)
    path = sample_camera_path("orbit", 6, 30.0, np.random.default_rng(0)).world_from_camera
    moved = pose_hands(models, move_hands(scene.motion, models, path)).joints
    assert np.allclose(moved, np.stack([apply(path, hand) for hand in scene.joints]), atol=1e-9)


def test_the_truth_file_says_where_camera_and_hands_are(tmp_path):
    models = load_hand_models("open")
    still = sample_scene(models, 3, 4, "right", 96, 64, None)
    scene = sample_scene(models, 3, 4, "right", 96, 64, None, camera_path="handheld")
    make_clip(tmp_path, scene.motion, models, scene.camera, 3, 30.0, scene.look, place=scene.place)
    with np.load(tmp_path / "truth.npz") as truth:
        assert str(truth["camera_status"]) == "moving"
        assert np.allclose(truth["joints_world"][0], apply(truth["world_from_camera"], truth["joints"][0]))
        # a hand before a moving camera is where the hand before the still one is, seen from the world
        assert np.allclose(truth["joints_world"], still.joints, atol=1e-9)
        times_s = truth["times_s"]
        assert np.allclose(read_camera_path(tmp_path, ClipTimes(times_s)), truth["world_from_camera"])
