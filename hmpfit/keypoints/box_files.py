"""Boxes of hands that another detector found: COCO JSON, YOLO text, or our npz; `hmpfit run --boxes FILE`.

Separate from `from_file`, which reads landmarks. Boxes become at most two tracks. A file says which hand is which by
class names (or npz `is_right`); where it does not, boxes are linked from frame to frame and the sides are left open.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.opening import MIB, read_text
from hmpfit.files.structured import read_json
from hmpfit.keypoints.regions import box_overlap
from hmpfit.records import Floats

FORMS = (
    "COCO JSON (`annotations` with image_id and bbox, or a list of results), YOLO text (a folder of NAME_FRAME.txt "
    "with 'class x y w h' in shares of the image), or an npz with boxes_px [H, T, 4] (x0, y0, x1, y1) and is_right [H]"
)
_OVERLAP = 0.1  # intersection over union from which boxes of neighboring frames show one hand
_TEXT_MOST = 4 * MIB  # of one YOLO text
_LOST = 10  # frames after which a hand may come back anywhere


@dataclass(frozen=True)
class HandBoxes:
    """Boxes of at most two hands; `is_right` None: the file does not give their sides."""

    xyxy_px: Floats  # [H, T, 4], NaN where none
    is_right: tuple[bool | None, ...]  # [H]


@dataclass
class _Track:
    is_right: bool | None
    boxes: dict[int, Floats] = field(default_factory=dict)
    last: int = -1


@dataclass(frozen=True)
class _Box:
    frame: int
    xyxy: Floats
    score: float
    is_right: bool | None


def read_boxes(path: str | Path, frames: int, width: int, height: int, first_frame: int = 0) -> HandBoxes:
    """Read boxes for the frames `first_frame`.. of a video of this size.

    Raises InputError, naming the file and the known forms, for anything else, and when no box lies in these frames.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no file or folder of boxes at '{path}'; known forms: {FORMS}.")
    try:
        if path.suffix == ".npz":
            return _from_npz(path, frames, first_frame)
        found = _from_yolo(path, width, height) if path.is_dir() else _from_coco(read_json(path), path)
    except UnreadableFileError as error:
        raise InputError(f"The boxes in '{path}' cannot be read: {error.reason}; known forms: {FORMS}.") from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, OSError) as error:
        raise InputError(f"The boxes in '{path}' cannot be read ({type(error).__name__}: {error}); {FORMS}.") from error
    found = [_Box(box.frame - first_frame, box.xyxy, box.score, box.is_right) for box in found]
    found = [box for box in found if 0 <= box.frame < frames and _is_box(box.xyxy)]
    if not found:
        raise InputError(f"'{path}' holds no box in the frames {first_frame}:{first_frame + frames}; {FORMS}.")
    return _tracks(found, frames)


def _from_npz(path: Path, frames: int, first_frame: int) -> HandBoxes:
    stored = read_npz(path)
    if any(stored[key].dtype.kind not in "biuf" for key in stored):
        raise ValueError("it holds arrays of something else than numbers")
    boxes = np.asarray(stored["boxes_px"], dtype=np.float64)
    sides = np.atleast_1d(stored["is_right"]).astype(bool) if "is_right" in stored else None
    boxes = boxes[None] if boxes.ndim == 2 else boxes
    if boxes.ndim != 3 or boxes.shape[2] != 4 or len(boxes) > 2 or (sides is not None and len(sides) != len(boxes)):
        raise ValueError(f"boxes_px has the shape {boxes.shape}, and [H <= 2, T, 4] was expected")
    part = boxes[:, first_frame : first_frame + frames]
    if part.shape[1] != frames:
        raise ValueError(f"boxes_px has {boxes.shape[1]} frames and frame {first_frame + frames - 1} is wanted")
    good = np.isfinite(part).all(-1) & (part[..., 2] > part[..., 0]) & (part[..., 3] > part[..., 1])
    known = tuple(None for _ in boxes) if sides is None else tuple(bool(side) for side in sides)
    return HandBoxes(np.where(good[..., None], part, np.nan), known)


