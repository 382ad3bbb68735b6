"""Joints as motion-capture markers: TRC for OpenSim, C3D for biomechanics. Upright axes (y up), millimeters.

Both formats know one constant rate; TRC keeps the real times besides.
"""

from pathlib import Path

import numpy as np

from hmpfit.errors import MissingExtraError
from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, frames_per_second, hand_labels
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import OPENPOSE_21

_MILLIMETERS = 1000.0


def write_trc(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `hands.trc`, or `out` itself if it ends in .trc: a marker per hand and joint (`right_index1`, ...)."""
    file = _file(out, ".trc")
    names, points = _markers(result)
    rate, frames = f"{frames_per_second(result):.6f}", len(points)
    head = (rate, rate, frames, len(names), "mm", rate, 1, frames)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{file.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        "\t".join(map(str, head)),
        "Frame#\tTime\t" + "\t\t\t".join(names),
        "\t\t" + "\t".join(f"{axis}{number + 1}" for number in range(len(names)) for axis in "XYZ"),
        "",
    ]
    times = result.tracks.times_s - result.tracks.times_s[0]
    for number, (time_s, row) in enumerate(zip(times, points, strict=True), 1):
        lines.append("\t".join((str(number), f"{time_s:.6f}", *(f"{value:.5f}" for value in row.reshape(-1)))))
    file.write_text("\n".join(lines) + "\n")
    return [file]


def write_c3d(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `hands.c3d`, or `out` itself if it ends in .c3d; every point is valid.

    Raises MissingExtraError when ezc3d is not installed.
    """
    try:
        import ezc3d
    except ModuleNotFoundError as error:
        raise MissingExtraError("--to c3d", "ezc3d", "pip install ezc3d (or hmpfit[science])") from error
    file = _file(out, ".c3d")
    names, points = _markers(result)
    frames = len(points)
    content = ezc3d.c3d()
    parameters = content["parameters"]["POINT"]
    parameters["UNITS"]["value"] = ["mm"]
    parameters["RATE"]["value"] = [frames_per_second(result)]
    parameters["LABELS"]["value"] = names
    content.add_parameter("POINT", "X_SCREEN", "+X")
    content.add_parameter("POINT", "Y_SCREEN", "+Y")
    content.add_parameter("MANUFACTURER", "SOFTWARE", "hmpfit")
    content["data"]["points"] = np.concatenate((points.transpose(2, 1, 0), np.ones((1, len(names), frames))))
    content["data"]["meta_points"] = {
        "residuals": np.zeros((1, len(names), frames)),
        "camera_masks": np.zeros((7, len(names), frames), dtype=bool),
    }
    content["data"]["analogs"] = np.zeros((1, 0, 0))
    content.write(str(file))
    return [file]


def _file(out: Path, suffix: str) -> Path:
    file = out if out.suffix == suffix else out / f"hands{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _markers(result: StoredResult) -> tuple[list[str], Floats]:
    """Return the markers' names and places [T, markers, 3] in millimeters, y up."""
    names = [f"{label}_{name}" for label in hand_labels(result) for name in OPENPOSE_21]
    frames = result.joints.shape[1]
    points = (result.joints @ UPRIGHT_FROM_CAMERA).transpose(1, 0, 2, 3).reshape(frames, -1, 3)
    return names, points * _MILLIMETERS
