"""Inner layers of MediaPipe's palm detector: what `hand_detector` reads in the place of its boxes.

Separate from `palm_detector`, whose answers these layers become. Trained on palms of very many people, the layers hold
more than the answers: a hand around a cup scores 0.05 there and is plain to see here.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.keypoints.network_taps import add_outputs
from hmpfit.keypoints.networks import interpreter
from hmpfit.keypoints.palm_detector import INPUT, letterbox
from hmpfit.records import Floats

FINE, COARSE = 24, 12  # cells a side
FINE_CHANNELS, COARSE_CHANNELS = 256, 256


class PalmFeatures:
    """The maps before the palm detector's answers, and the backbone's at the finer side. One instance, one thread."""

    def __init__(self, model: bytes) -> None:
        wanted = _maps(model)
        self._interpreter = interpreter(add_outputs(model, wanted), (1, INPUT, INPUT, 3))
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._wanted = wanted

    def __call__(self, square: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """RGB picture [192, 192, 3] -> maps [24, 24, 256] and [12, 12, 256], float32."""
        self._interpreter.set_tensor(self._input, square[None].astype(np.float32) / np.float32(255))
        self._interpreter.invoke()
        backbone, fine, coarse = (self._interpreter.get_tensor(number)[0] for number in self._wanted)
        return np.concatenate((backbone, fine), axis=-1), np.array(coarse)

    def of_image(self, image: NDArray[np.uint8]) -> tuple[tuple[Floats, Floats], float, Floats]:
        """Return the maps of a whole RGB image, with the scale and the offset that lead from it to the square."""
        square, scale, offset = letterbox(image, INPUT)
        return self(square), scale, offset


def _maps(model: bytes) -> tuple[int, int, int]:
    """Return the tensors of the backbone's last map of 24 cells and of the inputs of both heads."""
    from ai_edge_litert import schema_py_generated as schema

    try:
        graph = schema.Model.GetRootAs(model, 0).Subgraphs(0)
        operators = [graph.Operators(n) for n in range(graph.OperatorsLength())]
        made = {int(one.OutputsAsNumpy()[0]): one for one in operators}
        shapes = {n: np.atleast_1d(graph.Tensors(n).ShapeAsNumpy()).tolist() for n in made}
        fine = _input_of(made, shapes, [1, FINE, FINE, 2])
        coarse = _input_of(made, shapes, [1, COARSE, COARSE, 6])
        first_coarse = min(n for n, shape in shapes.items() if shape[:3] == [1, COARSE, COARSE])
        backbone = max(n for n, shape in shapes.items() if shape[:3] == [1, FINE, FINE] and n < first_coarse)
    except (struct.error, ValueError, IndexError, AttributeError, TypeError, StopIteration):
        raise _unknown() from None
    if sum(shapes[n][-1] for n in (backbone, fine)) != FINE_CHANNELS or shapes[coarse][-1] != COARSE_CHANNELS:
        raise _unknown()
    return backbone, fine, coarse


def _input_of(made: dict[int, object], shapes: dict[int, list[int]], shape: list[int]) -> int:
    """Return the tensor that the operator with an output of this shape reads."""
    operator = next(made[n] for n in sorted(made) if shapes[n] == shape)
    return int(operator.InputsAsNumpy()[0])  # type: ignore[attr-defined]


def _unknown() -> InputError:
    return InputError("The palm detector's network is not built as expected; use MediaPipe's official file.")
