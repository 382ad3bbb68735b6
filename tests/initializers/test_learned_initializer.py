"""The learned initializer: boxes that follow tracks, estimates that come back to the camera, hands that are placed."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hmpfit.errors import InputError
from hmpfit.geometry.rotations import angle_between, exp, log
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.initializers.contradictions import contradicted, replace_contradicted
from hmpfit.initializers.from_network import SHARE, initialize
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.keypoints.blend import merge_keypoints
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.recipes import RunSettings
from hmpfit.records import Camera, HandEstimates, HandMotion, KeypointTracks
from hmpfit.regressors.carry_points import followed_points
from hmpfit.regressors.checkpoints import save_network
from hmpfit.regressors.crops import Crop
from hmpfit.regressors.ifvonet.estimation import certainty, estimate
from hmpfit.regressors.ifvonet.head import HeadOutput
from hmpfit.regressors.ifvonet.network import IFVONet
from hmpfit.regressors.ifvonet.switches import IfvonetSwitches
from hmpfit.regressors.learned import Learned

CAMERA = Camera(np.array([[[500.0, 0, 330], [0, 500, 235], [0, 0, 1]]]), 640, 480)
TINY = IfvonetSwitches(image=64, backbone="light", width=16, heads=2, tiny_start=False, upright=True)


def made(is_right: bool = True, frames: int = 6) -> tuple[HandMotion, KeypointTracks, Any]:
    """A hand that moves, and perfect tracks of it."""
    rng, models = np.random.default_rng(3), load_hand_models("open")
    step = np.arange(frames)[:, None]
    motion = HandMotion(
        (np.array([1.2, 0.3, -0.4]) + 0.03 * step)[None],
        np.repeat(rng.normal(0, 0.2, (1, 1, 15, 3)), frames, 1),
        (np.array([0.02, -0.03, 0.5]) + step * (0.004, 0.0, 0.003))[None],
        rng.normal(0, 0.5, (1, 10)),
        np.array([is_right]),
        np.full((1, frames), 2, np.uint8),
    )
    tracks = projected_tracks(motion, models, CAMERA, np.arange(frames) / 30, confidence=1.0)
    return motion, tracks, models


def estimates_of(motion: HandMotion, tracks: KeypointTracks) -> HandEstimates:
    hands, frames = tracks.seen.shape
    posed = pose_hands(load_hand_models("open"), motion).joints
    pixels = posed @ CAMERA.K[0].T
    return HandEstimates(
        motion.global_orient, motion.hand_pose, np.repeat(motion.betas[:, None], frames, 1),
        pixels[..., :2] / pixels[..., 2:], np.full((hands, frames, 21), 0.8), np.ones((hands, frames), bool),
        motion.is_right,
    )  # fmt: skip


@pytest.mark.parametrize("is_right", [True, False])
def test_perfect_estimates_are_placed_where_the_hand_is(is_right: bool) -> None:
    motion, tracks, models = made(is_right)
    placed, own = initialize(estimates_of(motion, tracks), tracks, CAMERA, models)
    assert np.abs(placed.transl - motion.transl).max() < 1e-6 and (placed.status == 2).all()
    assert np.allclose(placed.global_orient, motion.global_orient) and placed.is_right[0] == is_right
    # the network's joints, moved to the detector's landmarks, are what the detector would have said
    assert np.abs(own.xy_px - tracks.xy_px).max() < 0.05
    assert np.allclose(own.confidence, 0.8 * SHARE)


def test_keypoints_correct_a_network_that_errs_in_the_turn() -> None:
    motion, tracks, models = made()
    R = exp(torch.as_tensor(motion.global_orient))
    wrong = exp(torch.tensor([0.3, -0.25, 0.2], dtype=torch.float64)) @ R
    estimates = replace(estimates_of(motion, tracks), global_orient=log(wrong).numpy())
    placed, _ = initialize(estimates, tracks, CAMERA, models)
    off = angle_between(exp(torch.as_tensor(placed.global_orient)), R)
    assert angle_between(wrong, R).min() > 0.4 and off.max() < 0.03
    assert np.abs(placed.transl - motion.transl).max() < 0.005


def test_frames_that_contradict_the_keypoints_start_from_them(caplog: pytest.LogCaptureFixture) -> None:
    motion, tracks, models = made()
    world = pose_hands(models, motion).joints
    tracks = replace(tracks, world_m=world - world.mean(2, keepdims=True))
    pose = motion.hand_pose.copy()
    pose[0, 2:4] = np.random.default_rng(5).normal(0, 1.2, (2, 15, 3))  # nonsense in two frames
    estimates = estimates_of(replace(motion, hand_pose=pose), tracks)
    placed, _ = initialize(estimates, tracks, CAMERA, models)
    assert contradicted(placed, tracks, CAMERA, models)[0].tolist() == [False, False, True, True, False, False]
    mended = replace_contradicted(placed, tracks, CAMERA, models, "ifvonet")
    assert "in 2 of 6 frames the network contradicts the keypoints" in caplog.text
    assert not contradicted(mended, tracks, CAMERA, models).any() and (mended.status == 2).all()
    kept = [0, 1, 4, 5]
    assert np.array_equal(mended.hand_pose[0, kept], placed.hand_pose[0, kept])
    assert np.array_equal(mended.betas, placed.betas)
    without = replace_contradicted(placed, replace(tracks, world_m=None), CAMERA, models, "ifvonet")
    assert without is placed


def test_frames_that_only_the_network_saw_count_when_it_is_certain() -> None:
    motion, tracks, models = made()
    seen = tracks.seen.copy()
    seen[0, 2:4] = False
    lost = replace(tracks, seen=seen, confidence=np.where(seen[..., None], tracks.confidence, 0))
    estimates = estimates_of(motion, tracks)
    estimates.confidence[0, 3] = 0.05
    placed, own = initialize(estimates, lost, CAMERA, models)
    assert placed.status[0].tolist() == [2, 2, 2, 0, 2, 2]
    assert np.abs(placed.transl[0, 2] - motion.transl[0, 2]).max() < 1e-3  # placed by its own joints
    evidence = merge_keypoints(lost, own)
    assert evidence.seen[0].tolist() == [True, True, True, False, True, True]
    assert np.allclose(evidence.confidence[0, 1], 1.0) and np.allclose(evidence.confidence[0, 2], 0.8 * SHARE)


def test_points_follow_through_short_gaps_and_stop_at_hidden_frames() -> None:
    _, tracks, _ = made(frames=40)
    seen = np.ones((1, 40), bool)
    seen[0, 3:5] = False
    seen[0, 6:38] = False  # longer than a second
    hidden = np.zeros(40, bool)
    hidden[1] = True
    points = followed_points(replace(tracks, seen=seen), hidden, 640)
    known = np.isfinite(points).all((0, 2, 3))
    assert known.tolist() == [True, False, True, True, True, True, *[False] * 32, True, True]
    share = tracks.xy_px[0, 2] + (tracks.xy_px[0, 5] - tracks.xy_px[0, 2]) / 3
    assert np.allclose(points[0, 3], share)


@dataclass
class Frames:
    """As much of a clip as estimation asks for."""

    pictures: np.ndarray
    width: int = 640
    height: int = 480

    def images(self) -> Any:
        return enumerate(self.pictures)


def test_mirrored_pictures_of_a_left_hand_give_the_mirrored_estimates() -> None:
    torch.manual_seed(0)
    network = IFVONet(TINY).eval()
    motion, tracks, models = made()
    pictures = np.random.default_rng(0).integers(0, 255, (6, 480, 640, 3), dtype=np.uint8)
    hidden = np.zeros(6, bool)
    hidden[4] = True
    clip: Any = Frames(pictures)
    right = estimate(network, EstimateRequest(clip, tracks, CAMERA, hidden, models))
    mirror = replace(tracks, xy_px=tracks.xy_px * (-1, 1) + (640, 0), is_right=np.array([False]))
    K = CAMERA.K.copy()
    K[0, 0, 2] = 640 - K[0, 0, 2]
    camera = replace(CAMERA, K=K)
    mirrored_clip: Any = Frames(pictures[:, :, ::-1].copy())
    left = estimate(network, EstimateRequest(mirrored_clip, mirror, camera, hidden, models))
    assert right.estimated[0].tolist() == [True] * 4 + [False, True]
    assert np.allclose(left.global_orient, right.global_orient * (1, -1, -1), atol=1e-5)
    assert np.allclose(left.hand_pose, right.hand_pose * (1, -1, -1), atol=1e-5)
    assert np.allclose(
        left.joints_px, (right.joints_px * (-1, 1) + (640, 0)) * right.estimated[..., None, None], atol=1e-2
    )
    assert (right.confidence[0, 4] == 0).all() and motion.is_right[0]


def test_turning_crop_and_hand_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that always says the same in its crop's axes must be turned into the camera's by the crop."""
    network = IFVONet(TINY).eval()
    said = exp(torch.tensor([0.3, 0.2, 0.1]).expand(16, 3))[None]

    def forward(image: torch.Tensor) -> tuple[HeadOutput]:
        count = len(image)
        middle = torch.full((count, 21, 2), 0.5)
        return (
            HeadOutput(
                said.expand(count, -1, -1, -1), torch.zeros(count, 10), middle, torch.ones(count, 21, 8, 8) / 64
            ),
        )

    monkeypatch.setattr(network, "forward", forward)
    _, tracks, models = made()
    clip: Any = Frames(np.zeros((6, 480, 640, 3), np.uint8))
    out = estimate(network, EstimateRequest(clip, tracks, CAMERA, np.zeros(6, bool), models))
    from hmpfit.regressors.crops import around

    crop = around(tracks.xy_px[0, [1, 2]], upright=True)
    wanted = crop.rotation(CAMERA.K[0]) @ said[0, 0].numpy()
    got = exp(torch.as_tensor(out.global_orient[0, 2])).numpy()
    assert np.abs(got - wanted).max() < 1e-6
    assert np.allclose(out.joints_px[0, 2], crop.center_px)
    # the turn of a crop is seen in the camera: its up axis is where the crop's up points in the picture
    turned = Crop(np.array([330.0, 235.0]), 100.0, 0.4)
    up = turned.rotation(CAMERA.K[0]) @ np.array([0, -1, 0])
    assert np.allclose(up, [np.sin(0.4), -np.cos(0.4), 0])


def test_certainty_runs_from_spread_to_peaked() -> None:
    flat = torch.full((1, 1, 8, 8), 1 / 64)
    spot = torch.zeros(1, 1, 8, 8)
    spot[0, 0, 3, 4] = 1
    assert certainty(flat).item() == 0 and certainty(spot).item() == 1


def test_checkpoints_of_other_networks_and_for_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--checkpoint names weights of a learned initializer, and --init keypoints"):
        RunSettings(checkpoint="x.safetensors")
    save_network(IFVONet(TINY), "ifvonet", TINY, tmp_path / "net.safetensors")
    with pytest.raises(InputError, match="holds the network ifvonet, and stc was asked for"):
        Learned.load("stc", str(tmp_path / "net.safetensors"))
