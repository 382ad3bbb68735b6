"""The landmark network in torch against LiteRT on the same pixels, and the files it refuses."""

import numpy as np
import pytest
import torch

from hmpfit.errors import InputError
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.networks import interpreter
from hmpfit.regressors.backbone.mediapipe import SIDES, MediaPipeBackbone, landmark_numbers


@pytest.fixture(scope="module")
def backbone() -> MediaPipeBackbone:
    return MediaPipeBackbone().eval()


def _pixels(seed: int) -> np.ndarray:
    """Smooth shapes and some noise, [1, 224, 224, 3] in 0..1."""
    generator = np.random.default_rng(seed)
    coarse = torch.from_numpy(generator.uniform(0, 1, (1, 3, 9, 9)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=224, mode="bicubic").permute(0, 2, 3, 1).numpy()
    return np.clip(smooth + generator.normal(0, 0.02, smooth.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_litert(backbone: MediaPipeBackbone, seed: int) -> None:
    image = _pixels(seed)
    litert = interpreter(load_landmarker().landmarks, image.shape)
    litert.set_tensor(litert.get_input_details()[0]["index"], image)
    litert.invoke()
    outputs = sorted(litert.get_output_details(), key=lambda detail: str(detail["name"]))
    xyz, presence, right, world = (litert.get_tensor(one["index"]) for one in outputs)
    with torch.no_grad():
        seen = backbone(torch.from_numpy(image).permute(0, 3, 1, 2))
    assert np.abs(seen.landmarks.numpy() * 224 - xyz.reshape(1, 21, 3)).max() < 1e-3
    assert np.abs(seen.world.numpy() - world.reshape(1, 21, 3)).max() < 1e-3
    assert abs(seen.presence.item() - presence.item()) < 1e-3
    assert abs(seen.right.item() - right.item()) < 1e-3


def test_maps_have_the_sides_and_channels_they_are_said_to_have(backbone: MediaPipeBackbone) -> None:
    image = torch.from_numpy(np.concatenate((_pixels(2), _pixels(3)))).permute(0, 3, 1, 2)
    with torch.no_grad():
        seen, part = backbone(image), backbone(image, (7,))
        alone = backbone(image[1:])
    shapes = [tuple(level.shape) for level in seen.levels]
    assert shapes == [(2, channels, side, side) for channels, side in zip(backbone.channels, SIDES, strict=True)]
    assert len(part.levels) == 1
    assert torch.equal(part.levels[0], seen.levels[-1])
    assert torch.allclose(alone.pooled, seen.pooled[1:], atol=1e-4)
    assert landmark_numbers(seen).shape == (2, 128)


def test_gradients_reach_the_first_layer(backbone: MediaPipeBackbone) -> None:
    image = torch.from_numpy(_pixels(4)).permute(0, 3, 1, 2)
    backbone(image, ()).world.abs().sum().backward()
    first = next(backbone.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0
    backbone.zero_grad()


def test_another_file_is_refused() -> None:
    with pytest.raises(InputError, match="official file"):
        MediaPipeBackbone(load_landmarker().palm)
