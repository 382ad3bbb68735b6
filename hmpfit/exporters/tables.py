"""Detections as columns: one parquet row per hand and frame, for daft, polars, DuckDB and pandas.

Separate from `joint_tables.py`, which writes text; pyarrow is optional.
"""

from pathlib import Path

import numpy as np

from hmpfit.errors import MissingExtraError
from hmpfit.exporters.animation import hand_labels
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import STATUS_NAMES
from hmpfit.results.npz import StoredResult


def write_parquet(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `hands.parquet`, or `out` itself if it ends in .parquet.

    Columns: `frame`, `time_s`, `hand` (unique in the file), `handedness` ("right", "left"), `status`, `confidence`
    (mean of the evidence, 0 where there was none), `kp2d` [21, 2] (pixels, projection of the result) and `kp3d`
    [21, 3] (meters), both in OpenPose order, `kp3d_std_mm` [21]. Raises MissingExtraError without pyarrow.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError("--to parquet", "pyarrow", "pip install pyarrow (or hmpfit[robots])") from error
    file = out if out.suffix == ".parquet" else out / "hands.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    hands, frames = result.motion.status.shape
    labels, is_right = hand_labels(result), result.motion.is_right

    def nested(values: np.ndarray, kind: "pa.DataType") -> "pa.Array":
        flat = pa.array(values.reshape(-1), type=kind)
        for size in reversed(values.shape[1:]):
            flat = pa.FixedSizeListArray.from_arrays(flat, size)
        return flat

    def rows(values: np.ndarray) -> np.ndarray:
        return values.reshape(hands * frames, *values.shape[2:])

    table = pa.table(
        {
            "frame": pa.array(np.tile(np.arange(frames), hands)),
            "time_s": pa.array(np.tile(result.tracks.times_s, hands)),
            "hand": pa.array(np.repeat(labels, frames).tolist()),
            "handedness": pa.array(["right" if side else "left" for side in np.repeat(is_right, frames)]),
            "status": pa.array([STATUS_NAMES[int(value)] for value in rows(result.motion.status)]),
            "confidence": pa.array(rows(result.tracks.confidence).mean(-1), type=pa.float32()),
            "kp2d": nested(rows(result.landmarks_px), pa.float32()),
            "kp3d": nested(rows(result.joints), pa.float32()),
            "kp3d_std_mm": nested(rows(result.joint_std_mm), pa.float32()),
        }
    )
    pq.write_table(table, file)
    return [file]
