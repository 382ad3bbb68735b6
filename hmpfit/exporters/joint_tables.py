"""Joints as tables: `joints.csv` for spreadsheets, `joints.json` for scripts. Camera axes, meters, OpenPose names."""

import csv
import json
from pathlib import Path

import numpy as np

from hmpfit.exporters.animation import frames_per_second, hand_labels
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import STATUS_NAMES
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import BONES, OPENPOSE_21

_COLUMNS = ("frame", "time_s", "hand", "status", "joint", "x_m", "y_m", "z_m", "std_mm", "x_px", "y_px", "confidence")


def write_csv(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write one line per frame, hand and joint; the pixels are the evidence, empty where there was none.

    Positions carry a nanometer's digits, so that reading back loses nothing.
    """
    file = out if out.suffix == ".csv" else out / "joints.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    tracks = result.tracks
    with file.open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(_COLUMNS)
        for hand, label in enumerate(hand_labels(result)):
            for frame, time_s in enumerate(tracks.times_s):
                status = STATUS_NAMES[int(result.motion.status[hand, frame])]
                for joint, name in enumerate(OPENPOSE_21):
                    position = [f"{value:.9f}" for value in result.joints[hand, frame, joint]]
                    std = result.joint_std_mm[hand, frame, joint]
                    confidence = float(tracks.confidence[hand, frame, joint])
                    pixel = [f"{value:.3f}" if confidence else "" for value in tracks.xy_px[hand, frame, joint]]
                    known = f"{std:.3f}" if np.isfinite(std) else ""
                    lines.writerow(
                        [frame, f"{time_s:.6f}", label, status, name, *position, known, *pixel, f"{confidence:.4f}"]
                    )
    return [file]


def write_json(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write joints [T][21][3] per hand with names, bones, times, camera and units."""
    file = out if out.suffix == ".json" else out / "joints.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    camera = result.camera
    content = {
        "conventions": "joints in meters, camera frame with x right, y down, z forward; OpenPose-21 order",
        "fps": frames_per_second(result),
        "times_s": result.tracks.times_s.tolist(),
        "joint_names": list(OPENPOSE_21),
        "bones": [list(bone) for bone in BONES],
        "camera": {"K": camera.K.tolist(), "width": camera.width, "height": camera.height},
        "hands": [
            {
                "hand": label,
                "is_right": bool(result.motion.is_right[hand]),
                "status": [STATUS_NAMES[int(value)] for value in result.motion.status[hand]],
                "joints_m": np.round(result.joints[hand], 9).tolist(),
                "joint_std_mm": _listed(result.joint_std_mm[hand]),
                "confidence": np.round(result.tracks.confidence[hand], 4).tolist(),
            }
            for hand, label in enumerate(hand_labels(result))
        ],
    }
    file.write_text(json.dumps(content, allow_nan=False) + "\n")
    return [file]


def _listed(std_mm: np.ndarray) -> list[list[float]] | None:
    return np.round(std_mm, 4).tolist() if np.isfinite(std_mm).all() else None
