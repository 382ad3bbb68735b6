"""Read MANO's Python-2 pickles without running what is in them.

Separate from `model_files.py` so that everything a foreign pickle may touch is on one page. MANO files hold numpy
arrays, scipy sparse matrices and two chumpy classes; nothing else can be named here, and the last two kinds are
replaced by stand-ins that only remember their state.
"""

import builtins
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError

_PLAIN = {
    **{name: getattr(builtins, name) for name in (
        "object", "dict", "list", "tuple", "set", "frozenset", "int", "float", "complex", "bool", "str", "bytes",
        "bytearray", "slice",
    )},
    "long": int,
    "unicode": str,
}  # fmt: skip
# What numpy itself names in its pickles, wherever this numpy keeps them.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]  # of pickle's protocol 5
_OF_NUMPY = {"_reconstruct": _RECONSTRUCT, "scalar": _SCALAR, "_frombuffer": _FROM_BUFFER}
_SPARSE_MODULES = ("scipy.sparse.csc", "scipy.sparse._csc")
_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")


class Refused(Exception):
    """The pickle names a class or function that is not on the list."""


class _Stub:
    """Stands in for a foreign object: keeps its state, runs nothing."""

    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state[0] if isinstance(state, tuple) and len(state) == 2 and state[1] is None else state


class _Ch(_Stub):
    """chumpy.ch.Ch: an array with derivatives; its value is x."""


class _Select(_Stub):
    """chumpy.reordering.Select: some entries of another object, in another shape."""


class _Csc(_Stub):
    """scipy.sparse's compressed column matrix."""


class Restricted:
    """The part of an unpickler that decides what a file may name; mixed into the standard one and into joblib's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Made anew for every file, so that a file cannot change the stand-ins of the next.
        self._stubs = {base: type(base.__name__, (base,), {}) for base in (_Ch, _Select, _Csc)}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in or plain type of that name; raises Refused for everything else."""
        if module in ("builtins", "__builtin__") and name in _PLAIN:
            return _PLAIN[name]
        if (module, name) in (("chumpy.ch", "Ch"), ("chumpy", "Ch")):
            return self._stubs[_Ch]
        if (module, name) == ("chumpy.reordering", "Select"):
            return self._stubs[_Select]
        if module in _SPARSE_MODULES and name in ("csc_matrix", "csc_array"):
            return self._stubs[_Csc]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if module in _NUMPY_MODULES and name in _OF_NUMPY:
            return _OF_NUMPY[name]
        if module in ("copy_reg", "copyreg") and name == "_reconstructor":
            return _new_plain_object
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        raise Refused(f"{module}.{name}")


class _Unpickler(Restricted, pickle.Unpickler):
    pass


def read_pickle(path: Path) -> dict[str, Any]:
    """Return the dictionary in a MANO pickle with numpy arrays in place of chumpy and scipy objects.

    Raises InputError when the file is no such pickle and, naming it, when it asks for any other class or function.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except Refused as refused:
        raise InputError(
            f"'{path}' asks to load '{refused}', which no hand model needs; the file was refused and nothing in it ran."
        ) from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from None
    except Exception as error:  # whatever broken bytes make the unpickler do
        raise InputError(f"'{path}' is not a MANO pickle ({type(error).__name__}: {error}).") from None
    if not isinstance(content, dict):
        raise InputError(f"'{path}' is not a MANO pickle: it holds a {type(content).__name__}, not a dictionary.")
    try:
        return {str(key): _value(item) for key, item in content.items()}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"'{path}' is not a MANO pickle: an array in it is damaged ({error}).") from None


def _value(item: Any) -> Any:
    if isinstance(item, _Ch):
        return _value(item.state["x"])
    if isinstance(item, _Select):
        source = np.asarray(_value(item.state["a"])).ravel()
        return source[np.asarray(_value(item.state["idxs"]))].reshape(item.state["preferred_shape"])
    if isinstance(item, _Csc):
        return _dense(item.state)
    return item


def _dense(state: dict[str, Any]) -> NDArray[np.float64]:
    rows, columns = (int(n) for n in state["_shape" if "_shape" in state else "shape"])
    indptr, indices = np.asarray(state["indptr"]), np.asarray(state["indices"])
    dense = np.zeros((rows, columns))
    np.add.at(dense, (indices, np.repeat(np.arange(columns), np.diff(indptr))), np.asarray(state["data"]))
    return dense


def _new_plain_object(cls: type, base: type, state: Any) -> Any:
    """Do what copyreg does for old-style Python-2 objects, for plain `object` bases alone."""
    if base is not object or state is not None:
        raise Refused(f"copyreg._reconstructor of {getattr(base, '__name__', base)}")
    return object.__new__(cls)


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    """Do what Python 3 writes for bytes in protocol 2."""
    if encoding != "latin1":
        raise Refused(f"_codecs.encode to {encoding}")
    return text.encode("latin1")
