"""Lens models beside OpenCV's, their derivatives beside finite differences, and what is fitted through them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from hmpfit.fitting.stages import fit
from hmpfit.geometry.cameras import mirror_intrinsics, project, rays
from hmpfit.geometry.lenses import mirror_distortion
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.initializers.from_keypoints import initialize
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.recipes.loading import load_recipe
from hmpfit.records import Camera, HandMotion

K = np.array([[500.0, 0.0, 322.0], [0.0, 510.0, 175.0], [0.0, 0.0, 1.0]])
LENSES = {
    "fisheye": np.array([-0.02, 0.01, -0.004, 0.001]),
    "radial_tangential": np.array([-0.28, 0.09, 0.002, -0.003, -0.01]),
    "rational": np.array([0.4, -0.1, 0.001, 0.002, 0.01, 0.6, -0.05, 0.02]),
}


def points_in_view(count: int, seed: int = 0) -> np.ndarray:
    """Return camera-frame points all over a wide view."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.3, 2.0, count)
    return np.stack((rng.uniform(-0.6, 0.6, count) * z, rng.uniform(-0.5, 0.5, count) * z, z), axis=1)


def opencv(points: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """Project with OpenCV."""
    still = np.zeros(3)
    if len(distortion) == 4:
        return cv2.fisheye.projectPoints(points[:, None], still, still, K, distortion)[0][:, 0]
    return cv2.projectPoints(points[:, None], still, still, K, distortion)[0][:, 0]


@pytest.mark.parametrize("name", LENSES)
def test_projection_is_opencvs(name: str) -> None:
    points, lens = points_in_view(200), LENSES[name]
    found = project(torch.as_tensor(points), torch.as_tensor(K), torch.as_tensor(lens)).numpy()
    np.testing.assert_allclose(found, opencv(points, lens), atol=1e-6)


@pytest.mark.parametrize("name", LENSES)
def test_rays_undo_the_projection(name: str) -> None:
    points, lens = points_in_view(200, 1), LENSES[name]
    xy = project(torch.as_tensor(points), torch.as_tensor(K), torch.as_tensor(lens)).numpy()
    found = rays(xy, K, lens)
    np.testing.assert_allclose(found, points / np.linalg.norm(points, axis=1, keepdims=True), atol=1e-7)


def test_a_fisheye_sees_beyond_a_right_angle_and_along_its_axis() -> None:
    lens = torch.as_tensor(LENSES["fisheye"])
    points = torch.tensor([[0.5, 0.1, -0.1], [0.0, 0.0, 0.7], [1e-9, 0.0, 0.7]], dtype=torch.float64)
    xy = project(points, torch.as_tensor(K), lens)
    np.testing.assert_allclose(rays(xy.numpy(), K, LENSES["fisheye"])[0], points[0] / points[0].norm(), atol=1e-7)
    np.testing.assert_allclose(xy[1:].numpy(), np.tile(K[:2, 2], (2, 1)), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LENSES)
def test_derivatives_are_finite_differences(name: str, dtype: torch.dtype) -> None:
    lens, camera = torch.as_tensor(LENSES[name]), torch.as_tensor(K)
    points = torch.as_tensor(np.concatenate((points_in_view(40, 2), [[0.0, 0.0, 0.5]])))
    step = 1e-6
    moved = points[:, None, None] + step * torch.stack((torch.eye(3), -torch.eye(3))).double()
    both = project(moved, camera, lens)
    expected = ((both[:, 0] - both[:, 1]) / (2 * step)).mT
    low = [value.to(dtype) for value in (points, camera, lens)]
    found = torch.func.vmap(torch.func.jacrev(lambda point: project(point, low[1], low[2])))(low[0])
    assert torch.isfinite(found).all()
    scale = expected.abs().max()
    assert float((found.double() - expected).abs().max() / scale) < (1e-6 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("name", LENSES)
def test_a_mirrored_lens_shows_the_mirrored_picture(name: str) -> None:
    points, width = points_in_view(50, 3), 640
    xy = project(torch.as_tensor(points), torch.as_tensor(K), torch.as_tensor(LENSES[name])).numpy()
    there = torch.as_tensor(points * (-1, 1, 1))
    mirrored = project(
        there, torch.as_tensor(mirror_intrinsics(K, width)), torch.as_tensor(mirror_distortion(LENSES[name]))
    ).numpy()
    np.testing.assert_allclose(mirrored, xy * (-1, 1) + (width, 0), atol=1e-9)


@pytest.mark.parametrize(("name", "is_right"), [("fisheye", True), ("radial_tangential", False), ("rational", False)])
def test_the_initializer_finds_a_hand_at_the_edge_through_any_lens(name: str, is_right: bool) -> None:
    models = load_hand_models("open")
    side = np.array([is_right])
    motion = HandMotion(
        np.zeros((1, 1, 3)), np.full((1, 1, 15, 3), 0.05), np.array([[[0.32, 0.16, 0.6]]]), np.zeros((1, 10)), side,
        np.full((1, 1), 2, np.uint8),
    )  # fmt: skip
    camera = Camera(K[None], 640, 360, LENSES[name], "given")
    tracks = projected_tracks(motion, models, camera, np.zeros(1), confidence=1.0)
    plain = projected_tracks(motion, models, replace(camera, distortion=None), np.zeros(1))
    assert np.linalg.norm(tracks.xy_px - plain.xy_px, axis=-1).max() > 10, "the lens bends what is seen"
    world = landmarks(motion, models)
    found = initialize(replace(tracks, world_m=world - world.mean(2, keepdims=True)), camera, models)
    joints, truth = (pose_hands(models, one).joints for one in (found, motion))
    assert np.linalg.norm(joints - truth, axis=-1).max() < 0.02


def landmarks(motion: HandMotion, models: object) -> np.ndarray:
    """Return the landmark points [H, T, 21, 3] of a motion."""
    from hmpfit.keypoints.projected import posed_landmarks

    return posed_landmarks(motion, models)


@pytest.mark.parametrize("is_right", [True, False])
def test_a_fit_through_a_fisheye_meets_the_truth(is_right: bool) -> None:
    """A hand that moves near the border is where it is; the same pixels taken for a pinhole's put it elsewhere."""
    models, frames = load_hand_models("open"), 8
    way = np.linspace(0.22, 0.3, frames)
    motion = HandMotion(
        np.tile([0.1, 0.2, 0.0], (1, frames, 1)), np.full((1, frames, 15, 3), 0.05),
        np.stack((way, 0.5 * way, np.full(frames, 0.45)), axis=-1)[None], np.zeros((1, 10)), np.array([is_right]),
        np.full((1, frames), 2, np.uint8),
    )  # fmt: skip
    camera = Camera(K[None], 640, 360, LENSES["fisheye"], "given")
    tracks = projected_tracks(motion, models, camera, np.arange(frames) / 30, confidence=1.0)
    world = landmarks(motion, models)
    tracks = replace(tracks, world_m=world - world.mean(2, keepdims=True))
    recipe = load_recipe("default")
    truth = pose_hands(models, motion).joints
    off = []
    for lens in (camera, replace(camera, distortion=None)):
        found = fit(initialize(tracks, lens, models), tracks, lens, models, None, recipe)
        off.append(np.linalg.norm(pose_hands(models, found.motion).joints - truth, axis=-1).mean())
        assert np.linalg.norm(found.landmarks_px - tracks.xy_px, axis=-1).mean() < 3
    assert off[0] < 0.012 and off[1] > 2 * off[0]  # moves along the ray are smoothed more
