"""A detector of hands that hold something: boxes, sides and directions where the palm detector sees no palm.

Separate from `palm_detector`: a network of our own on that one's inner layers (`palm_features`). Trained by
`benchmarks/train_hand_detector.py`; the card beside the weights says on what, and how well it does on clips left out.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hmpfit.files.weights import read_tensors
from hmpfit.keypoints.palm_detector import INPUT
from hmpfit.keypoints.palm_features import FINE, PalmFeatures
from hmpfit.keypoints.regions import Regions, box_overlap
from hmpfit.records import Floats

if TYPE_CHECKING:
    from hmpfit.keypoints.center_network import CenterNetwork

WEIGHTS = Path(__file__).parent / "weights" / "hand_detector.safetensors"
SIDE_PER_BOX = 1.45  # side of the landmark network's region per longer side of a box
_SAME_HAND = 0.4  # intersection over union above which two boxes show one hand


@dataclass(frozen=True)
class FoundHands:
    """N hands of one image, most certain first."""

    xyxy_px: Floats  # [N, 4]
    score: Floats  # [N] 0..1
    right: Floats  # [N] that it is a right hand
    direction: Floats  # [N, 2] unit vectors from the wrist to the middle knuckle, image axes

    @property
    def regions(self) -> Regions:
        """The squares around the hands, fingers up."""
        center, extent = (self.xyxy_px[:, :2] + self.xyxy_px[:, 2:]) / 2, self.xyxy_px[:, 2:] - self.xyxy_px[:, :2]
        angle = np.arctan2(self.direction[:, 0], -self.direction[:, 1])
        return Regions(center, SIDE_PER_BOX * extent.max(-1, initial=0.0), angle)


class HandDetector:
    """All hands of an image down to a score. One instance serves one thread."""

    def __init__(self, palm: bytes, minimum_score: float, most: int, network: "CenterNetwork | None" = None) -> None:
        self._features = PalmFeatures(palm)
        self._network = shipped_network() if network is None else network
        self._minimum_score, self._most = minimum_score, most

    def __call__(self, image: NDArray[np.uint8]) -> FoundHands:
        """Find hands of an RGB image [height, width, 3]."""
        import torch

        maps, scale, offset = self._features.of_image(image)
        with torch.no_grad():
            fine, coarse = (torch.from_numpy(one[None]).permute(0, 3, 1, 2) for one in maps)
            cells = self._network(fine, coarse)[0].double().numpy()
        found = decode_centers(cells, self._minimum_score, self._most)
        corners = (found.xyxy_px.reshape(-1, 2) - offset) / scale
        return FoundHands(corners.reshape(-1, 4), found.score, found.right, found.direction)


@cache
def shipped_network() -> "CenterNetwork":
    """Return the network with the shipped weights, in evaluation mode."""
    from hmpfit.keypoints.center_network import CenterNetwork

    network = CenterNetwork()
    network.load_state_dict({name: values.float() for name, values in read_tensors(WEIGHTS).items()}, strict=False)
    return network.eval().requires_grad_(False)


def decode_centers(cells: Floats, minimum_score: float, most: int) -> FoundHands:
    """Return the peaks of the network's output [8, 24, 24] as hands, in pixels of its 192-pixel input."""
    from hmpfit.keypoints.center_network import DIRECTION, HEAT, OFFSET, RIGHT, SIZE

    heat = 1 / (1 + np.exp(-cells[HEAT]))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(heat, 1), (3, 3)).max((-1, -2))
    y, x = np.nonzero((heat >= around) & (heat >= minimum_score))
    order = np.argsort(-heat[y, x], kind="stable")
    y, x = y[order], x[order]
    at = cells[:, y, x].T
    pixels = INPUT / FINE
    center = (np.stack((x, y), -1) + 0.5 + at[:, OFFSET]) * pixels
    half = np.exp(np.clip(at[:, SIZE], -3.0, np.log(2.0 * FINE))) * pixels / 2
    boxes = np.concatenate((center - half, center + half), -1)
    kept: list[int] = []
    for n in range(len(boxes)):
        if len(kept) < most and all(box_overlap(boxes[n], boxes[m]) < _SAME_HAND for m in kept):
            kept.append(n)
    direction = at[kept][:, DIRECTION]
    direction = direction / np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-9)
    return FoundHands(boxes[kept], heat[y, x][kept], 1 / (1 + np.exp(-at[kept][:, RIGHT])), direction)
