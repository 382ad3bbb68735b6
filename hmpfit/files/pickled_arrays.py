"""Turn the records of a restricted pickle into numpy arrays: numpy's own, scipy's sparse, chumpy's, joblib's, torch's.

No class of these libraries is ever made from a file: dtype, shape and bytes are compared first, and an array is then
laid over a copy of the bytes.
"""

from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hmpfit.files.archives import array_of_bytes, count_of, plain_dtype
from hmpfit.files.opening import Budget, Refused
from hmpfit.files.restricted_pickle import Makers, Name, Stub

Convert = Callable[[Any], Any]  # gives what lies inside a record its value
_PLAIN = (
    "int", "float", "complex", "bool", "str", "bytes", "bytearray", "slice", "long", "unicode", "set", "frozenset",
    "object", "dict", "list", "tuple",
)  # fmt: skip


class _Dtype(Stub):
    """numpy.dtype: its text, and the byte order that comes later."""

    def __init__(self, text: Any = None, *_: Any) -> None:
        self.text, self.order = text, ""

    def set_state(self, state: Any, stream: BinaryIO) -> None:
        """Take the byte order; raises ValueError for records."""
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise ValueError("an array in it holds records, not plain numbers")
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError("a dtype in it is damaged")
        self.order = state[1].replace("|", "")

    def is_object(self) -> bool:
        """Return whether it is numpy's dtype of Python objects."""
        return self.text in ("O", "O8", "O4", "|O", "object")

    def numpy(self) -> np.dtype:
        """Return the dtype. Raises ValueError for any but plain numbers and texts."""
        text = self.text.decode("latin1") if isinstance(self.text, bytes) else self.text
        kind = plain_dtype(text)
        return kind if kind.str[0] == "|" or not self.order else np.dtype(self.order + kind.str[1:])


class Record(Stub):
    """An object of a foreign library, of which only the value is wanted."""

    def value(self, convert: Convert, budget: Budget) -> Any:
        """Return the plain value or array. Raises ValueError when the state is damaged."""
        raise ValueError("it holds an object that is no value")

    def _table(self) -> dict[Any, Any]:
        if not isinstance(self.state, dict):
            raise ValueError("an array in it is damaged")
        return self.state


class _Array(Record):
    """numpy.ndarray, made by _reconstruct, by _frombuffer, or as one scalar."""

    dtype: Any = None
    shape: Any = ()
    columns_first: Any = False
    content: Any = b""

    def set_state(self, state: Any, stream: BinaryIO) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise ValueError("an array in it is damaged")
        self.shape, self.dtype, self.columns_first, self.content = state[-4:]

    def value(self, convert: Convert, budget: Budget) -> Any:
        if not isinstance(self.dtype, _Dtype):
            raise ValueError("an array in it is damaged")
        if self.dtype.is_object():
            return self._objects(convert)
        return array_of(self.content, self.dtype.numpy(), shape_of(self.shape), bool(self.columns_first), budget)

    def _objects(self, convert: Convert) -> Any:
        # `np.save` of a dictionary and the like: one Python object in an array without sides.
        if isinstance(self.content, list) and len(self.content) == 1 and shape_of(self.shape) == ():
            return convert(self.content[0])
        raise ValueError("an array in it holds Python objects, not plain numbers")


class _Scalar(Record):
    def __init__(self, dtype: Any = None, content: Any = b"") -> None:
        self.dtype, self.content = dtype, content

    def value(self, convert: Convert, budget: Budget) -> Any:
        if not isinstance(self.dtype, _Dtype):
            raise ValueError("a number in it is damaged")
        return array_of(self.content, self.dtype.numpy(), (), False, budget)[()]


class _Ch(Record):
    """chumpy.ch.Ch: an array with derivatives; its value is x."""

    def value(self, convert: Convert, budget: Budget) -> Any:
        return convert(self._table()["x"])


class _Select(Record):
    """chumpy.reordering.Select: some entries of another object, in another shape."""

    def value(self, convert: Convert, budget: Budget) -> Any:
        source = numbers_of(convert(self._table()["a"])).ravel()
        picked = indices_of(convert(self._table()["idxs"]), len(source))
        shape = shape_of(convert(self._table()["preferred_shape"]))
        budget.take(len(picked) * source.itemsize)
        if count_of(shape) != len(picked):
            raise ValueError("the length of an array disagrees with its shape")
        return source[picked].reshape(shape)


class _Csc(Record):
    """scipy.sparse's compressed column matrix."""

    def __init__(self, *_: Any) -> None:
        pass

    def value(self, convert: Convert, budget: Budget) -> NDArray[np.float64]:
        table = self._table()
        rows, columns = shape_of(convert(table["_shape" if "_shape" in table else "shape"]))
        budget.take(rows * columns * 8)
        data = numbers_of(convert(table["data"])).ravel()
        ends = indices_of(convert(table["indptr"]), len(data) + 1)
        picked = indices_of(convert(table["indices"]), rows)
        if len(ends) != columns + 1 or len(picked) != len(data) or ends[-1] != len(data) or (np.diff(ends) < 0).any():
            raise ValueError("a sparse matrix in it is damaged")
        dense = np.zeros((rows, columns))
        np.add.at(dense, (picked[ends[0] :], np.repeat(np.arange(columns), np.diff(ends))), data[ends[0] :])
        return dense


