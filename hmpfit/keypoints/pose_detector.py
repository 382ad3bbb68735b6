"""People on LiteRT: MediaPipe's pose networks, whole images in, 33 body points of each person out.

Separate from the hand networks, which it helps: arms tell whose a hand is and which, and where to look for one. The
grid of anchors, the decoding and the placing of crops are those of MediaPipe's pose graphs.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints import regions as areas
from hmpfit.keypoints.networks import interpreter
from hmpfit.keypoints.palm_detector import letterbox
from hmpfit.keypoints.regions import Regions
from hmpfit.records import Floats

DETECTOR_IN_WHEEL = Path("modules/pose_detection/pose_detection.tflite")
LANDMARK_IN_WHEEL = Path("modules/pose_landmark/pose_landmark_full.tflite")
POINTS = 33
LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST = 13, 14, 15, 16
LEFT_INDEX, RIGHT_INDEX = 19, 20

_DETECTOR_INPUT, _LANDMARK_INPUT = 224, 256
_GRIDS = ((28, 2), (14, 2), (7, 6))
_LEAST_SCORE, _LEAST_PRESENCE = 0.5, 0.5
_SAME_CENTER = 0.3  # of a body's square, between hips' centers, up to which two detections are one person
_CROP_SCALE = 1.25
_MOST = 4


@dataclass(frozen=True)
class Bodies:
    """N persons of one image."""

    xy_px: Floats  # [N, 33, 2] MediaPipe's pose points
    visibility: Floats  # [N, 33] in 0..1
    size_px: Floats  # [N] side of the square around the body


NO_BODIES = Bodies(np.zeros((0, POINTS, 2)), np.zeros((0, POINTS)), np.zeros(0))


def load_pose_files() -> tuple[bytes, bytes] | None:
    """Return both networks from the installed mediapipe wheel, or None where it carries none."""
    spec = find_spec("mediapipe")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        files = Path(folder) / DETECTOR_IN_WHEEL, Path(folder) / LANDMARK_IN_WHEEL
        if all(file.is_file() for file in files):
            return files[0].read_bytes(), files[1].read_bytes()
    return None


class PoseDetector:
    """The persons of an image."""

    def __init__(self, detector: bytes, landmarks: bytes) -> None:
        self._detector = interpreter(detector, (1, _DETECTOR_INPUT, _DETECTOR_INPUT, 3))
        self._landmarks = interpreter(landmarks, (1, _LANDMARK_INPUT, _LANDMARK_INPUT, 3))
        outputs = sorted(self._detector.get_output_details(), key=lambda detail: -int(detail["shape"][-1]))
        self._boxes, self._scores = (o["index"] for o in outputs)
        sized = {int(np.prod(o["shape"])): o["index"] for o in self._landmarks.get_output_details()}
        self._points, self._presence = sized[195], sized[1]
        self._anchors = areas.anchors(_GRIDS)

    def __call__(self, image: NDArray[np.uint8]) -> Bodies:
        """Find the persons of an RGB image [height, width, 3], most certain first."""
        found = [self._one(image, region) for region in self._regions(image)]
        kept = [one for one in found if one is not None]
        if not kept:
            return NO_BODIES
        return Bodies(*(np.stack([one[part] for one in kept]) for part in range(3)))

    def _regions(self, image: NDArray[np.uint8]) -> list[Regions]:
        padded, scale, offset = letterbox(image, _DETECTOR_INPUT)
        net = self._detector
        net.set_tensor(net.get_input_details()[0]["index"], padded[None].astype(np.float32) / np.float32(127.5) - 1)
        net.invoke()
        raw = net.get_tensor(self._boxes)[0].astype(np.float64)
        scores = 1 / (1 + np.exp(-np.clip(net.get_tensor(self._scores)[0, :, 0].astype(np.float64), -100, 100)))
        likely = np.flatnonzero(scores >= _LEAST_SCORE)
        out: list[Regions] = []
        for n in likely[np.argsort(-scores[likely], kind="stable")]:
            points = raw[n, 4:].reshape(-1, 2) + self._anchors[n] * _DETECTOR_INPUT
            hips, top = (points[:2] - offset) / scale
            up = top - hips
            side = 2 * _CROP_SCALE * float(np.linalg.norm(up))
            near = [np.linalg.norm(one.center_px - hips) < _SAME_CENTER * max(float(one.side_px), side) for one in out]
            if side > 0 and not any(near) and len(out) < _MOST:
                out.append(Regions(hips, np.array(side), np.arctan2(up[0], -up[1])))
        return out

    def _one(self, image: NDArray[np.uint8], region: Regions) -> tuple[Floats, Floats, Floats] | None:
        net = self._landmarks
        crop = areas.cut(image, region, False, _LANDMARK_INPUT)
        net.set_tensor(net.get_input_details()[0]["index"], crop[None].astype(np.float32) / np.float32(255))
        net.invoke()
        if net.get_tensor(self._presence).item() < _LEAST_PRESENCE:
            return None
        points = net.get_tensor(self._points).reshape(-1, 5)[:POINTS].astype(np.float64)
        visibility = (1 / (1 + np.exp(-points[:, 3:]))).min(axis=-1)
        xy = areas.to_image(points[:, :2], region, False, _LANDMARK_INPUT)
        return xy, visibility, np.asarray(region.side_px)
