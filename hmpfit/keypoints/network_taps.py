"""Read inner layers of MediaPipe's landmark network: the file's list of outputs is extended.

Separate from `networks` because it knows the file format. The network's answers do not change and it costs nothing: the
layers are computed anyway.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hmpfit.errors import InputError

POOLED = 1152  # length of the vector that the landmark network's answers are read from
_ADD = 0  # TensorFlow Lite's number of the operator
_SIDES = (14, 7)  # of the feature maps that are read, cells


@dataclass(frozen=True)
class TappedModel:
    """A network file with more outputs: the last feature maps of some sizes, by their tensor's index."""

    model: bytes
    maps: tuple[int, ...]  # [1, S, S, C] each, in the order of `_SIDES`


def tap(model: bytes) -> TappedModel | None:
    """Return the network with its last residual feature maps as further outputs; None for a network that has none.

    The new list is appended to the file and the table of the graph is pointed at it.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        graph = schema.Model.GetRootAs(model, 0)
        subgraph = graph.Subgraphs(0)
        maps = [_last_map(graph, subgraph, side) for side in _SIDES]
        if any(index is None for index in maps):
            return None
        chosen = tuple(int(index) for index in maps if index is not None)
        return TappedModel(add_outputs(model, chosen), chosen)
    except (struct.error, IndexError, AttributeError, TypeError):
        return None


def pooled_tensor(model: bytes) -> int:
    """Return the index of the vector that the landmark network's answers are read from.

    Raises:
        InputError: The file is another network.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        graph = schema.Model.GetRootAs(model, 0).Subgraphs(0)
        operators = [graph.Operators(n) for n in range(graph.OperatorsLength())]
        made = {int(one.OutputsAsNumpy()[0]): int(one.InputsAsNumpy()[0]) for one in operators}
        vectors = {made[int(out)] for out in graph.OutputsAsNumpy() if graph.Tensors(int(out)).ShapeAsNumpy()[-1] > 1}
        (found,) = vectors
        if np.atleast_1d(graph.Tensors(found).ShapeAsNumpy()).tolist() == [1, POOLED]:
            return found
    except (struct.error, ValueError, IndexError, AttributeError, TypeError, KeyError):
        pass
    raise InputError("The landmark network is not built as expected; use MediaPipe's official file.")


def add_outputs(model: bytes, tensors: Sequence[int]) -> bytes:
    """Return the network file with more of its tensors as outputs."""
    from ai_edge_litert import schema_py_generated as schema

    subgraph = schema.Model.GetRootAs(model, 0).Subgraphs(0)
    table = subgraph._tab
    field = table.Pos + table.Offset(8)  # the vtable's slot of a subgraph's outputs
    outputs = [*subgraph.OutputsAsNumpy().tolist(), *tensors]
    longer = bytearray(model)
    longer += bytes(-len(longer) % 4)
    struct.pack_into("<I", longer, field, len(longer) - field)
    longer += struct.pack(f"<I{len(outputs)}i", len(outputs), *outputs)
    return bytes(longer)


def _last_map(graph: object, subgraph: object, side: int) -> int | None:
    """Return the index of the last sum of a residual block of this many cells a side."""
    found = None
    for n in range(subgraph.OperatorsLength()):  # type: ignore[attr-defined]
        operator = subgraph.Operators(n)  # type: ignore[attr-defined]
        code = graph.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()  # type: ignore[attr-defined]
        out = int(operator.OutputsAsNumpy()[0])
        shape = np.atleast_1d(subgraph.Tensors(out).ShapeAsNumpy()).tolist()  # type: ignore[attr-defined]
        if code == _ADD and len(shape) == 4 and shape[:3] == [1, side, side]:
            found = out
    return found
