"""Things that hide a hand: an object in it, bars that pass between it and the camera, a board that stands in the way.

Separate from the clips, which draw whatever meshes these functions give for a frame.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import UnknownNameError
from hmpfit.geometry.alignment import unit
from hmpfit.records import Floats
from hmpfit.skeleton import openpose
from hmpfit.synthesis.shading import Mesh

Meshes = Callable[[int], list[Mesh]]  # frame -> what stands in the scene besides the hands

KINDS = ("none", "object", "heavy")

_BAR_PASSES = 2  # bars that cross a hand during a heavily occluded clip
_BAR_S, _BOARD_SHARE = 0.7, 0.25  # seconds a bar takes to cross; share of the clip that the board hides the hand


def occluders(kind: str, joints: Floats, fps: float, generator: np.random.Generator) -> Meshes:
    """Return what hides the hands of joints [H, T, 21, 3] (camera axes, meters) at every frame.

    "object": a box, ball or rod held in each hand. "heavy": that, bars that pass in front of the hands, and a board
    that hides much of one hand for a while. Raises UnknownNameError for another kind.
    """
    if kind not in KINDS:
        raise UnknownNameError("occlusion", kind, KINDS)
    parts: list[Meshes] = []
    if kind != "none":
        parts += [held(hand, generator) for hand in joints]
    if kind == "heavy":
        parts += [_bar(joints, fps, generator) for _ in range(_BAR_PASSES)]
        parts.append(_board(joints[int(generator.integers(len(joints)))], generator))
    return lambda frame: [mesh for part in parts for mesh in part(frame)]


def held(joints: Floats, generator: np.random.Generator) -> Meshes:
    """An object that lies in the palm and moves with it."""
    shape = generator.choice(3)
    size = generator.uniform(0.018, 0.035)
    if shape == 0:
        vertices, faces = box(np.array([size, size * generator.uniform(0.6, 1.6), size * generator.uniform(0.6, 1.2)]))
    elif shape == 1:
        vertices, faces = ball(size)
    else:
        vertices, faces = box(np.array([0.3 * size, 0.3 * size, 4 * size]))
    color = generator.uniform(0.1, 0.9, 3)

    def meshes(frame: int) -> list[Mesh]:
        wrist, index, middle, pinky = (
            joints[frame, openpose(name)] for name in ("wrist", "index1", "middle1", "pinky1")
        )
        along, across = unit(middle - wrist), unit(index - pinky)
        out = unit(np.cross(along, across))
        tips = joints[frame, [openpose(f"{finger}_tip") for finger in ("index", "middle", "ring")]].mean(0)
        side = np.sign(out @ (tips - middle)) or 1.0  # fingers bend towards the palm's side
        axes = np.stack((along, across, out), axis=1)
        center = middle + 0.01 * along + side * out * (size + 0.015)
        return [Mesh(vertices @ axes.T + center, faces, color)]

    return meshes


def _bar(joints: Floats, fps: float, generator: np.random.Generator) -> Meshes:
    """A bar that crosses the picture of the hands once, nearer than they are."""
    frames = joints.shape[1]
    length = max(int(_BAR_S * fps), 2)
    start = int(generator.integers(0, max(frames - length, 1)))
    angle, width = generator.uniform(0, np.pi), generator.uniform(0.015, 0.03)
    vertices, faces = box(np.array([0.4, width, 0.004]))
    turn = _about_z(angle)
    color = generator.uniform(0.1, 0.9, 3)
    direction = turn @ np.array([0.0, 1.0, 0.0])

    def meshes(frame: int) -> list[Mesh]:
        share = (frame - start) / length
        if not 0 <= share <= 1:
            return []
        middle = joints[:, frame].reshape(-1, 3).mean(0) * 0.75
        return [Mesh(vertices @ turn.T + middle + direction * (share - 0.5) * 0.3, faces, color)]

    return meshes


def _board(joints: Floats, generator: np.random.Generator) -> Meshes:
    """A board that stands before part of one hand for a quarter of the clip."""
    frames = len(joints)
    length = max(int(_BOARD_SHARE * frames), 1)
    start = int(generator.integers(0, max(frames - length, 1)))
    vertices, faces = box(np.array([0.06, 0.08, 0.003]))
    offset = generator.uniform(-0.05, 0.05, 3) * [1, 1, 0]
    color = generator.uniform(0.1, 0.9, 3)

    def meshes(frame: int) -> list[Mesh]:
        if not start <= frame < start + length:
            return []
        return [Mesh(vertices + joints[frame].mean(0) * 0.8 + offset, faces, color)]

    return meshes


def box(half: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return a box of half sizes [3]: vertices [24, 3], so that its edges stay sharp, and faces turning outwards."""
    corners: list[Floats] = []
    faces: list[tuple[int, ...]] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
            normal = sign * np.eye(3)[axis]
            first = len(corners)
            corners += [normal - u - v, normal + u - v, normal + u + v, normal - u + v]
            quad = [(0, 1, 2), (0, 2, 3)] if sign > 0 else [(0, 2, 1), (0, 3, 2)]
            faces += [tuple(first + corner for corner in triangle) for triangle in quad]
    return np.array(corners) * half, np.array(faces)


def ball(radius: float, rings: int = 10, sectors: int = 16) -> tuple[Floats, NDArray[np.int64]]:
    """Return a ball: vertices [rings sectors, 3] and faces turning outwards."""
    latitude, longitude = np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, sectors, endpoint=False)
    grid = np.stack(np.meshgrid(latitude, longitude, indexing="ij"), axis=-1).reshape(-1, 2)
    polar, around = grid.T
    points = np.stack((np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)), axis=1)
    index = np.arange(rings * sectors).reshape(rings, sectors)
    a, b = index[:-1].ravel(), index[1:].ravel()
    c, d = np.roll(index[1:], -1, 1).ravel(), np.roll(index[:-1], -1, 1).ravel()
    return radius * points, np.concatenate((np.stack((a, b, c), 1), np.stack((a, c, d), 1)))


def _about_z(angle: float) -> Floats:
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
