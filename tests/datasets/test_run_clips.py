"""Fits of clips as labels: only frames where all evidence agrees, cut so that pixels and 3D still belong together."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hmpfit.datasets.run_clips import FrameSelection, agreeing_frames, open_runs
from hmpfit.errors import InputError
from hmpfit.hands.model_files import load_hand_models
from hmpfit.results.npz import StoredResult, write_copy
from hmpfit.video.writer import VideoWriter
from tests.made_result import summary_of, two_hands

FRAMES, BAD = 8, 5


def _run(folder: Path, stored: StoredResult) -> Path:
    folder.mkdir(parents=True)
    with VideoWriter(folder / "clip.mp4", 30.0, 640, 480) as writer:
        for frame in range(FRAMES):
            writer.write(np.full((480, 640, 3), 20 * frame, np.uint8))
    write_copy(stored, load_hand_models("open"), folder)
    about = {**summary_of(stored), "video": str(folder / "clip.mp4"), "first_frame": 0}
    (folder / "result.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="module")
def stored() -> StoredResult:
    made = two_hands(load_hand_models("open"), FRAMES)
    confidence = made.tracks.confidence.copy()
    confidence[0, BAD] = 0.01
    return replace(made, tracks=replace(made.tracks, confidence=confidence))


def test_frames_with_shaky_landmarks_or_a_fit_beside_them_are_no_labels(stored: StoredResult) -> None:
    good = agreeing_frames(stored, FrameSelection())
    assert not good[0, BAD] and good.sum() == 2 * FRAMES - 1
    beside = replace(stored, landmarks_px=stored.landmarks_px + 100.0)
    assert not agreeing_frames(beside, FrameSelection()).any()


def test_cut_pictures_keep_pixels_and_3d_together(stored: StoredResult, tmp_path: Path) -> None:
    _run(tmp_path / "runs" / "a", stored)
    (source,) = open_runs(tmp_path / "runs", tmp_path / "cache", FrameSelection(empty=2))
    assert source.name == "runs:a"
    clips = [source[index] for index in range(len(source))]
    hands = [clip for clip in clips if np.isfinite(clip.joints_px).all()]
    assert len(hands) == 2 * (FRAMES - 1) - 2  # the shaky frame is in two pairs of one hand
    for clip in hands:
        pixels = clip.joints_m[0] @ clip.K.T
        assert np.abs(pixels[..., :2] / pixels[..., 2:] - clip.joints_px[0]).max() < 0.05
        low, high = clip.joints_px[0].min((0, 1)), clip.joints_px[0].max((0, 1))
        assert (low > 0).all() and (high < clip.images.shape[1]).all()
    again = open_runs(tmp_path / "runs", tmp_path / "cache", FrameSelection(empty=2))
    assert len(again[0]) == len(source)


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run folders; `hmpfit run"):
        open_runs(tmp_path, tmp_path / "cache")
