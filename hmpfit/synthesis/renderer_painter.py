"""The painter backend of the renderer: triangles from far to near with OpenCV, for machines without any OpenGL.

Flat shading a triangle and no anti-aliasing inside the shape; good enough to see a hand.
"""

import numpy as np
from numpy.typing import NDArray

from hmpfit.synthesis.shading import NEAR_M, Floats, Light, Mesh, shade

_SUBPIXEL_BITS = 4


class Painter:
    """See `renderer.Renderer`."""

    def draw(
        self, mesh: Mesh, normals: Floats, clip: Floats, size: tuple[int, int], light: Light, smooth: bool
    ) -> NDArray[np.uint8]:
        """Return RGBA [h, w, 4]; edges are never smoothed."""
        import cv2

        image = np.zeros((size[1], size[0], 4), np.uint8)
        colors = shade(mesh.colors, normals, mesh.vertices, light)[mesh.faces].mean(axis=1) * 255
        corners = _fixed_point(clip)[mesh.faces]
        for face in _far_to_near(mesh, clip):
            color = (*colors[face].round().tolist(), 255.0)
            cv2.fillConvexPoly(image, corners[face], color, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
        return image

    def depth(self, mesh: Mesh, clip: Floats, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return meters [h, w], one depth a triangle, infinite where nothing is."""
        import cv2

        image = np.full((size[1], size[0]), np.inf, np.float32)
        meters = clip[:, 2][mesh.faces].mean(axis=1)
        corners = _fixed_point(clip)[mesh.faces]
        for face in _far_to_near(mesh, clip):
            cv2.fillConvexPoly(image, corners[face], (float(meters[face]),), lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
        return image


def _fixed_point(clip: Floats) -> NDArray[np.int32]:
    """Return pixel coordinates as OpenCV's fixed point; its pixel centers are whole numbers, ours end in a half."""
    return np.clip((clip[:, :2] - 0.5) * (1 << _SUBPIXEL_BITS), -(1 << 24), 1 << 24).round().astype(np.int32)


def _far_to_near(mesh: Mesh, clip: Floats) -> NDArray[np.integer]:
    depth = clip[:, 2][mesh.faces]
    order = np.argsort(-depth.mean(axis=1), kind="stable")
    return order[(depth[order] > NEAR_M).all(axis=1)]
