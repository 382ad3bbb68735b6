"""A backbone trained on real hands: MediaPipe's landmark network, with the weights of the installed package.

Separate from the others because no weight of it is ever stored here: they are read when the network is built, from the
file that the keypoints use too, and its checksum is part of what a checkpoint says. 2.7 million parameters; it wants
regions placed as MediaPipe places them (`keypoints.regions`), 224 pixels wide, fingers up, right hands.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hmpfit.errors import InputError
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.regions import CROP
from hmpfit.regressors.backbone.tflite_graph import Step, TfliteGraph

SIDES = (56, 28, 14, 7)


@dataclass(frozen=True)
class Seen:
    """What the tower makes of images: maps, their mean, and MediaPipe's own answers."""

    levels: tuple[Tensor, ...]  # [B, C, side, side] for the wanted sides, finest first
    pooled: Tensor  # [B, 1152]
    landmarks: Tensor  # [B, 21, 3] crop coordinates, 0..1 inside; z in the same unit, smaller towards the camera
    world: Tensor  # [B, 21, 3] meters, hand-centered, crop axes
    presence: Tensor  # [B] 0..1
    right: Tensor  # [B] 0..1


class MediaPipeBackbone(nn.Module):
    """The landmark network in torch, equal to LiteRT's to 1e-3.

    `checksum` is that of the weights. Raises InputError when the installed package lacks the network or has another.
    """

    pretrained = True
    size = CROP

    def __init__(self, model: bytes | None = None) -> None:
        super().__init__()
        content = load_landmarker().landmarks if model is None else model
        self.checksum = hashlib.sha256(content).hexdigest()
        self.graph = TfliteGraph(content)
        steps = self.graph.steps
        sums = [(self.graph.sides.get(step.output), step.output) for step in steps if step.kind == "ADD"]
        self._levels = {side: max((n for at, n in sums if at == side), default=-1) for side in SIDES}
        means = [step.output for step in steps if step.kind == "MEAN"]
        shapes = {s.output: self._width(s.layer) for s in steps if s.layer is not None}
        wide = sorted((n for n in self.graph.outputs if shapes.get(n) == 63), key=lambda n: self.graph.names[n])
        signs = sorted((n for n in self.graph.outputs if n not in wide), key=lambda n: self.graph.names[n])
        if len(means) != 1 or len(wide) != 2 or len(signs) != 2 or min(self._levels.values()) < 0:
            raise InputError("The hand landmarker's network is not built as expected; use MediaPipe's official file.")
        self._answers = (means[0], wide[0], wide[1], signs[0], signs[1])
        self.channels = tuple(self._channels(steps, side) for side in SIDES)

    def _width(self, layer: str | None) -> int:
        return len(self.graph.get_submodule(f"layers.{layer}").get_parameter("weight"))

    def _channels(self, steps: list[Step], side: int) -> int:
        source = next(step.inputs[0] for step in steps if step.output == self._levels[side])
        return self._width(next(step.layer for step in steps if step.output == source))

    def tensors(self, sides: tuple[int, ...] = SIDES) -> tuple[int, ...]:
        """Return the numbers that the wanted maps and the answers have in the file."""
        return (*(self._levels[side] for side in sides), *self._answers)

    @staticmethod
    def seen(levels: Sequence[Tensor], answers: Sequence[Tensor]) -> Seen:
        """Put maps and raw answers, in the order of `tensors`, together."""
        pooled, landmarks, world, presence, right = answers
        points = landmarks.unflatten(-1, (21, 3)) / CROP
        return Seen(tuple(levels), pooled, points, world.unflatten(-1, (21, 3)), presence[:, 0], right[:, 0])

    def forward(self, image: Tensor, sides: tuple[int, ...] = SIDES) -> Seen:
        """Images [B, 3, 224, 224] in 0..1 -> maps of the wanted sides and MediaPipe's own answers."""
        found = self.graph(image, self.tensors(sides))
        return self.seen(found[: len(sides)], found[len(sides) :])


def landmark_numbers(seen: Seen) -> Tensor:
    """Return MediaPipe's own answers as one vector [B, 128]: landmarks, world landmarks (decimeters), two signs."""
    signs = torch.stack((seen.presence, seen.right), dim=-1)
    return torch.cat((seen.landmarks.flatten(1), 10 * seen.world.flatten(1), signs), dim=-1)
