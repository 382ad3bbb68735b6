"""Read the weights in files that torch wrote, of both its formats, without torch's unpickler.

The zip format (torch 1.6 and later) keeps the tensors' values beside a pickle, the older one behind four pickles. Both
pickles are interpreted by the restricted machine, and tensors become numpy arrays (bfloat16 as float32).
"""

import io
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hmpfit.errors import UnreadableFileError
from hmpfit.files.archives import array_of_bytes, count_of, open_zip
from hmpfit.files.opening import Budget, Refused, open_regular, read_bytes
from hmpfit.files.pickled_arrays import MAKERS, Convert, Record, shape_of
from hmpfit.files.pickled_values import PICKLE_MOST, Values, budget_for, reading_pickle
from hmpfit.files.restricted_pickle import Makers, Name, PickleMachine, Stub

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "|b1", "BFloat16Storage": "<u2",
    "UntypedStorage": "<u1",
}  # fmt: skip
_STORAGE = re.compile(r"torch(?:\.cuda|\.storage)?\.(\w+Storage)")
_LOGS = ("mmengine", "mmcv", "mmpose", "datetime")  # of what mmpose keeps beside the weights


class _Ignored(Stub):
    """Stands in for objects beside the weights, whose content is not needed."""

    def __init__(self, *_: Any) -> None:
        pass


class _Storage(Record):
    """The flat values of tensors; they may become known only behind the pickle."""

    def __init__(self, kind: str, length: int) -> None:
        self.kind, self.length, self.content = kind, length, b""

    def values(self, budget: Budget) -> np.ndarray:
        """Return the values [N]; raises ValueError when the file holds another number of them."""
        dtype = np.dtype(_DTYPES[self.kind])
        if len(self.content) != self.length * dtype.itemsize:
            raise ValueError("the length of a tensor disagrees with its file")
        budget.take(len(self.content))
        values = array_of_bytes(np.frombuffer(self.content, np.uint8).copy(), dtype, (self.length,))
        if self.kind == "BFloat16Storage":
            budget.take(2 * len(self.content))
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values


class _Tensor(Record):
    """torch._utils._rebuild_tensor_v2: a view of a storage."""

    def __init__(self, storage: Any = None, offset: Any = 0, size: Any = (), stride: Any = (), *_: Any) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def value(self, convert: Convert, budget: Budget) -> np.ndarray:
        """Return the tensor as an array of its own."""
        size, stride = shape_of(convert(self.size)), shape_of(convert(self.stride))
        if not isinstance(self.storage, _Storage) or len(size) != len(stride) or type(self.offset) is not int:
            raise ValueError("a tensor in it is damaged")
        count = count_of(size)
        values = self.storage.values(budget)
        last = self.offset + sum((side - 1) * step for side, step in zip(size, stride))
        if self.offset < 0 or (count and last >= len(values)):
            raise ValueError("a tensor in it reaches beyond its values")
        budget.take(count * values.itemsize)
        if not count:
            return np.zeros(size, values.dtype)
        strides = tuple(step * values.itemsize for step in stride)
        return np.lib.stride_tricks.as_strided(values[self.offset :], size, strides).copy()


class _Parameter(Record):
    """torch._utils._rebuild_parameter: a tensor that was learned."""

    def __init__(self, data: Any = None, *_: Any) -> None:
        self.data = data

    def value(self, convert: Convert, budget: Budget) -> Any:
        """Return its tensor."""
        return convert(self.data)


def _size(sides: Any = ()) -> tuple[Any, ...]:
    if not isinstance(sides, list | tuple):
        raise ValueError("a tensor in it has no size")
    return tuple(sides)


TENSOR_MAKERS: Makers = {
    **MAKERS,
    "torch._utils._rebuild_tensor_v2": _Tensor,
    "torch._utils._rebuild_parameter": _Parameter,
    "torch.Size": _size,
    "torch.device": _Ignored,
    "torch.storage._load_from_bytes": lambda content: _embedded_storage(content),
}


