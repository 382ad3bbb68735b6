"""The mmpose source: boxes from tracks, RTMPose's decoding, and a really built model where the extra is installed."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.keypoints import mmpose as source
from hmpfit.keypoints.mmpose_imports import mmpose_api, read_mmpose_weights
from hmpfit.recipes import RunSettings
from hmpfit.records import KeypointTracks

CONFIG = "rtmpose-m_8xb256-210e_hand5-256x256"
needs_mmpose = pytest.mark.skipif(importlib.util.find_spec("mmpose") is None, reason="mmpose is not installed")


class Clip:
    width, height = 320, 240
    times_s = np.arange(5) / 30

    def images(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Any]]:
        for frame in range(5):
            yield frame, np.full((240, 320, 3), 40 * frame, np.uint8)


def tracks() -> KeypointTracks:
    """A hand that moves 10 px a frame to the right, not seen in frames 0 and 2."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 60, (21, 2)) + np.array([60, 80])
    xy = shape[None, None] + np.arange(5)[None, :, None, None] * [10, 0]
    seen = np.array([[False, True, False, True, True]])
    alpha = np.where(seen[..., None], 0.5, 0.0) * np.ones((1, 5, 21))
    return KeypointTracks(np.where(seen[..., None, None], xy, np.nan), alpha, seen, np.array([True]), Clip.times_s)


def test_every_frame_between_seen_ones_is_asked_and_hidden_ones_are_not() -> None:
    asked = []

    def estimate(image: Any, boxes: Any) -> Any:
        asked.append((int(image[0, 0, 0]) // 40, boxes[0]))
        return np.full((1, 21, 2), 7.0), np.full((1, 21), 6.5)

    hidden = np.array([False, False, False, True, False])
    found = source.measure_tracks(Clip(), tracks(), estimate, hidden)
    assert [frame for frame, _ in asked] == [1, 2, 4]
    assert np.allclose(asked[1][1] - asked[0][1], [10, 0, 10, 0])  # the unseen frame's box lies between its neighbors'
    assert (found.confidence[0, [1, 2, 4]] == 1).all() and (found.confidence[0, [0, 3]] == 0).all()
    assert found.seen.tolist() == [[False, True, True, False, True]]


def test_simcc_peaks_come_back_to_the_image() -> None:
    boxes, split = np.array([[50.0, 40.0, 150.0, 140.0], [0.0, 0.0, 200.0, 100.0]]), 2
    x, y = np.arange(21) * 3 + 20, np.arange(21) * 4 + 30

    def network(batch: Any) -> Any:
        assert batch.shape == (2, 3, 128, 128)
        along_x, along_y = np.zeros((2, 21, 128 * split)), np.zeros((2, 21, 128 * split))
        along_x[:, np.arange(21), x * split], along_y[:, np.arange(21), y * split] = 0.9, 0.7
        return along_x, along_y

    found, scores = source.simcc_estimate(network, np.zeros((240, 320, 3), np.uint8), boxes, 128, 128)
    side = 1.25 * 100 / 128
    assert np.allclose(found[0, :, 0], x * side + 100 - 62.5) and np.allclose(found[0, :, 1], y * side + 90 - 62.5)
    assert np.allclose(found[1, :, 0], x * 2 * side + 100 - 125)
    assert np.allclose(scores, 0.7)


def test_the_crop_that_the_network_sees_is_the_box() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    image[90:110, 90:110] = 255
    seen = {}

    def network(batch: Any) -> Any:
        seen["crop"] = batch[0].mean(0)
        return np.zeros((1, 21, 64)), np.zeros((1, 21, 64))

    source.simcc_estimate(network, image, np.array([[80.0, 80.0, 120.0, 120.0]]), 64, 64)
    bright = np.argwhere(seen["crop"] > 1)
    assert np.allclose(bright.mean(0), 31.5, atol=1) and np.ptp(bright[:, 0]) == pytest.approx(20 / (50 / 64), abs=2)


def test_missing_models_and_misplaced_options_are_named() -> None:
    with pytest.raises(InputError, match="needs --mmpose-config"):
        RunSettings(keypoints="mmpose")
    with pytest.raises(InputError, match="--keypoints is blend"):
        RunSettings(mmpose_onnx="a.onnx")
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="does not exist"):
        source.load_estimator(None, None, "none.onnx")


@pytest.mark.skipif(importlib.util.find_spec("mmpose") is not None, reason="mmpose is installed")
def test_without_the_extra_it_says_what_to_type() -> None:
    with pytest.raises(MissingExtraError, match="pip install --no-deps mmpose"):
        mmpose_api()


class _Payload:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_checkpoints_are_read_without_running_them(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {"w": torch.ones(2)}, "meta": {"epoch": np.float64(3)}}, path)
    assert torch.equal(read_mmpose_weights(path)["w"], torch.ones(2))
    torch.save({"state_dict": {"w": torch.ones(2)}, "meta": _Payload()}, path)
    with pytest.raises(InputError, match="refused and nothing in it ran"):
        read_mmpose_weights(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is not an mmpose checkpoint"):
        read_mmpose_weights(path)


@needs_mmpose
def test_a_built_model_finds_21_points(tmp_path: Path) -> None:
    before = set(sys.modules)
    api = mmpose_api()
    assert "mmdet" not in set(sys.modules) - before  # the stand-ins are gone again
    from mmengine.config import Config

    settings = Config.fromfile(str(source._config(CONFIG)))
    settings.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = api.init_model(settings, None, device="cpu")
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "weights.pth")
    estimate = source.load_estimator(CONFIG, str(tmp_path / "weights.pth"), None)
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    found, scores = estimate(image, np.array([[50.0, 40.0, 150.0, 140.0], [100.0, 100.0, 200.0, 220.0]]))
    assert found.shape == (2, 21, 2) and scores.shape == (2, 21) and np.isfinite(found).all()
    again, _ = source.load_estimator(CONFIG, str(tmp_path / "weights.pth"), None)(
        image, np.array([[50.0, 40, 150, 140]])
    )
    assert np.allclose(again[0], found[0], atol=1e-2)
    torch.save({"state_dict": {"w": torch.ones(2)}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not fit the config"):
        source.load_estimator(CONFIG, str(tmp_path / "other.pth"), None)
    with pytest.raises(InputError, match=f"no mmpose config 'nonsense'.*{CONFIG}"):
        source.load_estimator("nonsense", str(tmp_path / "weights.pth"), None)
