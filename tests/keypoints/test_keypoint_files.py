import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.keypoints.from_file import read_keypoints
from hmpfit.records import Camera

CAMERA = Camera(np.eye(3)[None], 640, 360)


@dataclass
class FakeClip:
    times_s: np.ndarray
    width: int = 640
    height: int = 360

    def images(self, start: int = 0, stop: int | None = None):
        raise AssertionError("a keypoint file needs no pixels")


CLIP = FakeClip(np.arange(6) / 30)


def points(hands: int = 1, frames: int = 6) -> np.ndarray:
    return np.arange(hands * frames * 42, dtype=float).reshape(hands, frames, 21, 2)


def test_npz_and_json_say_the_same(tmp_path: Path) -> None:
    xy = points(2)
    xy[1, 3] = np.nan
    np.savez(tmp_path / "a.npz", xy_px=xy, is_right=[True, False])
    listed = np.where(np.isfinite(xy), xy, 0).tolist()
    listed[1][3] = [[None, None]] * 21
    (tmp_path / "a.json").write_text(json.dumps({"xy_px": listed, "is_right": [True, False]}))
    for name in ("a.npz", "a.json"):
        read = read_keypoints(tmp_path / name, CLIP, CAMERA)
        assert read.xy_px == pytest.approx(xy, nan_ok=True)
        assert list(read.is_right) == [True, False]
        assert not read.seen[1, 3] and read.seen.sum() == 11
        assert (read.confidence[read.seen] == 1).all() and (read.confidence[1, 3] == 0).all()


def test_one_hand_needs_no_hand_axis(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", xy_px=points()[0], is_right=False, confidence=np.full((6, 21), 0.4))
    read = read_keypoints(tmp_path / "a.npz", CLIP, CAMERA)
    assert read.xy_px.shape == (1, 6, 21, 2) and list(read.is_right) == [False]
    assert read.confidence == pytest.approx(0.4)


def test_frames_are_matched_by_time(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", xy_px=points(1, 3), is_right=[True], times_s=np.array([1, 3, 40]) / 30)
    read = read_keypoints(tmp_path / "a.npz", CLIP, CAMERA)
    assert list(read.seen[0]) == [False, True, False, True, False, False]
    assert read.xy_px[0, 3] == pytest.approx(points(1, 3)[0, 1])


def test_result_keys_are_understood(tmp_path: Path) -> None:
    alpha = np.full((1, 6, 21), 0.7)
    alpha[0, 2] = 0
    np.savez(tmp_path / "r.npz", keypoints_px=points(), keypoint_confidence=alpha, is_right=[True], betas=np.zeros(10))
    read = read_keypoints(tmp_path / "r.npz", CLIP, CAMERA)
    assert not read.seen[0, 2] and read.seen.sum() == 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"is_right": [True]}, "xy_px"),
        ({"xy_px": points()}, "is_right"),
        ({"xy_px": points()[..., :5, :], "is_right": [True]}, "21"),
        ({"xy_px": points(1, 4), "is_right": [True]}, "4 frames"),
        ({"xy_px": points(), "is_right": [True], "confidence": np.ones(3)}, "confidence"),
        ({"xy_px": points(), "is_right": [True], "times_s": np.zeros(6)}, "times_s"),
    ],
)
def test_bad_content_is_named(tmp_path: Path, content: dict, words: str) -> None:
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(InputError, match=words):
        read_keypoints(tmp_path / "a.npz", CLIP, CAMERA)


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2")
    (tmp_path / "a.npz").write_bytes(b"nothing")
    np.savez(tmp_path / "hostile.npz", xy_px=np.array([{}], dtype=object), is_right=[True])
    for name in ("missing.npz", "a.json", "a.npz", "hostile.npz"):
        with pytest.raises(InputError, match=name):
            read_keypoints(tmp_path / name, CLIP, CAMERA)


def _triples(xy: np.ndarray, confidence: float = 0.8) -> np.ndarray:
    return np.concatenate((xy, np.full((*xy.shape[:-1], 1), confidence)), axis=-1)


def _openpose(folder: Path, hands: np.ndarray) -> Path:
    folder.mkdir()
    for frame in range(hands.shape[1]):
        weak = {"hand_right_keypoints_2d": _triples(hands[0, frame] + 99, 0.1).ravel().tolist()}
        person = {
            "hand_right_keypoints_2d": _triples(hands[0, frame]).ravel().tolist(),
            "hand_left_keypoints_2d": _triples(hands[1, frame]).ravel().tolist(),
        }
        people = [] if frame == 3 else [weak, person]
        (folder / f"clip_{frame:012d}_keypoints.json").write_text(json.dumps({"people": people}))
    return folder


def _whole_body(path: Path, hands: np.ndarray) -> Path:
    entries = []
    for frame in range(hands.shape[1]):
        if frame != 3:
            rows = np.zeros((133, 3))
            rows[91:112], rows[112:133] = _triples(hands[1, frame]), _triples(hands[0, frame])
            entries.append({"image_id": 10 + frame, "keypoints": rows.ravel().tolist(), "category_id": 1})
    path.write_text(json.dumps(entries))
    return path


def _mmpose(path: Path, hands: np.ndarray) -> Path:
    frames = []
    for frame in range(hands.shape[1]):
        rows, scores = np.zeros((133, 2)), np.zeros(133)
        rows[91:112], rows[112:133], scores[91:] = hands[1, frame], hands[0, frame], 0.8
        one = {"keypoints": rows.tolist(), "keypoint_scores": scores.tolist()}
        frames.append({"frame_id": frame + 1, "instances": [] if frame == 3 else [one]})
    path.write_text(json.dumps({"meta_info": {}, "instance_info": frames}))
    return path


@pytest.mark.parametrize("form", ["openpose", "whole_body", "mmpose"])
def test_json_of_other_detectors(form: str, tmp_path: Path) -> None:
    hands = points(2)
    writer = {"openpose": _openpose, "whole_body": _whole_body, "mmpose": _mmpose}[form]
    read = read_keypoints(writer(tmp_path / ("frames" if form == "openpose" else "all.json"), hands), CLIP, CAMERA)
    assert list(read.is_right) == [True, False]
    seen = [0, 1, 2, 4, 5]
    assert read.xy_px[:, seen] == pytest.approx(hands[:, seen])
    assert read.confidence[:, seen] == pytest.approx(0.8)
    assert not read.seen[:, 3].any()


def test_wrong_json_of_other_detectors_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \.json files"):
        read_keypoints(tmp_path / "empty", CLIP, CAMERA)
    (tmp_path / "a.json").write_text(json.dumps([{"image_id": 1, "keypoints": [0.0] * 51}]))
    with pytest.raises(InputError, match="17 keypoints"):
        read_keypoints(tmp_path / "a.json", CLIP, CAMERA)
