"""Read a camera from a path: the format follows from the content; `FILE#NAME` picks one of several cameras."""

from pathlib import Path

import numpy as np

from hmpfit.files.archives import read_npz
from hmpfit.files.opening import MIB, read_text
from hmpfit.geometry.camera_files.calibration import Calibration, UnreadableError
from hmpfit.geometry.camera_files.colmap import looks_like_colmap, read_colmap
from hmpfit.geometry.camera_files.tables import camera_of_json, camera_of_yaml, read_table, read_xml

TEXT_MOST = 1 * MIB


def read_calibration(told: str) -> Calibration:
    """Read the camera of a file. Raises UnreadableError, OSError and ValueError with a reason."""
    path, wanted = Path(told), None
    if "#" in told and not path.exists():
        name, _, wanted = told.rpartition("#")
        path = Path(name)
    if path.suffix.lower() == ".npz":
        return read_table(read_npz(path), wanted)
    text = read_text(path, TEXT_MOST).removeprefix("\ufeff")
    start = text.lstrip()
    if not start:
        raise UnreadableError("it is empty")
    if start.startswith("{"):
        return camera_of_json(text, wanted)
    if start.startswith("<"):
        return read_xml(text, wanted)
    if looks_like_colmap(text):
        return read_colmap(text, wanted)
    numbers = _plain_numbers(text)
    return Calibration(numbers[None]) if numbers is not None else camera_of_yaml(text, wanted)


def _plain_numbers(text: str) -> np.ndarray | None:
    """Return a text of nine numbers as a 3 x 3 matrix."""
    try:
        values = np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError:
        return None
    return values.reshape(3, 3) if values.size == 9 else None
