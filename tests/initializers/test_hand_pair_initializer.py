"""Two-hand networks as initializers: windows over any length, averaging, crops' axes, missing hands, both ways in."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.initializers.contradictions import replace_contradicted
from hmpfit.initializers.from_network import initialize
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.records import DETECTED, Camera, HandMotion, KeypointTracks
from hmpfit.regressors.samples import View
from hmpfit.regressors.two_hands.accept_estimates import accept_estimates
from hmpfit.regressors.two_hands.estimate_pair import PairEstimate, PairOutput, PairParameters, estimate_pair
from hmpfit.regressors.two_hands.pair_crops import JointCrop, SeparateCrops, crop_pair
from hmpfit.regressors.two_hands.pasted_image import offset
from hmpfit.regressors.two_hands.tracks import points_to_see
from hmpfit.regressors.two_hands.windows import sliding_windows
from hmpfit.synthesis.demo_motion import PALM_TO_CAMERA
from hmpfit.video.clip import Clip
from tests.model_fixtures import invented_model

FRAMES = 11
CAMERA = Camera(np.array([[[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]]), 640, 480)


class Gray:
    """A clip whose frame t has the gray level 10 t."""

    width, height, fps = 640, 480, 30.0

    def __init__(self, frames: int) -> None:
        self.times_s = np.arange(frames) / 30.0

    def decoded(self, start: int, stop: int):
        return (partial(np.full, (480, 640, 3), 10 * frame, np.uint8) for frame in range(start, stop))

    def hash_into(self, digest) -> None:
        digest.update(b"gray")


def clip(frames: int = FRAMES) -> Clip:
    store = Gray(frames)
    return Clip("gray", 0, store.times_s, 30.0, store)


@pytest.fixture(scope="module")
def motion() -> HandMotion:
    rng = np.random.default_rng(1)
    turns = torch.as_tensor(rng.normal(0, 0.3, (2, FRAMES, 3)).cumsum(1) * 0.2)
    orient = rotations.log(rotations.exp(turns) @ torch.as_tensor(PALM_TO_CAMERA)).numpy()
    pose = rng.uniform(0, 0.4, (2, FRAMES, 15, 1)) * [0.0, 0.0, 1.0]
    away = np.array([[-0.08, 0.05, 0.5], [-0.09, 0.02, 0.55]])[:, None] + rng.normal(0, 0.005, (2, FRAMES, 3))
    upright = HandMotion(
        orient, pose, away, rng.normal(0, 0.5, (2, 10)), np.array([True, True]),
        np.full((2, FRAMES), DETECTED, np.uint8),
    )  # fmt: skip
    return upright.mirrored(np.array([False, True]))


@pytest.fixture(scope="module")
def tracks(motion: HandMotion, models: HandModels) -> KeypointTracks:
    return projected_tracks(motion, models, CAMERA, np.arange(FRAMES) / 30.0, confidence=1.0)


def truth_as_estimate(motion: HandMotion, models: HandModels, with_parameters: bool) -> PairEstimate:
    joints = pose_hands(models, motion).joints
    upright = motion.mirrored(~motion.is_right)
    found = PairEstimate(np.ones(FRAMES, bool), 0.7 * (joints - joints[:, :, :1]))
    if not with_parameters:
        return found
    turned = rotations.exp(torch.as_tensor(upright.global_orient)).numpy()
    betas = np.repeat(upright.betas[:, None], FRAMES, axis=1)
    return replace(found, orient_R=turned, hand_pose=upright.hand_pose, betas=betas)


def placed(
    found: PairEstimate, tracks: KeypointTracks, models: HandModels, own: HandModels | None = None
) -> HandMotion:
    estimates = accept_estimates(found, own or models, tracks, CAMERA, models)
    return initialize(estimates, tracks, CAMERA, models)[0]


def mean_error_mm(a: HandMotion, b: HandMotion, models: HandModels) -> float:
    return 1e3 * float(np.linalg.norm(pose_hands(models, a).joints - pose_hands(models, b).joints, axis=-1).mean())


def test_true_parameters_come_back_where_they_were(
    motion: HandMotion, tracks: KeypointTracks, models: HandModels
) -> None:
    found = placed(truth_as_estimate(motion, models, with_parameters=True), tracks, models)
    assert found.is_right.tolist() == [True, False] and (found.status == DETECTED).all()
    assert mean_error_mm(found, motion, models) < 0.01
    estimates = accept_estimates(truth_as_estimate(motion, models, True), models, tracks, CAMERA, models)
    own = pose_hands(models, motion).joints @ CAMERA.K[0].T
    assert np.abs(estimates.joints_px - own[..., :2] / own[..., 2:]).max() < 0.01


def test_points_of_another_size_become_parameters(
    motion: HandMotion, tracks: KeypointTracks, models: HandModels
) -> None:
    found = placed(truth_as_estimate(motion, models, with_parameters=False), tracks, models)
    posed, true = pose_hands(models, found).joints, pose_hands(models, motion).joints
    apart = (posed - posed[:, :, :1]) - (true - true[:, :, :1])
    assert 1e3 * np.linalg.norm(apart, axis=-1).mean() < 6  # the size of the hand is only known to its prior
    assert (found.status == DETECTED).all()


def test_parameters_of_another_hand_go_through_their_joints(
    motion: HandMotion, tracks: KeypointTracks, models: HandModels
) -> None:
    estimate = truth_as_estimate(motion, models, with_parameters=True)
    other = HandModels(*[replace(invented_model(), fingerprint="other")] * 2)
    nonsense = replace(estimate, hand_pose=np.full_like(motion.hand_pose, np.nan))
    found = placed(nonsense, tracks, models, own=other)
    assert np.isfinite(found.hand_pose).all() and (found.status == DETECTED).all()


def test_a_hand_that_misses_its_keypoints_is_not_believed(
    motion: HandMotion, tracks: KeypointTracks, models: HandModels, caplog: pytest.LogCaptureFixture
) -> None:
    estimate = truth_as_estimate(motion, models, with_parameters=True)
    assert estimate.orient_R is not None
    turned = estimate.orient_R.copy()
    turned[0, 3] = turned[0, 3] @ np.diag([-1.0, 1, -1])  # the fingers point the other way
    found = placed(replace(estimate, orient_R=turned), tracks, models)
    assert (found.status[0] == DETECTED).tolist() == [frame != 3 for frame in range(FRAMES)]
    assert (found.status[1] == DETECTED).all()
    joints = pose_hands(models, motion).joints
    with_world = replace(tracks, world_m=joints - joints.mean(2, keepdims=True))
    part = replace_contradicted(
        placed(replace(estimate, orient_R=turned), tracks, models), with_world, CAMERA, models, "stc"
    )
    assert (part.status == DETECTED).all() and mean_error_mm(part, motion, models) < 5
    everywhere = estimate.orient_R @ np.diag([-1.0, 1, -1])
    with caplog.at_level("INFO", logger="hmpfit"):
        found = placed(replace(estimate, orient_R=everywhere), tracks, models)
    assert not (found.status == DETECTED).any() and f"{FRAMES} of {FRAMES} frames" in caplog.text
    completed = replace_contradicted(found, with_world, CAMERA, models, "stc")
    assert (completed.status == DETECTED).all()
    relative = [joints - joints[:, :, :1] for joints in (pose_hands(models, m).joints for m in (completed, motion))]
    assert 1e3 * np.linalg.norm(relative[0] - relative[1], axis=-1).mean() < 8
    assert np.array_equal(
        replace_contradicted(found, tracks, CAMERA, models, "stc").status, found.status
    )  # no 3D landmarks


def test_a_lost_hand_has_no_estimates_and_of_two_tracks_of_a_side_the_longer_counts(
    motion: HandMotion, tracks: KeypointTracks, models: HandModels
) -> None:
    estimate = truth_as_estimate(motion, models, with_parameters=True)
    lost = replace(tracks, seen=tracks.seen & np.array([[True], [False]]))
    found = accept_estimates(estimate, models, lost, CAMERA, models)
    assert found.estimated.all(1).tolist() == [True, False] and not found.estimated[1].any()
    twice = {
        name: np.concatenate((value, value[:1]))
        for name, value in vars(tracks).items() if isinstance(value, np.ndarray) and name != "times_s"
    }  # fmt: skip
    twice["seen"][0, 1:] = False
    found = accept_estimates(estimate, models, replace(tracks, **twice), CAMERA, models)
    assert found.estimated.any(1).tolist() == [False, True, True]


def test_hidden_frames_are_not_looked_at(tracks: KeypointTracks) -> None:
    hidden = np.arange(FRAMES) == 4
    points = points_to_see(tracks, hidden, 640)
    assert np.isnan(points[:, 4]).all()
    assert np.allclose(np.delete(points, 4, axis=1), np.delete(tracks.xy_px, 4, axis=1))
    for window in sliding_windows(points, 4, 1.25):
        assert 4 not in window.shown and len(window.shown) == 4


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 7, 11])
def test_windows_cover_every_frame_of_any_length(tracks: KeypointTracks, frames: int) -> None:
    points = tracks.xy_px[:, :frames]
    windows = sliding_windows(points, 6, 1.25)
    covered = np.zeros(frames, int)
    for window in windows:
        assert window.shown == tuple(range(window.start, window.stop)) and len(window.shown) == min(6, frames)
        covered[window.start : window.stop] += 1
        assert isinstance(window.crop, JointCrop)
        inside = window.crop.crop.from_image(points[:, window.start : window.stop])
        assert (inside > 0.05).all() and (inside < 0.95).all()
    assert (covered >= 1).all()


def test_a_window_without_one_hand_shows_the_other_beside_its_mirror_image(tracks: KeypointTracks) -> None:
    points = tracks.xy_px.copy()
    points[1, :6] = np.nan
    first, last = (sliding_windows(points, 3, 1.25)[end].crop for end in (0, -1))
    assert isinstance(first, SeparateCrops) and first.mirrored == (False, True) and first.tiles[0] == first.tiles[1]
    assert isinstance(last, JointCrop) and (last.crop.from_image(tracks.xy_px[:, -1]) < 1).all()
    middle = np.concatenate((np.zeros((480, 320, 3)), np.full((480, 320, 3), 200.0)), axis=1).astype(np.uint8)
    alone = crop_pair(
        np.stack((np.full((1, 21, 2), np.nan), points[:1, 0] * 0 + (np.arange(21) * 2 + 300)[:, None])), 1.25
    )
    cut = alone.cut(middle, 64)[32, :, 0]
    assert cut[0] == cut[-1] == 200 and cut[20] == cut[43] == 0  # dark is left in the image, right in the mirror


@pytest.mark.parametrize("swapped", [False, True])
def test_hands_far_apart_are_pasted_and_their_axes_come_back(
    motion: HandMotion, models: HandModels, swapped: bool
) -> None:
    away = np.array([[[0.3 if swapped else -0.3, 0.02, 0.8]], [[0.3 if swapped else -0.3, -0.1, 0.9]]])
    upright = motion.mirrored(~motion.is_right)
    moved = replace(upright, transl=np.broadcast_to(away, upright.transl.shape).copy()).mirrored(~motion.is_right)
    joints = pose_hands(models, moved).joints[:, :1]
    pixels = joints @ CAMERA.K[0].T
    look = crop_pair(pixels[..., :2] / pixels[..., 2:], 1.25)
    assert (
        isinstance(look, SeparateCrops)
        and look.mirrored == (False, False)
        and look.places == ((1, 0) if swapped else (0, 1))
    )
    # What stands for a network: it sees each hand where its tile lies in the pasted picture, as if there.
    for side, (tile, place) in enumerate(zip(look.tiles, look.places)):
        inside = tile.from_image(pixels[side, 0, :, :2] / pixels[side, 0, :, 2:]) * 160 + offset(160, place)
        seen = look.crop.from_image(inside)
        assert (seen > 0.05).all() and (seen < 0.95).all()
        about = (joints[side, 0] - joints[side, 0, :1]) @ look.rotations(CAMERA.K[0])[side]  # in the network's axes
        flat = about[:, :2] / (seen - seen[:1] + 1e-12)[..., :2]
        scale = np.median(np.abs(flat[1:]))
        assert np.abs(about[:, :2] / scale - (seen - seen[:1])).max() < 0.06  # what it sees is what it says


def test_averages_of_overlapping_windows_in_the_cameras_axes(tracks: KeypointTracks, models: HandModels) -> None:
    shape = torch.arange(63.0).reshape(21, 3) * 1e-3
    shape = shape - shape[0]
    turn = rotations.exp(torch.tensor([0.2, -0.1, 0.3]))
    calls = []

    def network(pictures: Tensor) -> PairOutput:
        assert pictures.shape[1:] == (4, 3, 32, 32)
        calls.append(len(pictures))
        gray = pictures.mean((-1, -2, -3)) * 255 / 10  # the number of the frame
        joints = gray[..., None, None, None] * shape.expand(*pictures.shape[:2], 2, 21, 3) + 5.0
        parameters = PairParameters(
            turn.expand(*pictures.shape[:2], 2, 3, 3), torch.full((*pictures.shape[:2], 2, 15, 3), 0.1),
            gray[..., None, None].expand(*pictures.shape[:2], 2, 10),
        )  # fmt: skip
        return PairOutput(joints, parameters)

    view = View(size=32, frames=4, hands=2, margin=1.25)
    request = EstimateRequest(clip(), tracks, CAMERA, np.zeros(FRAMES, dtype=bool), models)
    found = estimate_pair(request, tracks.xy_px, network, view)
    windows = sliding_windows(tracks.xy_px, 4, 1.25)
    assert sum(calls) == len(windows) and found.known.all()
    assert found.orient_R is not None and found.betas is not None and found.hand_pose is not None
    for frame in range(FRAMES):
        axes = [w.crop.rotations(CAMERA.K[0])[0] for w in windows if w.start <= frame < w.stop]
        expected = np.mean([frame * shape.numpy() @ R.T for R in axes], axis=0)
        assert np.allclose(found.joints[:, frame], expected, atol=1e-5)
        right = rotations.project_to_so3(torch.as_tensor(np.mean([R @ turn.double().numpy() for R in axes], axis=0)))
        assert np.allclose(found.orient_R[0, frame], right, atol=1e-6)
    assert np.allclose(found.hand_pose, 0.1, atol=1e-6)
    assert np.allclose(found.betas, np.arange(FRAMES)[None, :, None], atol=1e-4)
