"""Features of the frozen landmark network: small maps, their mean, MediaPipe's own outputs.

Separate from the backbone in torch, which can be trained: frozen, LiteRT computes the same three times as fast. The
maps of 28, 14 and 7 cells are brought to 8 x 8 and stacked, so that a training can keep them on disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.networks import interpreter
from hmpfit.keypoints.regions import CROP
from hmpfit.regressors.backbone.mediapipe import MediaPipeBackbone, Seen, landmark_numbers

SIDE = 8
USED = (28, 14, 7)  # sides of the tower's maps that are used
CHANNELS = 40 + 112 + 192


@dataclass(frozen=True)
class Features:
    """What is known of crops; any number of leading axes."""

    maps: Tensor  # [..., 344, 8, 8]
    pooled: Tensor  # [..., 1152]
    numbers: Tensor  # [..., 128] see `mediapipe.numbers_of`

    def map(self, change: Callable[[Tensor], Tensor]) -> "Features":
        """Apply a function of tensors to every field."""
        return Features(**{field.name: change(getattr(self, field.name)) for field in fields(self)})


def features_of(seen: Seen) -> Features:
    """Return the features of what the tower saw; `seen.levels` are those of `USED`."""
    return Features(stacked(seen.levels), seen.pooled, landmark_numbers(seen))


def stacked(levels: Sequence[Tensor]) -> Tensor:
    """Bring maps [B, C, side, side] to 8 x 8 cells and stack them."""

    def small(level: Tensor) -> Tensor:
        if level.shape[-1] > SIDE:
            return F.adaptive_avg_pool2d(level, SIDE)
        return F.interpolate(level, size=SIDE, mode="bilinear")

    return torch.cat([small(level) for level in levels], dim=1)


class FrozenTower:
    """The landmark network on LiteRT with its inner maps as further outputs. One instance serves one thread."""

    def __init__(self, model: bytes | None = None) -> None:
        content = load_landmarker().landmarks if model is None else model
        wanted = MediaPipeBackbone(content).tensors(USED)
        self._interpreter = interpreter(_with_outputs(content, wanted), (1, CROP, CROP, 3))
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._wanted = wanted

    def __call__(self, crops: NDArray[np.uint8]) -> Features:
        """RGB crops [N, 224, 224, 3] of right hands -> their features, leading axis N."""
        rows = [self._one(crop) for crop in crops]
        return Features(*(torch.cat([getattr(row, field.name) for row in rows]) for field in fields(Features)))

    def _one(self, crop: NDArray[np.uint8]) -> Features:
        self._interpreter.set_tensor(self._input, crop[None].astype(np.float32) / np.float32(255))
        self._interpreter.invoke()
        found = [torch.from_numpy(self._interpreter.get_tensor(number)) for number in self._wanted]
        count = len(USED)
        levels = tuple(level.permute(0, 3, 1, 2) for level in found[:count])
        return features_of(MediaPipeBackbone.seen(levels, found[count:]))


def _with_outputs(model: bytes, tensors: Sequence[int]) -> bytes:
    """Return the network file with more of its tensors as outputs, which LiteRT then keeps."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = content.subgraphs[0]
    outputs = [int(number) for number in graph.outputs]
    graph.outputs = outputs + [number for number in tensors if number not in outputs]
    content.signatureDefs = None
    builder = flatbuffers.Builder(len(model) + 65536)
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())
