"""How the camera moved: every part against a scene whose truth is written down here."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmpfit.camera_motion import odometry
from hmpfit.camera_motion.bundle_adjustment import Observations, adjust, pose_step
from hmpfit.camera_motion.classification import classify
from hmpfit.camera_motion.estimation import UNSCALED, CameraPath, path_from_points, with_scale
from hmpfit.camera_motion.hand_masks import HandMasks
from hmpfit.camera_motion.metric_scale import WristPositions, hidden_bound, metric_scale
from hmpfit.camera_motion.point_tracks import PointTracks, track_points, working_images
from hmpfit.camera_motion.stillness import is_still_camera
from hmpfit.errors import InputError
from hmpfit.geometry.alignment import similarity_aligned
from hmpfit.geometry.rigid_transforms import apply, interpolate, inverse, rigid
from hmpfit.recipes.camera_modes import check_camera_mode
from hmpfit.records import Camera, KeypointTracks

FPS, FRAMES, FOCAL = 30.0, 60, 500.0
TIMES_S = np.arange(FRAMES) / FPS
CAMERA = Camera(np.array([[[FOCAL, 0, 320], [0, FOCAL, 240], [0, 0, 1.0]]]), 640, 480, source="given")


def sway(size_m: float, turn_deg: float, hz: float = 1.0) -> np.ndarray:
    """A path [T, 4, 4] of sines: the camera sways and turns."""
    phase = 2 * np.pi * hz * TIMES_S
    place = size_m * np.stack((np.sin(phase), np.sin(0.7 * phase + 1), np.sin(1.3 * phase + 2)), axis=1)
    turn = np.deg2rad(turn_deg) * np.stack((np.sin(0.8 * phase), np.sin(phase + 1), np.sin(0.6 * phase)), axis=1)
    path = rigid(Rotation.from_rotvec(turn).as_matrix(), place)
    return inverse(path[0]) @ path


def seen_points(path: np.ndarray, noise_px: float = 0.3, flat: bool = False, seed: int = 0) -> PointTracks:
    """What a camera on a path sees of 150 points 1.5 to 5 m away (or all on a slanted wall)."""
    generator = np.random.default_rng(seed)
    points = generator.uniform((-1.5, -1.0, 1.5), (1.5, 1.0, 5.0), (150, 3))
    if flat:
        points[:, 2] = 2.5 + 0.4 * points[:, 0]
    rows = []
    for frame, pose in enumerate(inverse(path)):
        inside = points @ pose[:3, :3].T + pose[:3, 3]
        pixels = inside @ CAMERA.K[0].T
        pixels = pixels[:, :2] / pixels[:, 2:] + generator.normal(0, noise_px, (150, 2))
        kept = (inside[:, 2] > 0.1) & (pixels > 0).all(1) & (pixels < (640, 480)).all(1)
        rows += [(frame, point, *pixels[point]) for point in np.flatnonzero(kept)]
    table = np.array(rows)
    return PointTracks(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:], FRAMES, 150)


def normalized(tracks: PointTracks) -> np.ndarray:
    return (tracks.xy_px - (320, 240)) / FOCAL


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("size_m", "turn_deg", "status"), [(0.0, 0.0, "static"), (0.0, 5.0, "rotation"), (0.08, 3.0, "moving")]
)
def test_the_kind_of_motion_is_told_by_homography_against_epipolar_geometry(size_m, turn_deg, status, flat):
    tracks = seen_points(sway(size_m, turn_deg), flat=flat)
    assert classify(tracks, normalized(tracks), TIMES_S, FOCAL).status == status


def test_without_points_the_motion_is_unknown():
    nothing = PointTracks(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2)), FRAMES, 0)
    assert classify(nothing, np.zeros((0, 2)), TIMES_S, FOCAL).status == "unknown"
    assert path_from_points(nothing, CAMERA, TIMES_S).status == "unknown, taken as static"


def test_a_moving_camera_s_path_is_found_up_to_scale():
    true = sway(0.1, 4.0)
    found = path_from_points(seen_points(true), CAMERA, TIMES_S)
    assert found.status == "moving"
    place, truth = found.map_from_camera[:, :3, 3], true[:, :3, 3]
    length = np.linalg.norm(np.diff(truth, axis=0), axis=1).sum()
    error = np.sqrt(((similarity_aligned(place, truth) - truth) ** 2).sum(1).mean())
    assert error < 0.01 * length
    turned = Rotation.from_matrix(found.map_from_camera[:, :3, :3].transpose(0, 2, 1) @ true[:, :3, :3]).magnitude()
    assert np.rad2deg(turned).max() < 0.3


def test_a_turning_camera_s_rotation_is_found_and_it_stays_where_it_is():
    true = sway(0.0, 8.0)
    found = path_from_points(seen_points(true), CAMERA, TIMES_S)
    assert found.status == "rotation"
    assert (found.map_from_camera[:, :3, 3] == 0).all()
    turned = Rotation.from_matrix(found.map_from_camera[:, :3, :3].transpose(0, 2, 1) @ true[:, :3, :3]).magnitude()
    assert np.rad2deg(turned).max() < 0.2


def test_bundle_adjustment_returns_to_the_truth():
    generator = np.random.default_rng(1)
    path = inverse(sway(0.2, 5.0)[::6])
    points = generator.uniform((-1, -1, 2), (1, 1, 4), (40, 3))
    pose, point = (grid.ravel() for grid in np.meshgrid(np.arange(len(path)), np.arange(40), indexing="ij"))
    inside = (path[pose, :3, :3] @ points[point][..., None])[..., 0] + path[pose, :3, 3]
    seen = Observations(pose, point, inside[:, :2] / inside[:, 2:])
    free = np.arange(len(path)) > 1
    wrong = path[:, :3, 3] + generator.normal(0, 0.02, (len(path), 3)) * free[:, None]
    rotation, translation, found = adjust(
        path[:, :3, :3], wrong, points + generator.normal(0, 0.05, points.shape), seen, free, huber=0.01
    )
    assert np.abs(found - points).max() < 1e-5
    assert np.abs(translation - path[:, :3, 3]).max() < 1e-5
    assert np.abs(rotation - path[:, :3, :3]).max() < 1e-5


def hands_before(path: np.ndarray, world_m: np.ndarray, noise: float = 0.01) -> WristPositions:
    """Where a hand at world_m [T, 3] is before the camera, its depth off by 1 %."""
    place = apply(inverse(path), world_m[:, None])[:, 0]
    return WristPositions((place * (1 + np.random.default_rng(2).normal(0, noise, (FRAMES, 1))))[None], TIMES_S)


def test_poses_that_see_nothing_stay_where_they_are():
    nothing = Observations(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2)))
    rotation, translation = Rotation.from_rotvec(np.eye(3)[:2]).as_matrix(), np.eye(3)[:2]
    moved = pose_step(rotation, translation, np.ones((4, 3)), nothing, 0.01)
    np.testing.assert_allclose(moved[0], rotation, atol=1e-12)
    np.testing.assert_allclose(moved[1], translation, atol=1e-12)


def test_the_scale_is_found_where_the_camera_shakes_and_the_hand_does_not():
    path = sway(0.05, 2.0)
    hand = np.array([0.0, 0.05, 0.5]) + 0.03 * np.stack([np.sin(TIMES_S), np.cos(TIMES_S), 0.3 * TIMES_S], axis=1)
    unscaled = path.copy()
    unscaled[:, :3, 3] /= 2.5
    scale = metric_scale(hands_before(path, hand), unscaled)
    assert scale.observed
    assert abs(np.log(scale.meters_per_unit / 2.5)) < max(3 * scale.std, 0.02)
    assert scale.std < 0.1


def test_a_drifting_depth_leaves_the_scale_right_on_average_and_within_its_deviation():
    path = sway(0.05, 2.0)
    hand = np.array([0.0, 0.05, 0.5]) + 0.03 * np.stack([np.sin(TIMES_S), np.cos(TIMES_S), 0.3 * TIMES_S], axis=1)
    errors, stds = [], []
    for seed in range(8):
        generator, drift = np.random.default_rng(seed), np.zeros(FRAMES)
        for frame in range(1, FRAMES):
            keep = np.exp(-(TIMES_S[frame] - TIMES_S[frame - 1]) / 1.2)
            drift[frame] = keep * drift[frame - 1] + 0.055 * np.sqrt(1 - keep**2) * generator.normal()
        hands = hands_before(path, hand)
        hands.place[:] *= np.exp(drift - drift.mean())[:, None]
        scale = metric_scale(hands, path)
        assert scale.observed
        errors.append(np.log(scale.meters_per_unit))
        stds.append(scale.std)
    assert abs(np.mean(errors)) < 0.015  # -0.034 where the mean of the drift is free
    assert np.sqrt(np.mean((np.array(errors) / stds) ** 2)) < 2


@pytest.mark.parametrize("kind", ["smooth camera", "carried hand", "unseen hand"])
def test_the_scale_is_called_unobserved_rather_than_invented(kind):
    path = sway(0.05, 2.0)
    if kind == "smooth camera":
        path = rigid(np.repeat(np.eye(3)[None], FRAMES, 0), np.outer(TIMES_S, (0.1, 0, 0)))
    hand = np.array([0.0, 0.05, 0.5]) + (path[:, :3, 3] if kind == "carried hand" else np.zeros((FRAMES, 3)))
    hands = hands_before(path, hand)
    if kind == "unseen hand":
        hands.place[:, 3:] = np.nan
    unscaled = path.copy()
    unscaled[:, :3, 3] /= 2.5
    assert not metric_scale(hands, unscaled).observed
    tracks = KeypointTracks(
        np.full((1, FRAMES, 21, 2), 300.0),
        np.ones((1, FRAMES, 21)),
        np.ones((1, FRAMES), bool),
        np.ones(1, bool),
        TIMES_S,
    )
    motion = with_scale(CameraPath("moving", "", unscaled, np.zeros((0, 3))), tracks, hands.place, CAMERA, 0.05)
    assert motion.status == UNSCALED
    assert not motion.known
    assert np.isnan(motion.world_from_camera[1:, :3, 3]).all()
    assert np.isfinite(motion.world_from_camera[:, :3, :3]).all()
    assert np.array_equal(motion.map_from_camera, unscaled)


def test_a_hand_is_before_what_it_hides():
    square = np.array([[300, 220], [340, 220], [340, 260], [300, 260.0]])
    hand_px = np.concatenate((square, np.full((17, 2), (320.0, 240.0))))
    hands_px = np.repeat(hand_px[None], 20, axis=0)[None]
    points = np.array([[0, 0, 1.0], [0.02, 0.01, 1.0], [2.0, 0, 1.0]])  # two behind the hand, one beside it
    bound = hidden_bound(hands_px, np.full((1, 20), 0.5), CAMERA.K[0], np.repeat(np.eye(4)[None], 20, 0), points)
    assert bound == pytest.approx(0.5)


def test_the_mask_covers_hand_and_forearm_and_holds_for_a_moment():
    xy = np.full((1, FRAMES, 21, 2), np.nan)
    xy[0, :30] = (320, 200) + 30 * np.random.default_rng(0).uniform(-1, 1, (21, 2))
    xy[0, :30, 0], xy[0, :30, 9] = (320, 240), (320, 190)
    seen = np.isfinite(xy).all((2, 3))
    masks = HandMasks.of(KeypointTracks(xy, seen[..., None] * np.ones(21), seen, np.array([True]), TIMES_S))
    for frame, covered in ((0, True), (40, True), (55, False)):
        outside = masks.outside(frame, 640, 480, 1.0)
        assert (outside[200, 320] == 0) == covered
        assert (outside[340, 320] == 0) == covered  # the forearm
        assert outside[200, 100] == 255


def test_stillness_is_not_fooled_by_noise_light_or_something_that_crosses():
    generator = np.random.default_rng(0)
    import cv2

    small = generator.uniform(40, 200, (60, 80)).astype(np.float32)
    wall = cv2.resize(small, (400, 300), interpolation=cv2.INTER_CUBIC)

    def frames(shift_px: float):
        for frame in range(8):
            moved = cv2.warpAffine(wall, np.float32([[1, 0, -20 - shift_px * frame], [0, 1, -20]]), (320, 240))
            moved[60:180, 30 * frame : 30 * frame + 60] = 90  # a person walks through
            noisy = moved * (1 + 0.03 * frame) + generator.normal(0, 2, moved.shape)
            yield frame, np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    def everywhere(frame, width, height, scale):
        return np.full((height, width), 255, np.uint8)

    assert is_still_camera(working_images(frames(0.0)), everywhere, 8) is True
    assert is_still_camera(working_images(frames(0.6)), everywhere, 8) is False
    empty = ((frame, np.full((240, 320, 3), 99, np.uint8)) for frame in range(8))
    assert is_still_camera(working_images(empty), everywhere, 8) is None


def test_a_camera_is_still_where_a_wide_quarter_of_the_scene_is_however_much_moves_before_it():
    import cv2

    small = np.random.default_rng(0).uniform(40, 200, (120, 160)).astype(np.float32)
    wall = cv2.resize(small, (800, 600), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    still = wall[:240, :320].copy()

    def frames(share: float):
        for frame in range(8):
            image = wall[40 + 3 * frame :, 3 * frame :][:240, :320].copy()  # moves as a whole
            for left in range(0, 320, 40):  # but for stripes all over the picture
                stripe = slice(left, left + round(40 * share))
                image[:, stripe] = still[:, stripe]
            yield frame, np.repeat(image[..., None], 3, axis=2)

    def everywhere(frame, width, height, scale):
        return np.full((height, width), 255, np.uint8)

    assert is_still_camera(working_images(frames(0.425)), everywhere, 8) is True
    assert is_still_camera(working_images(frames(0.15)), everywhere, 8) is False


def test_transforms_interpolate_and_invert():
    path = sway(0.2, 20.0)
    assert np.allclose(path @ inverse(path), np.eye(4))
    assert np.allclose(interpolate(path, TIMES_S, TIMES_S), path)
    half = interpolate(path[:2], np.array([0.0, 1.0]), np.array([0.5]))[0]
    assert np.allclose(half[:3, 3], path[:2, :3, 3].mean(0))


def test_an_unknown_mode_is_refused_with_what_is_known():
    with pytest.raises(InputError, match="auto, static, moving, file:PATH"):
        check_camera_mode("shaky")


def test_a_thing_that_moves_before_a_plain_wall_is_no_moving_camera():
    tracks = seen_points(sway(0.1, 4.0))
    near_middle = (np.abs(tracks.xy_px - (320, 240)) < 60).all(1)
    thing = PointTracks(
        tracks.frame[near_middle], tracks.point[near_middle], tracks.xy_px[near_middle], FRAMES, tracks.points
    )
    assert classify(thing, normalized(thing), TIMES_S, FOCAL).status == "unknown"


def test_followed_points_do_not_drift_away_from_what_they_show():
    import cv2

    generator = np.random.default_rng(0)
    wall = cv2.resize(generator.uniform(110, 150, (90, 110)).astype(np.float32), (700, 500))
    shift = 0.37 * np.stack((np.arange(40), -0.7 * np.arange(40)), axis=1)  # pixels, of what is shown

    def images():
        for frame, (x, y) in enumerate(shift):
            moved = cv2.warpAffine(wall, np.float32([[1, 0, x - 60], [0, 1, y - 40]]), (480, 360))
            noisy = moved + generator.normal(0, 6, moved.shape)
            yield frame, np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    tracks = track_points(images(), 40, lambda frame, width, height, scale: np.full((height, width), 255, np.uint8))
    start = {}
    for row, point in enumerate(tracks.point):
        start.setdefault(int(point), row)
    first = np.array([start[int(point)] for point in tracks.point])
    age = tracks.frame - tracks.frame[first]
    wrong = tracks.xy_px - tracks.xy_px[first] - (shift[tracks.frame] - shift[tracks.frame[first]])
    old = age >= 30
    assert old.sum() > 500
    assert np.sqrt((wrong[old] ** 2).mean()) < 0.6  # 1.0 without references


def test_a_wrong_first_pair_does_not_end_the_path(monkeypatch):
    true = sway(0.1, 4.0)
    tracks = seen_points(true)
    first_pairs = odometry._first_pairs

    def wrong_one_first(*arguments):
        a, b, rotation, _ = first_pairs(*arguments)[0]
        return [(a, b, rotation, np.array([0.0, 0.0, -1.0])), *first_pairs(*arguments)]

    monkeypatch.setattr(odometry, "_first_pairs", wrong_one_first)
    found = odometry.camera_map(tracks, normalized(tracks), TIMES_S, FOCAL)
    assert found is not None and found.frames_lost == 0
    place, truth = found.map_from_camera[:, :3, 3], true[:, :3, 3]
    assert np.abs(similarity_aligned(place, truth) - truth).max() < 0.02
