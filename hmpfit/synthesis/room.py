"""A textured still room with depth, rendered from any pose: the background of truth clips with a moving camera.

Walls, floor, ceiling and boxes are flat rectangles. A rectangle's depth is 1 / (a linear function of the pixel), so the
nearest one at every pixel is found without a mesh; only background, the hands are drawn over it by `clips.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.cameras import project_array
from hmpfit.geometry.rigid_transforms import inverse
from hmpfit.records import Camera, Floats

Image = NDArray[np.uint8]

_HALF_WIDTH_M, _FLOOR_M, _CEILING_M, _BACK_M = 2.4, 1.25, -1.3, -2.5
_AHEAD_M = 3.2  # of the far wall before the farthest camera
_CORRIDOR_M, _NEAREST_M = 0.75, 1.0  # kept free of boxes on either side of the path, and before its start
_BOXES = 16
_TEXELS_PER_M = 160
_BEHIND_M = 0.02


@dataclass(frozen=True)
class Rectangle:
    """A flat textured rectangle in the world, meters."""

    corner: Floats  # [3] where the texture's first texel lies
    right: Floats  # [3] along the texture's columns, the rectangle's length
    down: Floats  # [3] along its rows
    texture: Image  # [h, w, 3]


@dataclass(frozen=True)
class Room:
    """A still scene of textured rectangles."""

    rectangles: tuple[Rectangle, ...]

    def image(self, camera: Camera, world_from_camera: Floats) -> Image:
        """Return the RGB picture [height, width, 3] from a pose [4, 4]; black where the scene ends."""
        import cv2

        width, height = camera.width, camera.height
        out = np.zeros((height, width, 3), np.uint8)
        nearest = np.zeros((height, width), np.float32)  # 1 / depth
        camera_from_world, back = inverse(world_from_camera), np.linalg.inv(camera.K[0])
        for flat in self.rectangles:
            axes = camera_from_world[:3, :3] @ np.stack((flat.right, flat.down, flat.corner), axis=1)
            axes[:, 2] += camera_from_world[:3, 3]
            part = _covered(axes, camera)
            if part is None or abs(np.linalg.det(axes)) < 1e-9:
                continue
            # texture coordinates (u, v, 1) / depth = to_plane @ pixel
            a = (np.linalg.inv(axes) @ back).astype(np.float32)
            x = np.arange(part[1].start, part[1].stop, dtype=np.float32)[None] + 0.5
            y = np.arange(part[0].start, part[0].stop, dtype=np.float32)[:, None] + 0.5
            u, v, inverse_depth = (a[i, 0] * x + (a[i, 1] * y + a[i, 2]) for i in range(3))
            inside = (inverse_depth > np.maximum(nearest[part], 1e-3)) & (u > 0) & (v > 0)
            inside &= (u < inverse_depth) & (v < inverse_depth)
            if not inside.any():
                continue
            depth = 1 / np.where(inside, inverse_depth, 1.0)
            rows, columns = flat.texture.shape[:2]
            seen = cv2.remap(
                flat.texture, u * depth * columns - 0.5, v * depth * rows - 0.5, cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
            np.copyto(out[part], seen, where=inside[..., None])
            np.copyto(nearest[part], inverse_depth, where=inside)
        return out


def _covered(axes: Floats, camera: Camera) -> tuple[slice, slice] | None:
    """Return the rows and columns that a rectangle (right, down, corner as columns, camera axes) may cover."""
    corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1.0]]) @ axes.T
    if (corners[:, 2] <= _BEHIND_M).all():
        return None
    if (corners[:, 2] <= _BEHIND_M).any():
        return slice(0, camera.height), slice(0, camera.width)
    pixels = project_array(corners, camera.K[0])
    low = np.clip(np.floor(pixels.min(axis=0)), 0, (camera.width, camera.height)).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)), 0, (camera.width, camera.height)).astype(int)
    return (slice(low[1], high[1]), slice(low[0], high[0])) if (high > low).all() else None


def sample_room(world_from_camera: Floats, generator: np.random.Generator) -> Room:
    """Draw a furnished room around a camera path [T, 4, 4], its middle kept free."""
    far = float(world_from_camera[:, 2, 3].max()) + _AHEAD_M
    w, low, high, near = _HALF_WIDTH_M, _FLOOR_M, _CEILING_M, _BACK_M
    walls = [
        ((-w, high, far), (2 * w, 0, 0), (0, low - high, 0)),
        ((-w, high, near), (0, 0, far - near), (0, low - high, 0)),
        ((w, high, far), (0, 0, near - far), (0, low - high, 0)),
        ((-w, low, near), (2 * w, 0, 0), (0, 0, far - near)),
        ((-w, high, near), (2 * w, 0, 0), (0, 0, far - near)),
        ((w, high, near), (-2 * w, 0, 0), (0, low - high, 0)),
    ]
    flats = [_textured(np.array(a), np.array(b, float), np.array(c, float), generator) for a, b, c in walls]
    for _ in range(_BOXES):
        size = generator.uniform((0.25, 0.3, 0.25), (0.7, 1.6, 0.7))
        side = generator.choice([-1.0, 1.0])
        x = side * generator.uniform(_CORRIDOR_M + size[0] / 2, w - size[0] / 2)
        z = generator.uniform(_NEAREST_M + size[2] / 2, far - size[2] / 2)
        floats = generator.random() < 0.35  # a shelf or lamp on the wall
        y = generator.uniform(high + size[1] / 2, low - size[1] / 2) if floats else low - size[1] / 2
        flats += _box(np.array([x, y, z]), size, generator)
    return Room(tuple(flats))


def _box(center: Floats, size: Floats, generator: np.random.Generator) -> list[Rectangle]:
    flats = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            right, down = (np.eye(3)[(axis + step) % 3] * size for step in (1, 2))
            corner = center + sign * 0.5 * size * np.eye(3)[axis] - 0.5 * (right + down)
            flats.append(_textured(corner, right, down, generator))
    return flats


def _textured(corner: Floats, right: Floats, down: Floats, generator: np.random.Generator) -> Rectangle:
    sides = (int(np.linalg.norm(down) * _TEXELS_PER_M) + 2, int(np.linalg.norm(right) * _TEXELS_PER_M) + 2)
    return Rectangle(corner, right, down, _texture(sides, generator))


def _texture(size: tuple[int, int], generator: np.random.Generator) -> Image:
    """Draw wallpaper of several scales with posters and marks, softly shaded, corners for a tracker everywhere."""
    import cv2

    height, width = size
    out = np.zeros((height, width, 3), np.float32)
    tint, shade = generator.uniform(60, 170, 3), generator.uniform(0.75, 1.0)
    for step, strength in ((48, 16.0), (16, 10.0), (5, 7.0)):
        small = generator.normal(0, 1, (height // step + 2, width // step + 2)).astype(np.float32)
        gray = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        out += strength * gray[..., None] * generator.uniform(0.6, 1.2, 3)
    out += tint
    for _ in range(max(int(height * width / 9000), 2)):
        x, y = int(generator.integers(0, width)), int(generator.integers(0, height))
        w, h = (int(side) for side in generator.integers(8, 60, 2))
        color = tuple(generator.uniform(20, 230, 3).tolist())
        if generator.random() < 0.6:
            cv2.rectangle(out, (x, y), (x + w, y + h), color, -1 if generator.random() < 0.7 else 3)
        else:
            cv2.circle(out, (x, y), w // 2, color, -1 if generator.random() < 0.6 else 3)
    return np.clip(cv2.GaussianBlur(out, (0, 0), 0.8) * shade, 0, 255).astype(np.uint8)
