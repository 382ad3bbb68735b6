"""COLMAP's `cameras.txt`: CAMERA_ID MODEL WIDTH HEIGHT PARAMS[], one camera a line."""

from collections.abc import Callable, Sequence

from hmpfit.geometry.camera_files.calibration import Calibration, UnreadableError, lens, pinhole

Lens = tuple[list[float], str]
# For each model: how many of its parameters are focal lengths, and the lens that the parameters after cx, cy mean.
_MODELS: dict[str, tuple[int, int, Callable[[Sequence[float]], Lens]]] = {
    "SIMPLE_PINHOLE": (1, 0, lambda p: ([], "")),
    "PINHOLE": (2, 0, lambda p: ([], "")),
    "SIMPLE_RADIAL": (1, 1, lambda p: ([p[0], 0.0, 0.0, 0.0], "")),
    "RADIAL": (1, 2, lambda p: ([p[0], p[1], 0.0, 0.0], "")),
    "OPENCV": (2, 4, lambda p: (list(p), "")),
    "FULL_OPENCV": (2, 8, lambda p: (list(p), "")),
    "OPENCV_FISHEYE": (2, 4, lambda p: (list(p), "fisheye")),
    "SIMPLE_RADIAL_FISHEYE": (1, 1, lambda p: ([p[0]], "fisheye")),
    "RADIAL_FISHEYE": (1, 2, lambda p: ([p[0], p[1]], "fisheye")),
}


def looks_like_colmap(text: str) -> bool:
    """Return whether a text is a list of COLMAP cameras."""
    return any(len(parts) > 4 and parts[0].isdigit() and parts[1].isupper() for parts in _lines(text))


def read_colmap(text: str, wanted: str | None = None) -> Calibration:
    """Return the camera with the ID `wanted`, or the only one. Raises UnreadableError."""
    cameras = {parts[0]: parts for parts in _lines(text)}
    if wanted is None and len(cameras) > 1:
        raise UnreadableError(
            f"it holds the cameras {', '.join(cameras)}; name one, such as FILE#{next(iter(cameras))}"
        )
    if wanted is not None and wanted not in cameras:
        raise UnreadableError(f"it holds the cameras {', '.join(cameras)}, and no '{wanted}'")
    _, model, width, height, *rest = cameras[wanted] if wanted is not None else next(iter(cameras.values()))
    if model not in _MODELS:
        raise UnreadableError(f"COLMAP's camera model {model} cannot be used; these can: {', '.join(_MODELS)}")
    focals, more, meaning = _MODELS[model]
    numbers = [float(text) for text in rest]
    if len(numbers) != focals + 2 + more:
        raise UnreadableError(f"COLMAP's {model} has {focals + 2 + more} parameters, and {len(numbers)} are given")
    coefficients, name = meaning(numbers[focals + 2 :])
    K = pinhole(numbers[0], numbers[focals - 1], numbers[focals], numbers[focals + 1])
    return Calibration(K, lens(coefficients, name), (int(width), int(height)))


def _lines(text: str) -> list[list[str]]:
    stripped = (line.strip() for line in text.splitlines())
    return [line.split() for line in stripped if line and not line.startswith("#")]
