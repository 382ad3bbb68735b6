"""The palm detector on LiteRT: a whole image in, regions that may hold a hand out.

Separate from the landmark network because only this one reads whole frames. The grid of anchors and the decoding
are those of MediaPipe's palm detection graph: 24 x 24 cells with 2 anchors and 12 x 12 with 6, offsets in units of
the 192-pixel input, overlapping detections averaged by their scores.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints import regions as areas
from hmpfit.keypoints.networks import build_rounded, interpreter
from hmpfit.keypoints.regions import Regions
from hmpfit.records import Floats

INPUT = 192
_GRIDS = ((24, 2), (12, 6))
_SAME_PALM = 0.3  # intersection over union above which two boxes show one palm
_WRIST, _MIDDLE = 0, 2  # of the detector's seven palm points


@dataclass(frozen=True)
class Palms:
    """N palms of one image, most certain first."""

    regions: Regions  # [N] squares around the whole hand
    score: Floats  # [N]


class PalmDetector:
    """All palms of an image down to a score."""

    def __init__(self, model: bytes, minimum_score: float, most: int) -> None:
        self._interpreter = build_rounded(model, lambda content: interpreter(content, (1, INPUT, INPUT, 3)))
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = sorted(self._interpreter.get_output_details(), key=lambda detail: -int(detail["shape"][-1]))
        self._boxes, self._scores = (o["index"] for o in outputs)
        self._anchors = areas.anchors(_GRIDS)
        self._minimum_score, self._most = minimum_score, most

    def __call__(self, image: NDArray[np.uint8]) -> Palms:
        """Find the palms of an RGB image [height, width, 3]."""
        padded, scale, offset = letterbox(image, INPUT)
        self._interpreter.set_tensor(self._input, padded[None].astype(np.float32) / np.float32(255))
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._boxes)[0].astype(np.float64)
        logits = self._interpreter.get_tensor(self._scores)[0, :, 0].astype(np.float64)
        scores = 1 / (1 + np.exp(-np.clip(logits, -100, 100)))
        likely = scores >= self._minimum_score
        points, scores = decode(raw[likely], self._anchors[likely]), scores[likely]
        points, scores = merge(points, scores)
        points, scores = (points[: self._most] - offset) / scale, scores[: self._most]
        box = points[:, :2].reshape(-1, 4)
        return Palms(areas.from_palm(box, points[:, 2 + _WRIST], points[:, 2 + _MIDDLE]), scores)


def decode(raw: Floats, anchors: Floats) -> Floats:
    """Turn raw outputs [N, 18] at anchors [N, 2] into input pixels [N, 9, 2]: box corners, then palm points."""
    pairs = raw.reshape(-1, 9, 2)
    center, extent = pairs[:, 0] + anchors * INPUT, pairs[:, 1]
    corners = np.stack((center - extent / 2, center + extent / 2), axis=1)
    return np.concatenate((corners, pairs[:, 2:] + anchors[:, None] * INPUT), axis=1)


def merge(points: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Average detections [N, 9, 2] that overlap the most certain one, weighted by score; most certain first."""
    kept_points, kept_scores = [], []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        same = _overlap(points[left[0], :2], points[left, :2]) > _SAME_PALM
        same[0] = True
        group, left_over = left[same], left[~same]
        kept_points.append(np.average(points[group], axis=0, weights=scores[group]))
        kept_scores.append(scores[group[0]])
        left = left_over
    return np.array(kept_points).reshape(-1, 9, 2), np.array(kept_scores)


def _overlap(box: Floats, boxes: Floats) -> Floats:
    common = np.clip(np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0]), 0, None).prod(axis=-1)
    areas_px = np.clip(boxes[:, 1] - boxes[:, 0], 0, None).prod(axis=-1)
    together = np.clip(box[1] - box[0], 0, None).prod() + areas_px - common
    return np.asarray(common / np.maximum(together, 1e-9))


def letterbox(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float, Floats]:
    """Fit the image into the square input; returns it with the scale and offset that lead there."""
    import cv2

    height, width = image.shape[:2]
    scale = side / max(height, width)
    offset = np.array([(side - width * scale) / 2, (side - height * scale) / 2])
    smaller, factor = image, np.array([scale, scale])
    if scale < 0.5:  # average first, so that thin fingers are not sampled away
        size = max(round(width * scale * 2), 1), max(round(height * scale * 2), 1)
        while smaller.shape[1] >= 2 * size[0] and smaller.shape[0] >= 2 * size[1]:
            half = smaller.shape[1] // 2, smaller.shape[0] // 2  # other shares of a pixel take six times as long
            smaller = np.asarray(cv2.resize(smaller, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        smaller = np.asarray(cv2.resize(smaller, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        factor = scale * np.array([width / size[0], height / size[1]])
    matrix = np.column_stack((np.diag(factor), offset + 0.5 * factor - 0.5))
    padded = cv2.warpAffine(smaller, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return np.asarray(padded, dtype=np.uint8), scale, offset
