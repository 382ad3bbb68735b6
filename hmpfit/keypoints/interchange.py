"""Keypoints in the JSON that other detectors write: OpenPose, COCO-WholeBody, mmpose's demo.

Separate from `from_file.py`, which turns the arrays found here into tracks. All of them list a hand's 21 points in the
OpenPose order. Of several persons the one with the most confident hands in a frame counts.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError
from hmpfit.files.structured import read_json
from hmpfit.records import Floats

# COCO-WholeBody's 133 points: 17 body, 6 feet, 68 face, then the left hand and the right hand.
_WHOLE_BODY = 133
FRAMES_MOST = 1_000_000  # of one video
_LEFT, _RIGHT = slice(91, 112), slice(112, 133)
_LISTS = ((True, "hand_right_keypoints_2d", "righthand_kpts"), (False, "hand_left_keypoints_2d", "lefthand_kpts"))


def read_folder(folder: Path) -> dict[str, Any]:
    """Return the arrays of a folder with one OpenPose JSON per frame, ordered by the last number in the names.

    Raises InputError when there is no such file.
    """
    files = sorted(
        folder.glob("*.json"), key=lambda file: (int((re.findall(r"\d+", file.stem) or ["0"])[-1]), file.name)
    )
    if not files:
        raise InputError(f"The keypoint folder {folder} holds no .json files; OpenPose writes one per frame.")
    return _arrays([[_hands_of(person) for person in _persons(read_json(file))] for file in files])


def read_list(content: Any) -> dict[str, Any] | None:
    """Return the arrays of one JSON with all frames, or None when it is of no known form.

    Known: a list of COCO-WholeBody results or annotations with `image_id`, a COCO file with `annotations`, and mmpose's
    `instance_info` with `frame_id`.
    """
    if isinstance(content, dict) and isinstance(content.get("instance_info"), list):
        frames = {int(item["frame_id"]): item.get("instances", []) for item in content["instance_info"]}
        return _arrays([[_hands_of(one) for one in frames.get(number, [])] for number in _span(frames)])
    entries = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries or "image_id" not in entries[0]:
        return None
    by_image: dict[int, list[Any]] = {}
    for entry in entries:
        by_image.setdefault(int(entry["image_id"]), []).append(entry)
    return _arrays([[_hands_of(entry) for entry in by_image.get(number, [])] for number in _span(by_image)])


def _span(numbers: Iterable[int]) -> range:
    """Return all frame numbers from the first to the last. Raises ValueError when they cannot be of one video."""
    known = sorted(numbers)
    if known and known[-1] - known[0] >= FRAMES_MOST:
        raise ValueError(f"its frame numbers run from {known[0]} to {known[-1]}")
    return range(known[0], known[-1] + 1) if known else range(0)


def _order(file: Path) -> tuple[int, str]:
    numbers = re.findall(r"\d+", file.stem)
    return (int(numbers[-1]) if numbers else 0), file.name


def _persons(content: Any) -> list[Any]:
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list):
        raise ValueError("an OpenPose file has a list 'people'")
    return people


def _hands_of(person: dict[str, Any]) -> dict[bool, Floats]:
    """Return the hands [21, 3] (x, y, confidence) of one entry by side."""
    hands: dict[bool, Floats] = {}
    for is_right, *names in _LISTS:
        values = next((person[name] for name in names if person.get(name)), None)
        if values is not None:
            hands[is_right] = np.asarray(values, dtype=np.float64).reshape(21, 3)
    points = person.get("keypoints")
    if not hands and points:
        rows = np.asarray(points, dtype=np.float64).reshape(-1, 3 if "keypoint_scores" not in person else 2)
        if "keypoint_scores" in person:
            scores = np.asarray(person["keypoint_scores"], dtype=np.float64).reshape(-1, 1)
            rows = np.concatenate((rows, scores), axis=1)
        if len(rows) == _WHOLE_BODY:
            hands = {True: rows[_RIGHT], False: rows[_LEFT]}
        elif len(rows) == 21:
            hands = {str(person.get("hand_type", "right")) != "left": rows}
        else:
            raise ValueError(f"an entry has {len(rows)} keypoints; 21 of a hand or 133 of a whole body are read")
    return hands


def _arrays(frames: list[list[dict[bool, Floats]]]) -> dict[str, Any]:
    sides = [side for side in (True, False) if any(side in hands for people in frames for hands in people)]
    if not sides:
        raise ValueError("it holds no hands")
    found = np.zeros((len(sides), len(frames), 21, 3))
    for row, side in enumerate(sides):
        for frame, best in _most_confident(frames, side):
            found[row, frame] = best
    confidence = np.clip(found[..., 2], 0, 1)
    xy = np.where(confidence[..., None] > 0, found[..., :2], np.nan)
    return {"xy_px": xy, "confidence": confidence, "is_right": np.array(sides)}


def _most_confident(frames: list[list[dict[bool, Floats]]], side: bool) -> Iterator[tuple[int, Floats]]:
    for frame, people in enumerate(frames):
        hands = [hands[side] for hands in people if side in hands]
        if hands:
            yield frame, max(hands, key=lambda hand: float(hand[:, 2].sum()))
