"""The landmark network on LiteRT: pixels of one region in, 21 landmarks out.

MediaPipe's own network file is run without MediaPipe's graph, because tracking, mirrored crops and augmented views
need to say where to look. One instance serves one thread; LiteRT lets go of the interpreter lock while it computes.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.keypoints import regions as areas
from hmpfit.keypoints.eight_bit_weights import with_eight_bit_weights
from hmpfit.keypoints.network_taps import add_outputs, pooled_tensor, tap
from hmpfit.keypoints.regions import Regions
from hmpfit.records import Floats

log = logging.getLogger("hmpfit")
Built = TypeVar("Built")

_CREATING = threading.Lock()


@dataclass(frozen=True)
class Landmarks:
    """What the landmark network says about N regions, in image axes (mirroring and rotation of the crop undone)."""

    xy_px: Floats  # [N, 21, 2]
    world_m: Floats  # [N, 21, 3] hand-centered, axes of the image plane, z away from the camera
    presence: Floats  # [N] that there is a hand in the region
    right: Floats  # [N] that the hand, as the crop shows it, is a right hand
    features: Floats | None = None  # [N, 21, F] inner layers of the network at the landmarks (`visibility` reads them)
    pooled: Floats | None = None  # [N, 1152] the vector that the answers are read from (`hand_judge` reads it)

    def take(self, rows: NDArray[np.int64]) -> "Landmarks":
        """Return those of some regions."""
        features = None if self.features is None else self.features[rows]
        pooled = None if self.pooled is None else self.pooled[rows]
        return Landmarks(self.xy_px[rows], self.world_m[rows], self.presence[rows], self.right[rows], features, pooled)


class LandmarkNetwork:
    """21 landmarks of the hand in a region, and with `with_features` inner layers where the file lets them be read.

    `with_pooled` reads the vector before the answers as well.
    """

    def __init__(self, model: bytes, with_features: bool = False, with_pooled: bool = False) -> None:
        self._interpreter, self._maps, self._pooled = _built(model, with_features, with_pooled)
        self._input = self._interpreter.get_input_details()[0]["index"]
        inner = {*self._maps, self._pooled}
        details = [one for one in self._interpreter.get_output_details() if one["index"] not in inner]
        outputs = sorted(details, key=lambda detail: str(detail["name"]))
        if [int(np.prod(o["shape"])) for o in outputs] != [63, 1, 1, 63]:
            raise InputError("The hand landmarker's network has unknown outputs; use MediaPipe's official file.")
        self._outputs = [o["index"] for o in outputs]

    def __call__(self, image: NDArray[np.uint8], regions: Regions, mirrored: bool = False) -> Landmarks:
        """Find landmarks of an RGB image [height, width, 3] in N regions (axes [N])."""
        found = [self._one(areas.cut(image, regions[n], mirrored)) for n in range(len(regions.side_px))]
        crop_xyz, presence, right, world = (
            np.array(part, dtype=np.float64) for part in zip(*(one[:4] for one in found), strict=True)
        )
        features = np.stack([one[4] for one in found if one[4] is not None]) if self._maps else None
        pooled = None if self._pooled is None else np.stack([one[5] for one in found if one[5] is not None])
        axes = areas.crop_axes(regions, mirrored)
        world[..., :2] = world[..., :2] @ np.swapaxes(axes, -1, -2)
        xy_px = areas.to_image(crop_xyz[..., :2], regions, mirrored)
        return Landmarks(xy_px, world, presence, right, features, pooled)

    def _one(self, crop: NDArray[np.uint8]) -> tuple[Floats, float, float, Floats, Floats | None, Floats | None]:
        self._interpreter.set_tensor(self._input, crop[None].astype(np.float32) / np.float32(255))
        self._interpreter.invoke()
        xyz, presence, right, world = (self._interpreter.get_tensor(index) for index in self._outputs)
        xyz = xyz.reshape(21, 3)
        maps = [self._interpreter.get_tensor(index)[0] for index in self._maps]
        features = np.concatenate([at_points(cells, xyz[:, :2] / areas.CROP) for cells in maps], -1) if maps else None
        pooled = None if self._pooled is None else self._interpreter.get_tensor(self._pooled)[0]
        return xyz, presence.item(), right.item(), world.reshape(21, 3), features, pooled


def at_points(cells: Floats, xy: Floats) -> Floats:
    """Read a feature map [S, S, C] at points [N, 2] (0..1 of the crop) by bilinear interpolation, [N, C]."""
    side = cells.shape[0]
    place = np.clip(xy * side - 0.5, 0, side - 1)
    corner = np.minimum(place.astype(int), side - 2)
    (x, y), (u, v) = corner.T, (place - corner).T[..., None]
    upper = (1 - u) * cells[y, x] + u * cells[y, x + 1]
    lower = (1 - u) * cells[y + 1, x] + u * cells[y + 1, x + 1]
    return np.asarray((1 - v) * upper + v * lower)


def _built(model: bytes, with_features: bool, with_pooled: bool) -> tuple[Any, tuple[int, ...], int | None]:
    """Build the landmark network with 8-bit weights where LiteRT takes them; with the numbers of its inner layers."""

    def build(content: bytes) -> tuple[Any, tuple[int, ...], int | None]:
        pooled = pooled_tensor(content) if with_pooled else None
        tapped = tap(content) if with_features else None
        content = content if tapped is None else tapped.model
        content = content if pooled is None else add_outputs(content, (pooled,))
        return interpreter(content, (1, areas.CROP, areas.CROP, 3)), () if tapped is None else tapped.maps, pooled

    return build_rounded(model, build)


def prepare(*models: bytes) -> None:
    """Rewrite network files once, so that the copies that will be made of this process need not do it each."""
    for model in models:
        with_eight_bit_weights(model)


def build_rounded(model: bytes, build: Callable[[bytes], Built]) -> Built:
    """Build from the file with 8-bit weights, or from the file as it is where that fails."""
    rounded = with_eight_bit_weights(model)
    if rounded is not None:
        try:
            return build(rounded)
        except InputError:
            log.debug("LiteRT does not take 8-bit weights here; the network runs in single precision.")
    return build(model)


def interpreter(model: bytes, input_shape: tuple[int, ...]) -> Any:
    """Build a single-threaded LiteRT interpreter with float input of this shape; InputError for another file."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        with _CREATING, _quiet():
            built = Interpreter(model_content=model, num_threads=1)
            built.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"The hand landmarker's network cannot be read: {error}") from error
    shape = tuple(int(n) for n in built.get_input_details()[0]["shape"])
    if shape != input_shape:
        raise InputError(
            f"The hand landmarker's network takes {shape} instead of {input_shape}; use MediaPipe's official file."
        )
    return built


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT's greeting ("Created TensorFlow Lite XNNPACK delegate") off the user's terminal."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
