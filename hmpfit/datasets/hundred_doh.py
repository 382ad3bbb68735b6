"""100DOH (100 Days of Hands): single pictures with boxes and sides of hands; no joints, hence no errors to measure.

The layout is that of its makers' own detector (Pascal VOC): no joints and no camera are annotated, so that
`hmpfit batch` fits the pictures and `hmpfit eval` says that there is nothing to compare with.
"""

from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from hmpfit.datasets.layout import require
from hmpfit.errors import InputError
from hmpfit.files.opening import MIB, explained, read_text
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence, Truth
from hmpfit.records import Floats

EXPECTED = "VOC2007/{JPEGImages, Annotations, ImageSets/Main/*.txt}, as in VOCdevkit2007_handobj_100K"
HAND, SIDE = "hand", {"0": False, "1": True}  # `handside`: 0 is a left hand
_MOST = MIB  # of one annotation


def open_split(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open one list of pictures, each a recording of one frame. Raises InputError when the folder is not 100DOH."""
    root = path / "VOC2007" if (path / "VOC2007").is_dir() else path
    listed = read_text(require(root / "ImageSets" / "Main" / f"{split}.txt", "100DOH", EXPECTED, path)).split()
    recordings, broken = [], []
    for name in listed:
        picture, annotation = root / "JPEGImages" / f"{name}.jpg", root / "Annotations" / f"{name}.xml"
        try:
            sides, boxes = _hands(annotation)
        except InputError as error:
            broken.append((str(annotation), str(error)))
            continue
        if not picture.is_file() or not sides:
            broken.append((str(picture), "it shows no hand" if picture.is_file() else "the image is missing"))
            continue
        recordings.append(
            Sequence(
                name=name, fps=30.0, images=(picture,), frame_names=(name,), times_s=np.zeros(1), protocol="hmp",
                sides=sides, read_camera=None, read_truth=partial(_no_truth, name),
                read_boxes=partial(_as_it_is, boxes),
            )
        )  # fmt: skip
    return Dataset("100doh", path, split, tuple(recordings), tuple(broken))


def _hands(file: Path) -> tuple[tuple[bool, ...], Floats]:
    """Return the sides and boxes [H, 1, 4] (pixels, 0-based) of an annotation's hands. Raises InputError."""
    content = read_text(file, _MOST)
    with explained(file, "an annotation of 100DOH"):
        if "<!DOCTYPE" in content or "<!ENTITY" in content:
            raise ValueError("it declares entities")
        sides, boxes = [], []
        for thing in ElementTree.fromstring(content).iter("object"):
            if (thing.findtext("name") or "").strip().lower() != HAND:
                continue
            corners = [float(thing.findtext(f"bndbox/{key}") or "nan") - 1 for key in ("xmin", "ymin", "xmax", "ymax")]
            side = (thing.findtext("handside") or "").strip().removesuffix(".0")
            if not np.isfinite(corners).all() or side not in SIDE:
                raise ValueError("a hand lacks its box or its side")
            sides.append(SIDE[side])
            boxes.append([corners])
    return tuple(sides), np.array(boxes, dtype=np.float64).reshape(-1, 1, 4).clip(min=0)


def _no_truth(name: str) -> Truth:
    raise InputError(f"100DOH has no joints to compare '{name}' with: its hands have boxes, sides and contacts alone.")


def _as_it_is(boxes: Floats) -> Floats:
    return boxes


def _recognizes(path: Path) -> bool:
    root = path / "VOC2007" if (path / "VOC2007").is_dir() else path
    return (root / "ImageSets" / "Main").is_dir() and (root / "JPEGImages").is_dir() and (root / "Annotations").is_dir()


READER = Reader(EXPECTED, ("test", "trainval", "train", "val"), open_split, _recognizes)
