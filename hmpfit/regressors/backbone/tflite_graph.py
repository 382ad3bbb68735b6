"""A LiteRT file of plain convolutions as a torch module with the same numbers: weights read when it is built.

Separate from the hand network that uses it: this file knows operators, not hands. Only what EfficientNet-Lite towers
consist of is translated (convolutions, depthwise convolutions, additions, means, dense layers, sigmoids).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmpfit.errors import InputError

KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MEAN", "LOGISTIC")


@dataclass(frozen=True)
class Step:
    """One operator: which tensors it reads (numbers in the file), which it writes, and how it computes."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    layer: str | None = None  # name of the parameters' module
    stride: int = 1
    groups: int = 1
    activation: str = ""


class Layer(nn.Module):
    """Weight and bias of one convolution or dense layer, in torch's layout."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight, dtype=np.float32)))
        self.bias = nn.Parameter(torch.from_numpy(np.ascontiguousarray(bias, dtype=np.float32)))


class TfliteGraph(nn.Module):
    """The operators of a LiteRT file in its order. Raises InputError for operators that are not translated."""

    def __init__(self, model: bytes) -> None:
        super().__init__()
        from ai_edge_litert import schema_py_generated as schema

        content = schema.ModelT.InitFromPackedBuf(model, 0)
        graph = content.subgraphs[0]
        kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        self.input, self.outputs = int(graph.inputs[0]), tuple(int(number) for number in graph.outputs)
        self.names = {int(n): graph.tensors[int(n)].name.decode() for n in graph.outputs}
        self.layers = nn.ModuleDict()
        self.steps: list[Step] = []
        self.sides: dict[int, int] = {}  # of square maps, by tensor
        constants = {n: _constant(content, tensor) for n, tensor in enumerate(graph.tensors)}
        for operator in graph.operators:
            code = content.operatorCodes[operator.opcodeIndex]
            kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
            out = int(operator.outputs[0])
            if kind == "DEQUANTIZE":  # weights kept in half precision
                constants[out] = constants[int(operator.inputs[0])]
                continue
            self.steps.append(self._translated(kind, operator, out, constants))
            shape = graph.tensors[out].shape
            if len(shape) == 4 and shape[1] == shape[2]:
                self.sides[out] = int(shape[1])

    def _translated(self, kind: str, operator: Any, out: int, constants: dict[int, np.ndarray | None]) -> Step:
        inputs = tuple(int(number) for number in operator.inputs)
        options = operator.builtinOptions
        activation = {0: "", 1: "relu", 3: "relu6"}.get(getattr(options, "fusedActivationFunction", 0))
        if activation is None or kind not in KINDS:
            raise _unknown(f"the operator {kind}")
        if kind in ("ADD", "MEAN", "LOGISTIC"):
            return Step(kind, inputs if kind == "ADD" else inputs[:1], out, activation=activation)
        weight, bias = constants[inputs[1]], constants[inputs[2]]
        if weight is None or bias is None:
            raise _unknown(f"computed weights of a {kind}")
        if kind == "CONV_2D":
            weight = weight.transpose(0, 3, 1, 2)  # out, height, width, in -> out, in, height, width
        elif kind == "DEPTHWISE_CONV_2D":
            weight = weight.transpose(3, 0, 1, 2)  # 1, height, width, channels -> channels, 1, height, width
        name = f"t{out}"
        self.layers[name] = Layer(weight, bias)
        if kind == "FULLY_CONNECTED":
            return Step(kind, inputs[:1], out, name, activation=activation)
        if options.padding != 0 or options.strideH != options.strideW:
            raise _unknown("a convolution with other padding than SAME")
        groups = len(weight) if kind == "DEPTHWISE_CONV_2D" else 1
        return Step("CONV_2D", inputs[:1], out, name, int(options.strideW), groups, activation)

    def forward(self, image: Tensor, wanted: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Images [B, C, h, w] -> the wanted tensors by their numbers, maps as [B, C, h, w]."""
        values: dict[int, Tensor] = {self.input: image}
        missing = set(wanted)
        last_use = {number: n for n, step in enumerate(self.steps) for number in step.inputs}
        for n, step in enumerate(self.steps):
            values[step.output] = self._run(step, [values[number] for number in step.inputs])
            missing.discard(step.output)
            if not missing:
                break
            for number in step.inputs:  # a map without further readers is freed
                if last_use[number] == n and number not in wanted:
                    values.pop(number, None)
        return tuple(values[number] for number in wanted)

    def _run(self, step: Step, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        if step.kind == "ADD":
            y = x + inputs[1]
        elif step.kind == "MEAN":
            y = x.mean((-2, -1))
        elif step.kind == "LOGISTIC":
            y = torch.sigmoid(x)
        else:
            assert step.layer is not None
            layer = self.layers[step.layer]
            assert isinstance(layer, Layer)
            if step.kind == "FULLY_CONNECTED":
                y = F.linear(x, layer.weight, layer.bias)
            else:
                kernel = layer.weight.shape[-1]
                padded = _padded_same(x, kernel, step.stride)
                y = F.conv2d(padded, layer.weight, layer.bias, step.stride, groups=step.groups)
        if step.activation:
            y = F.relu6(y) if step.activation == "relu6" else F.relu(y)
        return y


def _unknown(what: str) -> InputError:
    return InputError(f"The network file has {what}, which is not translated; use MediaPipe's official file.")


def _padded_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad as TensorFlow's SAME does: an odd pixel goes to the right and to the bottom."""
    pads: list[int] = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads) if any(pads) else x


def _constant(content: Any, tensor: Any) -> np.ndarray | None:
    """Return a tensor's stored numbers, or None for one that is computed."""
    data = content.buffers[tensor.buffer].data
    kinds = {0: np.float32, 1: np.float16, 2: np.int32}
    if data is None or len(data) == 0 or tensor.type not in kinds:
        return None
    return np.frombuffer(np.asarray(data, dtype=np.uint8).tobytes(), kinds[tensor.type]).reshape(tuple(tensor.shape))
