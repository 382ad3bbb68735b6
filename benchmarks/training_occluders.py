"""Occluders that the occlusion classifier is trained on; those it is tested on (`paste_occluders.py`) are drawn by
other code.

Pieces of other pictures, plain and shaded areas, stripes and noise, areas in the colors of the hand; bounded by bars,
ellipses, polygons and edges; sharp and blurred.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]


def occlude(
    image: Image, points: Floats, bank: Sequence[Image], generator: np.random.Generator
) -> tuple[Image, NDArray[np.bool_]]:
    """Return the image with one or two occluders near the points [21, 2], and which points they cover."""
    mask = np.zeros(image.shape[:2], dtype=np.float32)
    for _ in range(1 + int(generator.random() < 0.2)):
        alpha = _shape(image.shape[:2], points, generator)
        if generator.random() < 0.5:
            alpha = cv2.GaussianBlur(alpha, (0, 0), generator.uniform(0.5, 4))
        picture = _picture(image, points, bank, generator)
        image = (image * (1 - alpha[..., None]) + picture * alpha[..., None]).astype(np.uint8)
        mask = np.maximum(mask, alpha)
    x, y = np.clip(points, 0, np.array(image.shape[1::-1]) - 1).astype(int).T
    return image, mask[y, x] > 0.5


def _shape(size: tuple[int, int], points: Floats, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return a filled shape [height, width], 0 or 1."""
    box = float(np.linalg.norm(np.ptp(points, axis=0)))
    target = points[generator.integers(21)] * 0.6 + points.mean(0) * 0.4
    middle = target + generator.normal(size=2) * 0.15 * box
    radius = box * generator.uniform(0.12, 0.65)
    kind, turn = int(generator.integers(4)), generator.uniform(0, 2 * np.pi)
    if kind == 0:  # a bar, also as thin as a finger
        corners = np.array([[-3, -1], [3, -1], [3, 1], [-3, 1]]) * [box, generator.uniform(0.04, 0.3) * box]
    elif kind == 1:
        angles = np.linspace(0, 2 * np.pi, 40)
        corners = radius * np.stack((np.cos(angles), generator.uniform(0.4, 1) * np.sin(angles)), axis=1)
    elif kind == 2:
        angles = np.sort(generator.uniform(0, 2 * np.pi, int(generator.integers(3, 9))))
        corners = radius * generator.uniform(0.7, 1.3, (len(angles), 1)) * np.stack((np.cos(angles), np.sin(angles)), 1)
    else:  # everything beyond an edge
        corners = np.array([[0, -6], [12, -6], [12, 6], [0, 6]]) * box
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    outline = (corners @ rotation.T + middle).astype(np.int32)
    return cv2.fillPoly(np.zeros(size, np.float32), [outline], 1.0)


def _picture(image: Image, points: Floats, bank: Sequence[Image], generator: np.random.Generator) -> Floats:
    """Return what the shape shows, [height, width, 3]."""
    height, width = image.shape[:2]
    kind = int(generator.integers(5))
    if kind <= 1:
        piece = bank[int(generator.integers(len(bank)))]
        side = min(piece.shape[:2])
        part = int(side * generator.uniform(0.3, 1))
        top, left = (int(generator.integers(n - part + 1)) for n in piece.shape[:2])
        return cv2.resize(piece[top : top + part, left : left + part], (width, height)).astype(np.float32)
    if kind == 2:
        x, y = (points[[0, 1, 5, 9, 13, 17]] + generator.normal(size=(6, 2))).T
        skin = image[np.clip(y, 0, height - 1).astype(int), np.clip(x, 0, width - 1).astype(int)].astype(np.float32)
        ends = skin[generator.integers(len(skin), size=2)] * generator.uniform(0.8, 1.15, (2, 1))
    else:
        ends = generator.uniform(0, 255, (2, 3))
    if kind == 4 and generator.random() < 0.6:
        y, x = np.mgrid[0:height, 0:width]
        share = 0.5 + 0.5 * np.sin((x * generator.normal() + y * generator.normal()) * generator.uniform(0.03, 0.5))
        share = share.round() if generator.random() < 0.5 else share
    else:
        cells = int(2 ** generator.uniform(1, 6))
        coarse = generator.uniform(0, 1, (cells, cells)).astype(np.float32)
        share = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    color = ends[0] * share[..., None] + ends[1] * (1 - share[..., None])
    return np.clip(color + generator.normal(size=3) * 6, 0, 255).astype(np.float32)
