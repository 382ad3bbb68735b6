"""The causal tracker: what its views say is no hand is not shown."""

from pathlib import Path

import numpy as np
import pytest

from hmpfit.keypoints import doubtful_hands
from hmpfit.keypoints.doubtful_hands import FEW_FRAMES, doubtful_so_far
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.refinement import RefineOptions
from hmpfit.live.records import LiveFrame
from hmpfit.live.tracker import HandTracker, TrackerOptions
from hmpfit.records import Camera
from hmpfit.video.clip import open_clip


def shown(inputs: Path, hands: str) -> list[int]:
    """Return how many hands each frame of a clip shows, with views in every frame."""
    clip = open_clip(inputs / "cases" / "base.mp4", (0, 3 * FEW_FRAMES))
    K = np.array([[[640.0, 0, 320], [0, 640, 180], [0, 0, 1]]])
    camera = Camera(K, clip.width, clip.height, None, "given")
    tracker = HandTracker(load_landmarker(), camera, TrackerOptions(hands, refine=RefineOptions(views=2)))
    frames = ((n, LiveFrame(n, float(clip.times_s[n]), 0.0, image)) for n, image in clip.images())
    return [len(tracker(frame).hands) for _, frame in frames]


def test_a_hand_is_shown_and_what_must_be_surer_is_not(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(inputs, "auto")[2:] == [1] * (3 * FEW_FRAMES - 2)
    monkeypatch.setattr(doubtful_hands, "_LEAST", 1.01)
    assert shown(inputs, "auto")[-FEW_FRAMES:] == [0] * FEW_FRAMES
    assert shown(inputs, "right")[-FEW_FRAMES:] == [1] * FEW_FRAMES


def test_some_views_are_no_doubt() -> None:
    assert not doubtful_so_far([0.5] * (FEW_FRAMES - 1))
    assert doubtful_so_far([0.5] * FEW_FRAMES)
    assert not doubtful_so_far([0.5] * 10 + [0.99] * 5), "a hand that something covers for a while"
