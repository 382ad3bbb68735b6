"""Cameras, camera paths and boxes in other tools' formats as fuzzed families.

Separate from `families.py`: here one reader has many formats, which it tells apart by the content.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.fuzz.families import FRAMES, TIMES, Family, _one, _use_intrinsics

_OPENCV_YAML = """%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 900., 0., 320., 0., 900., 240., 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ 0.1, -0.05, 0.001, 0.001, 0. ]
"""
_ROS_YAML = """image_width: 640
image_height: 480
camera_name: narrow
distortion_model: plumb_bob
camera_matrix:
  rows: 3
  cols: 3
  data: [900, 0, 320, 0, 900, 240, 0, 0, 1]
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.1, -0.05, 0, 0, 0]
"""
_KALIBR_YAML = """cam0:
  camera_model: pinhole
  intrinsics: [900.0, 900.0, 320.0, 240.0]
  distortion_model: equidistant
  distortion_coeffs: [0.01, 0.001, 0.0, 0.0]
  resolution: [640, 480]
"""
_OPENCV_XML = """<?xml version="1.0"?>
<opencv_storage>
<image_width>640</image_width>
<image_height>480</image_height>
<camera_matrix type_id="opencv-matrix">
  <rows>3</rows><cols>3</cols><dt>d</dt>
  <data>900. 0. 320. 0. 900. 240. 0. 0. 1.</data></camera_matrix>
<distortion_coefficients type_id="opencv-matrix">
  <rows>5</rows><cols>1</cols><dt>d</dt><data>0.1 -0.05 0. 0. 0.</data></distortion_coefficients>
</opencv_storage>
"""
_COLMAP = "# Camera list with one line of data per camera:\n1 OPENCV 640 480 900 900 320 240 0.1 -0.05 0 0\n"


def _text(name: str, content: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        (folder / name).write_text(content)

    return build


def _tum(folder: Path) -> None:
    (folder / "path.txt").write_text("".join(f"{time:.6f} {time} 0 0 0 0 0 1\n" for time in TIMES))


def _colmap_images(folder: Path) -> None:
    lines = (f"{n + 1} 1 0 0 0 {n / 10} 0 0 1 frame_{n:04d}.jpg\n10 20 -1\n" for n in range(FRAMES))
    (folder / "images.txt").write_text("# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n" + "".join(lines))


def _colmap_binary(folder: Path) -> None:
    out = struct.pack("<Q", FRAMES)
    for n in range(FRAMES):
        out += struct.pack("<I7dI", n + 1, 1, 0, 0, 0, n / 10, 0, 0, 1) + f"frame_{n:04d}.jpg\0".encode()
        out += struct.pack("<Q", 1) + struct.pack("<ddq", 1.0, 2.0, -1)
    (folder / "images.bin").write_bytes(out)


def _path_npz(folder: Path) -> None:
    np.savez(folder / "p.npz", world_from_camera=np.tile(np.eye(4), (FRAMES, 1, 1)), times_s=TIMES)


def _use_path(folder: Path) -> None:
    from hmpfit.camera_motion.pose_files import ClipTimes, read_camera_path

    found = read_camera_path(_one(folder), ClipTimes(TIMES))
    assert found.shape == (FRAMES, 4, 4) and np.isfinite(found).all()


def _boxes_coco(folder: Path) -> None:
    content = {
        "images": [{"id": n, "file_name": f"{n:04d}.jpg"} for n in range(FRAMES)],
        "categories": [{"id": 1, "name": "left hand"}, {"id": 2, "name": "right hand"}],
        "annotations": [
            {"image_id": n, "category_id": side, "bbox": [10.0 * side, 20, 60, 50], "score": 0.9}
            for n in range(FRAMES)
            for side in (1, 2)
        ],
    }
    (folder / "boxes.json").write_text(json.dumps(content))


def _boxes_yolo(folder: Path) -> None:
    (folder / "labels").mkdir()
    (folder / "labels" / "classes.txt").write_text("left\nright\n")
    for n in range(FRAMES):
        (folder / "labels" / f"clip_{n + 1}.txt").write_text("0 0.5 0.5 0.2 0.3 0.9\n1 0.7 0.5 0.2 0.3 0.8\n")


def _boxes_npz(folder: Path) -> None:
    boxes = np.tile([10.0, 20, 70, 80], (2, FRAMES, 1))
    np.savez(folder / "b.npz", boxes_px=boxes, is_right=np.array([True, False]))


def _use_boxes(folder: Path) -> None:
    from hmpfit.keypoints.box_files import read_boxes

    found = read_boxes(_one(folder), FRAMES, 640, 480)
    assert found.xyxy_px.shape[1:] == (FRAMES, 4)


CAMERAS: dict[str, Family] = {
    "camera_opencv_yaml": Family(_text("c.yml", _OPENCV_YAML), _use_intrinsics),
    "camera_opencv_xml": Family(_text("c.xml", _OPENCV_XML), _use_intrinsics, weight=1),
    "camera_ros": Family(_text("c.yaml", _ROS_YAML), _use_intrinsics, weight=1),
    "camera_kalibr": Family(_text("c.yaml", _KALIBR_YAML), _use_intrinsics, weight=1),
    "camera_colmap": Family(_text("cameras.txt", _COLMAP), _use_intrinsics, weight=1),
    "path_tum": Family(_tum, _use_path, weight=1),
    "path_colmap_text": Family(_colmap_images, _use_path),
    "path_colmap_binary": Family(_colmap_binary, _use_path),
    "path_npz": Family(_path_npz, _use_path),
    "boxes_coco": Family(_boxes_coco, _use_boxes),
    "boxes_yolo": Family(_boxes_yolo, _use_boxes, "**/*.txt", weight=1),
    "boxes_npz": Family(_boxes_npz, _use_boxes, weight=1),
}