def _from_coco(content: Any, path: Path) -> list[_Box]:
    entries = content["annotations"] if isinstance(content, dict) else content
    names = {one["id"]: str(one["name"]) for one in content.get("categories", [])} if isinstance(content, dict) else {}
    order = _image_frames(content.get("images", []) if isinstance(content, dict) else [])
    boxes = []
    for entry in entries:
        x, y, w, h = (float(value) for value in entry["bbox"])
        frame = order.get(entry["image_id"], entry["image_id"]) if order else entry["image_id"]
        side = _side(names.get(entry.get("category_id"), str(entry.get("category", ""))))
        boxes.append(_Box(int(frame), np.array([x, y, x + w, y + h]), float(entry.get("score", 1.0)), side))
    return boxes


def _image_frames(images: list[dict[str, Any]]) -> dict[Any, int]:
    """Return the frame of every image id: the image's own, else its place in order of file names."""
    if all("frame_id" in image for image in images):
        return {image["id"]: int(image["frame_id"]) for image in images}
    named = sorted(images, key=lambda image: (_number(str(image.get("file_name", image["id"]))), image["id"]))
    return {image["id"]: frame for frame, image in enumerate(named)}


def _from_yolo(folder: Path, width: int, height: int) -> list[_Box]:
    files = sorted(folder.glob("*.txt"), key=lambda file: (_number(file.stem), file.name))
    files = [file for file in files if re.search(r"\d", file.stem)]
    if not files:
        raise ValueError("no NAME_FRAME.txt in it")
    first = min(_number(files[0].stem), 1)  # Ultralytics counts from 1
    names = _yolo_names(folder)
    boxes = []
    for file in files:
        for line in read_text(file, _TEXT_MOST).splitlines():
            if not line.strip():
                continue
            label, x, y, w, h, *score = line.split()
            center, half = np.array([float(x), float(y)]), np.array([float(w), float(h)]) / 2
            corners = np.concatenate((center - half, center + half)) * (width, height, width, height)
            side = _side(names.get(label, ""))
            boxes.append(_Box(_number(file.stem) - first, corners, float(score[0]) if score else 1.0, side))
    return boxes


def _yolo_names(folder: Path) -> dict[str, str]:
    """Return class names from `classes.txt`, one a line, where there is one."""
    for place in (folder / "classes.txt", folder.parent / "classes.txt"):
        if place.is_file():
            return {str(number): name for number, name in enumerate(read_text(place, _TEXT_MOST).splitlines())}
    return {}


def _number(text: str) -> int:
    return int((re.findall(r"\d+", text) or ["0"])[-1])


def _side(name: str) -> bool | None:
    lower = name.lower()
    return True if "right" in lower else False if "left" in lower else None


def _is_box(xyxy: Floats) -> bool:
    return bool(np.isfinite(xyxy).all() and xyxy[2] > xyxy[0] and xyxy[3] > xyxy[1])


def _tracks(boxes: list[_Box], frames: int) -> HandBoxes:
    """Link boxes to tracks, most certain first within a frame, and keep the two longest."""
    tracks: list[_Track] = []
    for box in sorted(boxes, key=lambda box: (box.frame, -box.score)):
        free = [t for t in tracks if t.last < box.frame and t.is_right == box.is_right]
        if box.is_right is None:
            overlap = [t for t in free if box_overlap(t.boxes[t.last], box.xyxy) > _OVERLAP]
            free = overlap or [t for t in free if box.frame - t.last > _LOST]
        taken = [t for t in tracks if t.is_right == box.is_right and box.is_right is not None and t.last == box.frame]
        if taken:
            continue  # a frame has one hand of a side
        best = max(free, key=lambda t: (box_overlap(t.boxes[t.last], box.xyxy), t.last), default=None)
        if best is None:
            best = _Track(box.is_right)
            tracks.append(best)
        best.boxes[box.frame], best.last = box.xyxy, box.frame
    kept = sorted(tracks, key=lambda t: -len(t.boxes))[:2]
    out = np.full((len(kept), frames, 4), np.nan)
    for row, one in enumerate(kept):
        for frame, xyxy in one.boxes.items():
            out[row, frame] = xyxy
    return HandBoxes(out, tuple(one.is_right for one in kept))
