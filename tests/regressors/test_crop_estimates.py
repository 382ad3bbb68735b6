"""IFVONet's output for a crop, written into the camera's axes: the ray through the crop's center, lens and side."""

import numpy as np
import pytest
import torch

from hmpfit.geometry.cameras import project_array
from hmpfit.geometry.rotations import exp
from hmpfit.records import Camera, KeypointTracks
from hmpfit.regressors.crops import Crop
from hmpfit.regressors.ifvonet.crop_estimates import empty_estimates, write_hands
from hmpfit.regressors.ifvonet.head import HeadOutput

K = np.array([[[500.0, 0, 300], [0, 500, 250], [0, 0, 1]]])
LENSES = (None, np.array([0.2, -0.1, 0.05, 0.02]), np.array([-0.3, 0.1, 0.01, -0.02, 0.0]))
WIDTH = 640


@pytest.mark.parametrize("is_right", [True, False])
@pytest.mark.parametrize("lens", LENSES, ids=("pinhole", "fisheye", "radial"))
def test_a_hand_unturned_in_its_crop_faces_along_the_ray(lens: np.ndarray | None, is_right: bool) -> None:
    camera = Camera(K, WIDTH, 480, distortion=lens)
    direction = np.array([0.35, -0.2, 1.0])
    direction /= np.linalg.norm(direction)
    center = project_array(direction[None], K[0], lens)[0]
    mirrored = center if is_right else center * (-1, 1) + (WIDTH, 0)  # crops of left hands lie in the mirror image
    unturned = torch.eye(3).expand(1, 16, 3, 3)
    output = HeadOutput(unturned, torch.zeros(1, 10), torch.full((1, 21, 2), 0.5), torch.ones(1, 21, 8, 8) / 64)
    tracks = KeypointTracks(
        np.zeros((1, 2, 21, 2)), np.ones((1, 2, 21)), np.ones((1, 2), bool), np.array([is_right]), np.arange(2) / 30
    )
    out = empty_estimates(tracks)
    write_hands(output, [(0, 1, Crop(mirrored, 100.0))], out, camera, WIDTH)
    turned = exp(torch.as_tensor(out.global_orient[0, 1])).numpy() @ np.array([0.0, 0, 1])
    assert np.abs(turned - direction).max() < 1e-6
    assert np.allclose(out.joints_px[0, 1], center) and out.estimated.tolist() == [[False, True]]
