"""The camera of a clip: what the user says of it, or the one that is assumed and said so.

Separate from `cameras.py`, which is pure geometry and reads no files.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.geometry.cameras import assumed_intrinsics
from hmpfit.records import Camera

_FORMS = "fx,fy,cx,cy in pixels, or a file: .json or .npz with K (and distortion), or .txt with the 3x3 matrix"


def camera_for(
    width: int,
    height: int,
    intrinsics: str | None,
    focal_per_longer_side: float,
    focal_px: float = 0.0,
    metadata_px: float | None = None,
) -> Camera:
    """Return the camera of a clip of `width` x `height` pixels.

    `intrinsics` is the user's text (`fx,fy,cx,cy`, or a file's path); without it the focal length is `focal_px` where
    that is positive, else `metadata_px`, which the file itself tells, else the given share of the longer side.
    Raises InputError when the text is neither.
    """
    if intrinsics is None:
        K = assumed_intrinsics(width, height, focal_per_longer_side)
        if focal_px > 0:
            K[0, 0] = K[1, 1] = focal_px
        elif metadata_px is not None:
            K[0, 0] = K[1, 1] = metadata_px
            return Camera(K[None], width, height, source="metadata")
        return Camera(K[None], width, height, source="assumed")
    K, distortion = _read(intrinsics)
    if K.shape[-2:] != (3, 3) or not np.isfinite(K).all() or (K[..., [0, 1], [0, 1]] <= 0).any():
        raise InputError(f"--intrinsics '{intrinsics}' has no positive focal lengths; give {_FORMS}.")
    return Camera(K.reshape(-1, 3, 3), width, height, distortion, source="given")


def _read(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    numbers = text.split(",")
    try:
        if len(numbers) == 4:
            fx, fy, cx, cy = (float(number) for number in numbers)
            return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), None
        path = Path(text)
        if path.suffix == ".json":
            stored = json.loads(path.read_text())
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                stored = dict(archive)
        else:
            return np.loadtxt(path), None
        distortion = stored.get("distortion")
        if distortion is not None:
            distortion = np.zeros(5) + np.pad(np.ravel(np.asarray(distortion, dtype=np.float64)), (0, 5))[:5]
        return np.asarray(stored["K"], dtype=np.float64), distortion
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"--intrinsics '{text}' cannot be read ({error}); give {_FORMS}.") from error
