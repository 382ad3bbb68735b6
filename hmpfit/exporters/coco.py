"""COCO-WholeBody annotations: 21 keypoints per hand in the image, as `lefthand_kpts` and `righthand_kpts`.

The body, foot and face keypoints of the format are written as 0 (not labelled). Source of the layout: Jin et al. 2020,
"Whole-Body Human Pose Estimation in the Wild", and the data format page of its authors.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.exporters.animation import hand_labels
from hmpfit.exporters.persons import persons
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import BONES, OPENPOSE_21

_BODY, _FEET, _FACE = 17, 6, 68
_ESTIMATED, _SEEN = 1, 2  # COCO's visibility: labelled but not visible, labelled and visible


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `coco_wholebody.json`, or `out` itself if it ends in .json: an image per frame, an annotation per person.

    Pixels are projections of the result, which a frame without evidence has too (visibility 1). A right and a left hand
    share an annotation when the result says that they are one person's, else each hand has its own. Beside the
    format's own keys stand `lefthand_kpts_3d` and `righthand_kpts_3d` (meters) and `lefthand_name`, `righthand_name`.
    """
    file = out if out.suffix == ".json" else out / "coco_wholebody.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    camera, frames = result.camera, len(result.tracks.times_s)
    images = [
        {
            "id": frame,
            "file_name": f"{options.first_frame + frame:06d}.jpg",
            "width": camera.width,
            "height": camera.height,
            "time_s": float(result.tracks.times_s[frame]),
        }
        for frame in range(frames)
    ]
    annotations: list[dict[str, Any]] = []
    for frame in range(frames):
        for person, hands in enumerate(persons(result)):
            annotations.append(_annotation(result, len(annotations), frame, person, hands))
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": [f"body{number}" for number in range(_BODY)],
        "hand_keypoints": list(OPENPOSE_21),
        "hand_skeleton": [[first + 1, second + 1] for first, second in BONES],
        "skeleton": [],
    }
    content = {
        "info": {"description": "hands fitted by hmpfit", "version": "1.0"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [category],
    }
    file.write_text(json.dumps(content, allow_nan=False) + "\n")
    return [file]


def _annotation(result: StoredResult, number: int, frame: int, person: int, hands: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": number,
        "image_id": frame,
        "category_id": 1,
        "iscrowd": 0,
        "track_id": person,
        "num_keypoints": 0,
        "keypoints": [0] * (3 * _BODY),
        "foot_kpts": [0] * (3 * _FEET),
        "face_kpts": [0] * (3 * _FACE),
        "face_box": [0.0] * 4,
        "face_valid": False,
        "foot_valid": False,
    }
    boxes = []
    for side, is_right in (("lefthand", False), ("righthand", True)):
        hand = next((hand for hand in hands if bool(result.motion.is_right[hand]) == is_right), None)
        points = np.zeros((21, 3))
        if hand is not None:
            seen = result.tracks.confidence[hand, frame] > 0
            points = np.column_stack((result.landmarks_px[hand, frame], np.where(seen, _SEEN, _ESTIMATED)))
            found[f"{side}_kpts_3d"] = np.round(result.joints[hand, frame], 7).reshape(-1).tolist()
            found[f"{side}_name"] = hand_labels(result)[hand]
            boxes.append(_box(points))
        found[f"{side}_kpts"] = np.round(points, 3).reshape(-1).tolist()
        found[f"{side}_box"] = [0.0] * 4 if hand is None else boxes[-1]
        found[f"{side}_valid"] = hand is not None
    low = np.min([box[:2] for box in boxes], axis=0)
    high = np.max([np.add(box[:2], box[2:]) for box in boxes], axis=0)
    found["bbox"] = np.round((*low, *(high - low)), 3).tolist()
    found["area"] = float(np.prod(found["bbox"][2:]))
    return found


def _box(points: Floats) -> list[float]:
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return np.round((*low, *(high - low)), 3).tolist()
