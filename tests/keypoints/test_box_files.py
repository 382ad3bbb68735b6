"""Boxes of hands in three forms say the same; what is no box file is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.keypoints.box_files import HandBoxes, read_boxes

FRAMES, WIDTH, HEIGHT = 6, 200, 100


def _moving(start: float) -> np.ndarray:
    step = 3.0 * np.arange(FRAMES)[:, None]
    return np.array([start, 20.0, start + 40, 70.0]) + step * (1, 0, 1, 0)


BOXES = np.stack((_moving(10), _moving(100)))
BOXES[1, 2] = np.nan


def _coco(path: Path, named: bool) -> Path:
    entries = []
    for frame in range(FRAMES):
        for hand, box in enumerate(BOXES[:, frame]):
            if np.isfinite(box).all():
                xywh = [*box[:2], *(box[2:] - box[:2])]
                entries.append({"image_id": 7 + frame, "bbox": xywh, "category_id": hand if named else 5, "score": 0.9})
    categories = [{"id": 0, "name": "right_hand"}, {"id": 1, "name": "left hand"}, {"id": 5, "name": "hand"}]
    images = [{"id": 7 + frame, "file_name": f"clip_{frame:03d}.jpg"} for frame in range(FRAMES)]
    path.write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))
    return path


def _yolo(folder: Path) -> Path:
    folder.mkdir()
    (folder / "classes.txt").write_text("right hand\nleft hand\n")
    for frame in range(FRAMES):
        lines = []
        for hand, box in enumerate(BOXES[:, frame]):
            if np.isfinite(box).all():
                x, y, w, h = (*(box[:2] + box[2:]) / 2, *(box[2:] - box[:2])) / np.tile((WIDTH, HEIGHT), 2)
                lines.append(f"{hand} {x} {y} {w} {h}")
        (folder / f"clip_{frame + 1}.txt").write_text("\n".join(lines))
    return folder


def _npz(path: Path) -> Path:
    np.savez(path, boxes_px=BOXES, is_right=np.array([True, False]))
    return path


def _check(found: HandBoxes, sides: tuple[bool | None, ...]) -> None:
    order = np.argsort(np.nanmin(found.xyxy_px[..., 0], axis=1))
    assert np.allclose(found.xyxy_px[order], BOXES, equal_nan=True, atol=1e-9)
    assert tuple(found.is_right[n] for n in order) == sides


def test_three_forms_say_the_same(tmp_path: Path) -> None:
    for path in (_coco(tmp_path / "a.json", True), _yolo(tmp_path / "labels"), _npz(tmp_path / "b.npz")):
        _check(read_boxes(path, FRAMES, WIDTH, HEIGHT), (True, False))


def test_boxes_without_sides_are_linked_by_overlap(tmp_path: Path) -> None:
    _check(read_boxes(_coco(tmp_path / "a.json", False), FRAMES, WIDTH, HEIGHT), (None, None))


def test_a_stretch_begins_at_its_own_frame(tmp_path: Path) -> None:
    found = read_boxes(_coco(tmp_path / "a.json", True), 2, WIDTH, HEIGHT, first_frame=3)
    assert np.allclose(found.xyxy_px, BOXES[:, 3:5])


@pytest.mark.parametrize("content", ["[1, 2]", "{}", "no json", "[]"])
def test_other_files_are_refused_with_the_known_forms(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match="COCO JSON"):
        read_boxes(tmp_path / "x.json", FRAMES, WIDTH, HEIGHT)
    with pytest.raises(InputError, match="no file or folder"):
        read_boxes(tmp_path / "lacks.json", FRAMES, WIDTH, HEIGHT)
