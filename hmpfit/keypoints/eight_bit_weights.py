"""Rewrite a LiteRT file so that its 1 x 1 convolutions multiply 8-bit integers: most of a hand network's work.

Separate from `networks` because it knows the file format. Weights get one scale an output channel; LiteRT rounds each
input to 8 bits while it runs, with that input's own range, so that nothing is calibrated. Everything else stays float.
"""

import struct
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST_MAP = 64  # cells a side of the output: on larger maps rounding the input costs more than it saves
_LEVELS = 127


@lru_cache(maxsize=4)
def with_eight_bit_weights(model: bytes) -> bytes | None:
    """Return the file with 8-bit weights, or None where it has nothing to rewrite or is no file that we can read."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    try:
        content = schema.ModelT.InitFromPackedBuf(model, 0)
        file = _File(schema, content)
        if file.round_weights() == 0:
            return None
        builder = flatbuffers.Builder(len(model))
        builder.Finish(content.Pack(builder), b"TFL3")
    except (struct.error, IndexError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return bytes(builder.Output())


class _File:
    """The graph of a file whose constants are rewritten in place."""

    def __init__(self, schema: Any, content: Any) -> None:
        self._schema, self._content, self._graph = schema, content, content.subgraphs[0]
        self._half = {
            int(one.outputs[0]): int(one.inputs[0])
            for one in self._graph.operators
            if self._kind(one) == schema.BuiltinOperator.DEQUANTIZE
        }

    def round_weights(self) -> int:
        """Round the weights of all convolutions that gain by it and return their number."""
        chosen = [one for one in self._graph.operators if self._gains(one)]
        for one in chosen:
            inputs = [int(number) for number in one.inputs]
            weight = self._numbers(inputs[1])
            inputs[1] = self._add_rounded(weight)
            one.inputs = inputs
        if chosen:
            self._unfold_half_precision()
        return len(chosen)

    def _gains(self, one: Any) -> bool:
        if self._kind(one) != self._schema.BuiltinOperator.CONV_2D:
            return False
        weight, out = (self._graph.tensors[int(n)].shape for n in (one.inputs[1], one.outputs[0]))
        return tuple(weight[1:3]) == (1, 1) and max(out[1:3]) <= _LARGEST_MAP

    def _kind(self, one: Any) -> int:
        code = self._content.operatorCodes[one.opcodeIndex]
        return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))

    def _numbers(self, tensor: int) -> NDArray[np.float32]:
        """Return a constant; raises KeyError for other than half and single precision."""
        stored = self._graph.tensors[self._half.get(tensor, tensor)]
        kind = {0: np.float32, 1: np.float16}[int(stored.type)]
        data = np.asarray(self._content.buffers[stored.buffer].data, dtype=np.uint8).tobytes()
        return np.frombuffer(data, kind).astype(np.float32).reshape(tuple(stored.shape))

    def _add_rounded(self, weight: NDArray[np.float32]) -> int:
        """Add weights [out, 1, 1, in] as 8-bit integers and return the number of the new tensor."""
        scale = np.maximum(np.abs(weight).max(axis=(1, 2, 3)) / _LEVELS, np.float32(1e-8))
        rounded = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
        known = self._schema.QuantizationParametersT()
        known.scale, known.zeroPoint = scale.astype(np.float32), np.zeros(len(scale), np.int64)
        known.quantizedDimension = 0
        tensor = self._schema.TensorT()
        tensor.shape, tensor.type = list(weight.shape), self._schema.TensorType.INT8
        tensor.name, tensor.quantization = b"rounded", known
        tensor.buffer = self._add_buffer(rounded)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _unfold_half_precision(self) -> None:
        """Store the other constants in single precision: LiteRT takes the biases of rounded weights in no other."""
        used = {int(number) for one in self._graph.operators for number in one.inputs}
        for tensor, half in self._half.items():
            if tensor in used:
                self._graph.tensors[tensor].buffer = self._add_buffer(self._numbers(tensor))
            buffer = self._graph.tensors[half].buffer
            self._content.buffers[buffer].data = None
        dequantize = self._schema.BuiltinOperator.DEQUANTIZE
        self._graph.operators = [one for one in self._graph.operators if self._kind(one) != dequantize]

    def _add_buffer(self, values: NDArray[Any]) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._content.buffers.append(buffer)
        return len(self._content.buffers) - 1
