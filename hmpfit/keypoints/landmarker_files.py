"""Locate the two MediaPipe networks: in the installed wheel, or in a `hand_landmarker.task` file of the user's.

Separate from the networks so that `doctor` can ask without loading anything. A `.task` bundle is a zip with the palm
detector as `hand_detector.tflite` and the landmark network as `hand_landmarks_detector.tflite`; the wheel of
mediapipe 0.10.14 to 0.10.21 carries the same two files under `modules/`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_zip_entry

VARIABLE = "HMPFIT_HAND_LANDMARKER"
PALM_MEMBER, LANDMARK_MEMBER = "hand_detector.tflite", "hand_landmarks_detector.tflite"
PALM_IN_WHEEL = Path("modules/palm_detection/palm_detection_full.tflite")
LANDMARK_IN_WHEEL = Path("modules/hand_landmark/hand_landmark_full.tflite")
HOW_TO = (
    "install a mediapipe that carries its hand models (pip install 'mediapipe>=0.10.14,<0.10.22') or give the official "
    f"hand_landmarker.task by --hand-landmarker PATH or ${VARIABLE}"
)


@dataclass(frozen=True)
class LandmarkerFiles:
    """The bytes of both networks and, for provenance, where they were found."""

    palm: bytes
    landmarks: bytes
    source: str


def load_landmarker(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> LandmarkerFiles:
    """Return both networks from `path`, else from $HMPFIT_HAND_LANDMARKER, else from the installed mediapipe wheel.

    Raises InputError when the named file is not a hand landmarker bundle or when no source has the networks.
    """
    chosen = path or (os.environ if environ is None else environ).get(VARIABLE)
    if chosen:
        return _from_bundle(Path(chosen))
    spec = find_spec("mediapipe")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    for folder in folders:
        palm, landmarks = folder / PALM_IN_WHEEL, folder / LANDMARK_IN_WHEEL
        if palm.is_file() and landmarks.is_file():
            return LandmarkerFiles(palm.read_bytes(), landmarks.read_bytes(), "mediapipe wheel")
    state = "the installed mediapipe carries no hand models" if folders else "mediapipe is not installed"
    raise InputError(f"No hand landmarker: {state}; {HOW_TO}.")


def _from_bundle(path: Path) -> LandmarkerFiles:
    if not path.exists():
        raise InputError(f"The hand landmarker {path} does not exist; {HOW_TO}.")
    try:
        palm, landmarks = (read_zip_entry(path, name, "a bundle") for name in (PALM_MEMBER, LANDMARK_MEMBER))
    except UnreadableFileError as error:
        raise InputError(f"{path} is not a hand landmarker bundle ({error.reason}); {HOW_TO}.") from None
    return LandmarkerFiles(palm, landmarks, str(path))
