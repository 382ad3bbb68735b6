"""Crops of two hands: one crop where they are near, two pasted side by side where they are far apart.

Separate from `windows`, which says when, and from the network's call. In one crop around hands that are far apart each
would be a few pixels; pasted, as training pastes one-hand pictures, each fills its half. A lone hand is shown beside
its own mirror image, of which nothing that the network says is used.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hmpfit.records import Floats
from hmpfit.regressors import crops
from hmpfit.regressors.crops import Crop
from hmpfit.regressors.samples import Images
from hmpfit.regressors.two_hands import pasted_image as side_by_side

FAR = 2.3  # extent of both hands together per extent of the larger one
TILE = 160  # pixels, as the pictures that are pasted in training


class PairCrop(Protocol):
    """A way to show two hands."""

    def cut(self, image: Images, size: int) -> Images:
        """Return the network's picture [size, size, 3] of an image [h, w, 3]."""

    def rotations(self, K: Floats, distortion: Floats | None = None) -> Floats:
        """Return R [2, 3, 3] from the network's axes of the right and of the left hand to the camera's."""


@dataclass(frozen=True)
class JointCrop:
    """Both hands in one crop."""

    crop: Crop

    def cut(self, image: Images, size: int) -> Images:
        """See `PairCrop`."""
        return self.crop.cut(image, size)

    def rotations(self, K: Floats, distortion: Floats | None = None) -> Floats:
        """See `PairCrop`."""
        return np.stack([self.crop.rotation(K, distortion)] * 2)


@dataclass(frozen=True)
class SeparateCrops:
    """Each hand in a tile of its own, pasted; `crop` is then cut from the pasted picture."""

    tiles: tuple[Crop, Crop]  # of the right and of the left hand
    places: tuple[int, int]  # of these tiles in the pasted picture, 0 or 1
    mirrored: tuple[bool, bool]  # a tile that shows the other hand's mirror image
    crop: Crop

    def cut(self, image: Images, size: int) -> Images:
        """See `PairCrop`."""
        cuts = [tile.cut(image, TILE)[None] for tile in self.tiles]
        shown = [one[:, :, ::-1] if mirrored else one for one, mirrored in zip(cuts, self.mirrored)]
        pasted = side_by_side.join_images(*(shown[self.places.index(place)] for place in (0, 1)))[0]
        return self.crop.cut(np.ascontiguousarray(pasted), size)

    def rotations(self, K: Floats, distortion: Floats | None = None) -> Floats:
        """See `PairCrop`."""
        pasted = side_by_side.camera(TILE, float(np.mean([K[0, 0] * TILE / tile.side_px for tile in self.tiles])))
        inside = self.crop.rotation(pasted)
        rays = [side_by_side.ray_rotation(TILE, place, pasted) for place in self.places]
        return np.stack([tile.rotation(K, distortion) @ ray.T @ inside for tile, ray in zip(self.tiles, rays)])


def crop_pair(points: Floats, margin: float) -> PairCrop:
    """Return the crop for points [2, F, 21, 2] of the right and the left hand (pixels, NaN where unknown).

    At least one point must be known. The hand that is further left in the image is pasted on the left.
    """
    known = [bool(np.isfinite(hand).any()) for hand in points]
    tiles = [crops.around(hand, margin=side_by_side.MARGIN) if seen else None for hand, seen in zip(points, known)]
    right, left = tiles
    if right is not None and left is not None:
        largest = max(right.side_px, left.side_px) / side_by_side.MARGIN
        if crops.around(points, margin=1.0).side_px <= FAR * largest:
            return JointCrop(crops.around(points, margin=margin))
        places = (0, 1) if right.center_px[0] <= left.center_px[0] else (1, 0)
    else:
        places = (0, 1)
        right, left = right or left, left or right
    assert right is not None and left is not None
    mirrored = (not known[0], not known[1])
    shown = [points[1] if mirrored[0] else points[0], points[0] if mirrored[1] else points[1]]
    laid = []
    for hand, tile, place, flipped in zip(shown, (right, left), places, mirrored):
        xy = tile.from_image(hand) * TILE
        laid.append((xy * (-1, 1) + (TILE, 0) if flipped else xy) + side_by_side.offset(TILE, place))
    return SeparateCrops((right, left), places, mirrored, crops.around(np.stack(laid), margin=margin))
