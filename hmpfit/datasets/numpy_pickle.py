"""Read a pickled object inside an .npy file (ARCTIC's parameters) without running what is in it."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError
from hmpfit.hands.restricted_pickle import Refused, Restricted


class _Unpickler(Restricted, pickle.Unpickler):
    pass


def read_object(path: Path) -> dict[str, Any]:
    """Return the dictionary that `np.save(path, dictionary)` wrote. Raises InputError with the reason."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            read_header[version](file)
            content = _Unpickler(file, encoding="latin1").load()
    except Refused as refused:
        raise InputError(f"it asks to load '{refused}', which no motion needs; nothing in it ran") from None
    except Exception as error:  # whatever broken bytes make the readers do
        raise InputError(f"it cannot be read ({type(error).__name__}: {error})") from None
    value = content.item() if isinstance(content, np.ndarray) and content.shape == () else content
    if not isinstance(value, dict):
        raise InputError(f"it holds a {type(value).__name__}, not a dictionary")
    return value
