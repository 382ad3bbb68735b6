"""Cameras as tables of named values: our JSON and npz, OpenCV's YAML, JSON and XML, ROS `camera_info`, Kalibr.

They differ in names and nesting only: a matrix, coefficients, a model's name and an image size, under any of the names
that these tools use.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hmpfit.files.structured import load_yaml, parse_json
from hmpfit.geometry.camera_files.calibration import Calibration, UnreadableError, lens, pinhole
from hmpfit.records import Floats

# Names without case, blanks, underscores and hyphens.
_MATRIX = ("k", "cameramatrix", "intrinsicmatrix", "intrinsics", "mtx", "m1", "m", "kk", "intrinsic")
_DISTORTION = (
    "distortion", "distortioncoefficients", "distortioncoeffs", "distcoeffs", "distcoefs", "dist", "d", "d1", "kc",
)  # fmt: skip
_MODEL = ("distortionmodel", "fisheyemodel", "lens")
_WIDTH, _HEIGHT, _SIZE = (
    ("imagewidth", "width", "w"),
    ("imageheight", "height", "h"),
    ("resolution", "imagesize", "size"),
)
_NOT_PINHOLE = ("omni", "ds", "eucm", "double_sphere", "ucm", "mei")


def camera_of_json(text: str, wanted: str | None = None) -> Calibration:
    """Read our JSON or OpenCV's. Raises UnreadableError and ValueError."""
    return read_table(parse_json(text, Path("it")), wanted)


def camera_of_yaml(text: str, wanted: str | None = None) -> Calibration:
    """Read OpenCV's YAML, ROS `camera_info` or a Kalibr chain. Raises UnreadableError and ValueError."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads `!!opencv-matrix` as the plain table that it is."""

    Loader.add_constructor(
        "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, deep=True)
    )
    lines = text.splitlines()
    if lines and lines[0].startswith("%YAML"):
        lines[0] = ""  # OpenCV writes %YAML:1.0, which is no YAML
    try:
        return read_table(load_yaml("\n".join(lines), Loader), wanted)
    except yaml.YAMLError as error:
        raise UnreadableError(f"it is no YAML ({' '.join(str(error).split())[:80]})") from error


def read_xml(text: str, wanted: str | None = None) -> Calibration:
    """Read OpenCV's XML. Raises UnreadableError."""
    # Not by OpenCV's own FileStorage, whose C++ was not written for files of strangers.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # OpenCV writes none, and they can expand without end
        raise UnreadableError("it is no XML of OpenCV")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise UnreadableError("it is no XML of OpenCV") from error
    table: dict[str, Any] = {}
    for node in root:
        parts = {part.tag: part.text or "" for part in node}
        if "data" in parts:
            table[node.tag] = {**parts, "data": [float(word) for word in parts["data"].split()]}
        elif not parts:
            table[node.tag] = _plain(node.text or "")
    return read_table(table, wanted)


def _plain(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.strip().strip('"')


def read_table(content: Any, wanted: str | None = None) -> Calibration:
    """Read a camera from a table, or from the one called `wanted` in a table of cameras. Raises UnreadableError."""
    if not isinstance(content, Mapping):
        raise UnreadableError("it holds no table of names and values")
    cameras = {str(key): value for key, value in content.items() if _is_camera(value)}
    if wanted is not None and wanted not in cameras:
        raise UnreadableError(f"it holds {', '.join(cameras) or 'a single camera'}, and no '{wanted}'")
    if wanted is not None:
        return _camera(cameras[wanted])
    if _is_camera(content):
        return _camera(content)
    if len(cameras) > 1:
        raise UnreadableError(
            f"it holds the cameras {', '.join(cameras)}; name one, such as FILE#{next(iter(cameras))}"
        )
    if not cameras:
        raise UnreadableError("it holds no camera matrix (K, camera_matrix, intrinsics)")
    return _camera(next(iter(cameras.values())))


def _is_camera(value: Any) -> bool:
    return isinstance(value, Mapping) and _first(value, _MATRIX) is not None


def _camera(table: Mapping[str, Any]) -> Calibration:
    kind = str(table.get("camera_model", "")).lower()
    if kind in _NOT_PINHOLE:
        raise UnreadableError(f"the camera model '{kind}' cannot be used; pinhole with radtan or equidistant can")
    model = _first(table, _MODEL)
    if isinstance(model, np.ndarray | int | float | bool):  # an npz's text, or OpenCV's flag
        model = str(model) if isinstance(model, np.ndarray) else ("fisheye" if model else None)
    if model is None and kind in ("fisheye", "kannala_brandt", "opencv_fisheye"):
        model = kind
    values = _first(table, _DISTORTION)
    distortion = lens(None if values is None else _array(values), model)
    return Calibration(_matrix(_array(_first(table, _MATRIX))), distortion, _size(table))


def _matrix(values: Floats) -> Floats:
    if values.shape == (4,):
        return pinhole(*values)
    if values.shape == (9,):
        values = values.reshape(3, 3)
    if values.shape[-2:] != (3, 3):
        raise UnreadableError(f"its camera matrix has the shape {values.shape}, not 3 x 3")
    return values.reshape(-1, 3, 3)


def _size(table: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height, both = _first(table, _WIDTH), _first(table, _HEIGHT), _first(table, _SIZE)
    if width is not None and height is not None:
        return int(width), int(height)
    if both is not None and np.size(both) == 2:
        first, second = np.ravel(_array(both))
        return int(first), int(second)
    return None


def _array(value: Any) -> Floats:
    """Return numbers, be they plain or in OpenCV's and ROS's `rows, cols, data`."""
    if isinstance(value, Mapping):
        if "data" not in value:
            raise UnreadableError("its matrix has no 'data'")
        flat = np.asarray(value["data"], dtype=np.float64)
        return flat.reshape(int(value["rows"]), int(value["cols"])) if "rows" in value and "cols" in value else flat
    return np.asarray(value, dtype=np.float64)


def _first(table: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    plain = {str(key).lower().replace("_", "").replace("-", "").replace(" ", ""): value for key, value in table.items()}
    return next((plain[name] for name in names if plain.get(name) is not None), None)