class JoblibArray(Record):
    """joblib's wrapper, behind whose state the array's bytes follow in the stream."""

    content: Any = b""

    def set_state(self, state: Any, stream: BinaryIO) -> None:
        """Keep the state and read the array's bytes."""
        self.state = state
        dtype = self._table().get("dtype")
        if not isinstance(dtype, _Dtype) or dtype.is_object():  # joblib would unpickle these
            raise Refused("an array of Python objects")
        if self.state.get("numpy_array_alignment_bytes") is not None:
            stream.read(stream.read(1)[0])
        length = count_of(shape_of(self.state.get("shape"))) * dtype.numpy().itemsize
        start = stream.tell()
        if length > stream.seek(0, 2) - start:
            raise EOFError
        stream.seek(start)
        self.content = stream.read(length)

    def value(self, convert: Convert, budget: Budget) -> np.ndarray:
        """Return the array."""
        table = self._table()
        order = table.get("order") == "F"
        return array_of(self.content, table["dtype"].numpy(), shape_of(table["shape"]), order, budget)


def array_of(content: Any, dtype: np.dtype, shape: tuple[int, ...], columns_first: bool, budget: Budget) -> np.ndarray:
    """Return an array over a copy of bytes (or of Python 2's texts). Raises ValueError when they do not fit."""
    raw = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(raw, bytes | bytearray):
        raise ValueError("an array in it is damaged")
    budget.take(len(raw), 1)
    return array_of_bytes(np.frombuffer(raw, np.uint8).copy(), dtype, shape, columns_first)


def shape_of(shape: Any) -> tuple[int, ...]:
    """Return the sides of an array. Raises ValueError for what is no shape."""
    sides = shape.tolist() if isinstance(shape, np.ndarray) and shape.ndim == 1 else shape
    if not isinstance(sides, tuple | list):
        raise ValueError("an array in it has an impossible shape")
    sides = tuple(int(side) if isinstance(side, int | np.integer) else -1 for side in sides)
    count_of(sides)
    return sides


def numbers_of(values: Any) -> np.ndarray:
    """Return an array of numbers. Raises ValueError for anything else."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        raise ValueError("an array in it holds no numbers")
    return values


def indices_of(values: Any, below: int) -> NDArray[np.int64]:
    """Return whole numbers in [0, below) as a flat array. Raises ValueError for anything else."""
    indices = numbers_of(values).ravel()
    if indices.dtype.kind not in "iu" or (len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < below):
        raise ValueError("an array in it points outside another")
    return indices.astype(np.int64)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    array = _Array()
    array.content, array.dtype, array.shape, array.columns_first = content, dtype, shape, order == "F"
    return array


def _plain_object(cls: Any, base: Any, state: Any) -> Any:
    """Do what copyreg does for old-style Python-2 objects, for plain `object` bases alone."""
    if not isinstance(cls, Name) or cls.maker is None or not isinstance(base, Name) or state is not None:
        raise Refused("copyreg._reconstructor")
    return cls.maker()


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Do what Python 3 writes for bytes in protocol 2."""
    if encoding != "latin1" or not isinstance(text, str):
        raise Refused(f"_codecs.encode to {encoding!s:.20}")
    return text.encode("latin1")


def _builtin(name: str) -> Callable[..., Any]:
    def make(*arguments: Any) -> Any:
        if not arguments and name in ("dict", "list", "tuple", "set", "frozenset", "object", "bytes", "str"):
            return {"dict": dict, "tuple": tuple, "bytes": bytes, "str": str}.get(name, list)()
        (value,) = arguments[:1]
        if name in ("list", "set", "frozenset", "tuple") and isinstance(value, list | tuple):
            return tuple(value) if name == "tuple" else list(value)
        if name == "dict" and isinstance(value, dict):
            return dict(value)
        if name in ("bytes", "bytearray") and (isinstance(value, bytes | bytearray) or arguments[1:] == ("latin-1",)):
            return bytes(value) if isinstance(value, bytes | bytearray) else value.encode("latin1")
        if name in ("int", "long", "float", "bool", "complex") and all(isinstance(v, int | float) for v in arguments):
            return {"int": int, "long": int, "float": float, "bool": bool, "complex": complex}[name](*arguments)
        raise Refused(f"builtins.{name} of such a value")

    return make


def _ordered(items: Any = ()) -> dict[Any, Any]:
    if not isinstance(items, list | tuple | dict) or len(items):
        raise Refused("collections.OrderedDict of values")
    return {}


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
MAKERS: dict[str, Callable[..., Any] | None] = {
    **{f"{module}.{name}": _builtin(name) for module in ("builtins", "__builtin__") for name in _PLAIN},
    **{f"{module}._reconstruct": _reconstruct for module in _MULTIARRAY},
    **{f"{module}.scalar": _Scalar for module in _MULTIARRAY},
    **{f"{module}._frombuffer": _from_buffer for module in _MULTIARRAY},
    **{f"scipy.sparse.{module}.{name}": _Csc for module in ("csc", "_csc") for name in ("csc_matrix", "csc_array")},
    "joblib.numpy_pickle.NumpyArrayWrapper": JoblibArray,
    "numpy.ndarray": None,
    "numpy.memmap": None,
    "numpy.dtype": _Dtype,
    "chumpy.ch.Ch": _Ch,
    "chumpy.Ch": _Ch,
    "chumpy.reordering.Select": _Select,
    "copy_reg._reconstructor": _plain_object,
    "copyreg._reconstructor": _plain_object,
    "_codecs.encode": _encoded,
    "collections.OrderedDict": _ordered,
}


def find_among(makers: Makers) -> Callable[[str, str], Name]:
    """Return a `find` for PickleMachine that resolves the given names and refuses all others."""

    def find(module: str, name: str) -> Name:
        full = f"{module}.{name}"
        if full not in makers:
            raise Refused(full)
        return Name(full, makers[full])

    return find
