"""Meshes in camera frame -> shaded pixels, coverage and depth: OpenGL where there is one, a painter where not.

Separate from what is drawn (clips, overlays). Only the box around the meshes is drawn, so a small hand costs little.
The backend is chosen once a process, by trying EGL (`HMPFIT_RENDERER=gl|painter` decides otherwise); the same backend
draws the same bytes every time.
"""

import functools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.geometry.cameras import project_array
from hmpfit.synthesis.shading import NEAR_M, Floats, Light, Mesh, join_meshes, vertex_normals

_LOG = logging.getLogger("hmpfit")


@dataclass(frozen=True)
class Drawing:
    """The drawn box of an image: `x, y` is its top left pixel. Colors are not multiplied with the coverage."""

    x: int
    y: int
    rgb: NDArray[np.uint8]  # [h, w, 3]
    coverage: NDArray[np.float32]  # [h, w] 0..1
    depth_m: NDArray[np.float32] | None  # [h, w], infinite where nothing is

    def over(self, image: NDArray[np.uint8], opacity: float = 1.0) -> None:
        """Lay the drawing over an RGB image, in place."""
        height, width = self.coverage.shape
        if height == 0 or width == 0:
            return
        blend_over(
            image[self.y : self.y + height, self.x : self.x + width], self.rgb, self.coverage * np.float32(opacity)
        )

    def blurred(self) -> "Drawing":
        """Return the drawing with each pixel the mean of it and its neighbors; without its depth."""
        import cv2

        if self.coverage.size == 0:
            return self
        rgb, coverage = (cv2.blur(part, (3, 3)) for part in (self.rgb, self.coverage))
        return Drawing(self.x, self.y, np.asarray(rgb, np.uint8), np.asarray(coverage, np.float32), None)


def blend_over(image: NDArray[np.uint8], over: NDArray[np.uint8], share: NDArray[np.float32]) -> None:
    """Lay `over` on an RGB image [h, w, 3] with the opacity `share` [h, w], in place."""
    import cv2

    image[:] = cv2.blendLinear(np.ascontiguousarray(image), np.ascontiguousarray(over), 1 - share, share)


class Renderer(Protocol):
    """Draws one box of pixels."""

    def draw(
        self, mesh: Mesh, normals: Floats, clip: Floats, size: tuple[int, int], light: Light, smooth: bool
    ) -> NDArray[np.uint8]:
        """Return RGBA [h, w, 4] of the mesh at box pixel coordinates and depth `clip` [V, 3]."""

    def depth(self, mesh: Mesh, clip: Floats, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return the nearest depth [h, w] in meters, infinite where nothing is."""


def render(
    meshes: Sequence[Mesh],
    K: Floats,
    width: int,
    height: int,
    light: Light | None = None,
    depth: bool = False,
    smooth: bool = True,
    backend: str | None = None,
) -> Drawing:
    """Draw meshes through the pinhole K [3, 3] (pixels) into the part of a width x height image that they cover.

    `smooth` averages four samples a pixel where the backend can. `backend`: "gl", "painter", or None for the
    process's choice. Raises InputError for another name.
    """
    import cv2

    renderer = _renderer(backend or default_backend())
    mesh = join_meshes(meshes)
    pixels = pixels_and_depth(mesh.vertices, K)
    ahead = mesh.vertices[:, 2] > NEAR_M
    if not ahead.any():
        return _nothing()
    low = np.clip(np.floor(pixels[ahead, :2].min(axis=0)) - 1, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(pixels[ahead, :2].max(axis=0)) + 1, 0, (width, height)).astype(int)
    if not ahead.all():
        low, high = np.zeros(2, dtype=int), np.array([width, height])
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    if min(size) <= 0:
        return _nothing()
    pixels[:, :2] -= low
    rgba = renderer.draw(mesh, vertex_normals(mesh), pixels, size, light or Light(), smooth)
    coverage = cv2.extractChannel(rgba, 3) * np.float32(1 / 255)
    rgb = np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), np.uint8)
    if smooth:
        rgb = np.minimum(rgb / np.maximum(coverage, 1 / 255)[..., None], 255).astype(np.uint8)
    return Drawing(int(low[0]), int(low[1]), rgb, coverage, renderer.depth(mesh, pixels, size) if depth else None)


def pixels_and_depth(points: Floats, K: Floats) -> NDArray[np.float64]:
    """Return pixel x, pixel y and depth [N, 3] of camera-frame points [N, 3]."""
    points = np.asarray(points, dtype=np.float64)
    return np.concatenate((project_array(points, K), points[:, 2:]), axis=1)


@functools.cache
def default_backend() -> str:
    """Return "gl" where an OpenGL context can be made without a screen, else "painter"."""
    wanted = os.environ.get("HMPFIT_RENDERER")
    if wanted:
        return wanted
    try:
        _renderer("gl")
        return "gl"
    except Exception as error:  # drivers fail in ways of their own
        _LOG.info("no OpenGL here (%s): drawing with the painter; apt install libegl1 libgl1 makes it better", error)
        return "painter"


def opengl_name() -> str:
    """Return what OpenGL draws with here; raises what making a context raises.

    It asks the context that draws: a second one in the process would silence the first.
    """
    from hmpfit.synthesis.renderer_gl import OpenGL

    gl = _renderer("gl")
    assert isinstance(gl, OpenGL)
    return gl.name


@functools.cache
def _renderer(name: str) -> Renderer:
    if name == "gl":
        from hmpfit.synthesis.renderer_gl import OpenGL

        return OpenGL()
    if name == "painter":
        from hmpfit.synthesis.renderer_painter import Painter

        return Painter()
    raise InputError(f"Unknown renderer '{name}' (HMPFIT_RENDERER); known: gl, painter.")


def _nothing() -> Drawing:
    return Drawing(0, 0, np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32))
