"""Networks with 8-bit weights answer as those in single precision do, far closer than two crops of one hand agree."""

from pathlib import Path

import numpy as np
import pytest

from hmpfit.keypoints import eight_bit_weights
from hmpfit.keypoints.eight_bit_weights import with_eight_bit_weights
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.network_taps import tap
from hmpfit.keypoints.networks import LandmarkNetwork, interpreter, prepare
from hmpfit.keypoints.palm_detector import PalmDetector
from hmpfit.keypoints.regions import CROP, Regions, cut
from hmpfit.video.clip import open_clip


def answers(model: bytes, image: np.ndarray) -> dict[str, np.ndarray]:
    network = interpreter(model, (1, CROP, CROP, 3))
    network.set_tensor(network.get_input_details()[0]["index"], image[None].astype(np.float32) / 255)
    network.invoke()
    return {str(one["name"]): network.get_tensor(one["index"]) for one in network.get_output_details()}


def test_landmarks_move_by_a_fraction_of_a_pixel_of_the_crop(inputs: Path) -> None:
    files = load_landmarker()
    rounded = with_eight_bit_weights(files.landmarks)
    assert rounded is not None and len(rounded) < len(files.landmarks) and tap(rounded) is not None
    _, image = next(open_clip(inputs / "clips" / "pinches.mp4", (100, 101)).images())
    palms = PalmDetector(files.palm, 0.5, 1)(image)
    crop = cut(image, palms.regions[0], False)
    plain, close = answers(files.landmarks, crop), answers(rounded, crop)
    landmarks, presence, right, world = (close[name] - plain[name] for name in sorted(plain))
    assert np.abs(landmarks.reshape(21, 3)[:, :2]).mean() < 0.4
    assert np.linalg.norm(world.reshape(21, 3), axis=-1).mean() < 0.002
    assert abs(presence.item()) < 0.01 and abs(right.item()) < 0.05


def test_the_palm_detector_finds_the_same_hand(inputs: Path) -> None:
    files = load_landmarker()
    _, image = next(open_clip(inputs / "clips" / "pinches.mp4", (100, 101)).images())
    rounded = PalmDetector(files.palm, 0.5, 1)(image)
    plain = PalmDetector(files.palm, 0.5, 1)
    plain._interpreter = interpreter(files.palm, (1, 192, 192, 3))
    known = plain(image)
    assert abs(rounded.score - known.score).max() < 0.02
    side = float(known.regions.side_px[0])
    assert np.abs(rounded.regions.center_px - known.regions.center_px).max() < 0.02 * side
    assert isinstance(rounded.regions, Regions)


def test_prepared_networks_are_not_rewritten_again(monkeypatch: pytest.MonkeyPatch) -> None:
    files, rewritten = load_landmarker(), []
    plain = eight_bit_weights._File.round_weights
    monkeypatch.setattr(eight_bit_weights._File, "round_weights", lambda file: rewritten.append(1) or plain(file))
    eight_bit_weights.with_eight_bit_weights.cache_clear()
    prepare(files.palm, files.landmarks)
    LandmarkNetwork(files.landmarks, with_features=True), PalmDetector(files.palm, 0.5, 1)
    assert len(rewritten) == 2


def test_what_is_no_network_file_is_left_alone() -> None:
    assert with_eight_bit_weights(b"no network") is None