def read_weights(path: Path, what: str) -> dict[str, np.ndarray]:
    """Return the tensors of a state dict, or of the one under `state_dict`, by name.

    `what` says what the file should be, such as "an mmpose checkpoint". Raises UnreadableFileError when it is damaged
    or holds no tensors, and InputError naming any class or function in it that weights do not need.
    """
    with reading_pickle(path, what):
        with open_regular(path) as file:
            zipped = file.read(4) == b"PK\x03\x04"
        content = _from_zip(path, what) if zipped else _from_stream(read_bytes(path, PICKLE_MOST))
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, np.ndarray) for value in state.values()):
        raise UnreadableFileError(path, "it holds no state_dict of tensors", what)
    return {str(key): value for key, value in state.items()}


def _from_zip(path: Path, what: str) -> Any:
    with open_zip(path, what) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError("it holds no weights")
        root = pickles[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in names and archive.read(order)[:16] != b"little":
            raise ValueError("it was written on a machine of another byte order")
        budget = budget_for(sum(entry.file_size for entry in archive.infolist()))
        storages: dict[str, _Storage] = {}

        def persistent(reference: Any) -> _Storage:
            storage = _referred(reference, storages)
            if not storage.content and storage.length:
                budget.take(storage.length)
                storage.content = archive.read(f"{root}data/{reference[2]}")
            return storage

        return _values(io.BytesIO(archive.read(pickles[0])), budget, persistent)


def _from_stream(content: bytes) -> Any:
    """Read the older format: magic number, version, system, the pickle, the storages' names, and their values."""
    stream, budget = io.BytesIO(content), budget_for(len(content))
    if _values(stream, budget, None) != _MAGIC:
        raise ValueError("it holds no weights")
    _values(stream, budget, None)
    system = _values(stream, budget, None)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("it was written on a machine of another byte order")
    storages: dict[str, _Storage] = {}
    record = _machine(stream, budget, lambda reference: _referred(reference, storages)).load()
    names = _values(stream, budget, None)
    if not isinstance(names, list) or len(names) != len(set(map(str, names))):
        raise ValueError("it holds no weights")
    for name in map(str, names):
        length = int.from_bytes(stream.read(8), "little", signed=True)
        if name not in storages or storages[name].length != length:
            raise ValueError("the length of a tensor disagrees with its file")
        storages[name].content = stream.read(length * np.dtype(_DTYPES[storages[name].kind]).itemsize)
    return record if isinstance(record, _Storage) else Values(budget).of(record)


def _embedded_storage(content: Any) -> _Storage:
    """Return the storage that torch wrote into bytes inside another pickle, as joblib's files have it."""
    if not isinstance(content, bytes):
        raise ValueError("a tensor in it is damaged")
    storage = _from_stream(content)
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor in it is damaged")
    return storage


def _referred(reference: Any, storages: dict[str, _Storage]) -> _Storage:
    """Return the storage of a persistent id: ("storage", class, key, place, length, ...)."""
    if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
        raise ValueError("it refers to something outside the file")
    _, kind, key, _, length = reference[:5]
    if not isinstance(kind, Name) or not isinstance(key, str) or type(length) is not int or not 0 <= length < 1 << 40:
        raise ValueError("a tensor in it is damaged")
    if len(reference) > 5 and reference[5] is not None:
        raise ValueError("a tensor in it is a view of a kind that is not read")
    found = _STORAGE.fullmatch(kind.name)
    name = found[1] if found else ""
    if name not in _DTYPES or (key in storages and (storages[key].kind, storages[key].length) != (name, length)):
        raise ValueError("a tensor in it is of an unknown kind")
    return storages.setdefault(key, _Storage(name, length))


def _find(module: str, name: str) -> Name:
    full = f"{module}.{name}"
    if _STORAGE.fullmatch(full):
        return Name(full, None)
    if module.partition(".")[0] in _LOGS:
        return Name(full, _Ignored)
    if full not in TENSOR_MAKERS:
        raise Refused(full)
    return Name(full, TENSOR_MAKERS[full])


def _machine(stream: BinaryIO, budget: Budget, persistent: Any) -> PickleMachine:
    return PickleMachine(stream, _find, budget, persistent)


def _values(stream: BinaryIO, budget: Budget, persistent: Any) -> Any:
    return Values(budget).of(_machine(stream, budget, persistent).load())
