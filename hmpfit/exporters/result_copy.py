"""The exporter `npz`: a result that was read back, written again."""

from pathlib import Path

from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.results.npz import StoredResult, write_copy


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write a result to `out/result.npz`, or to `out` itself if it ends in .npz."""
    return write_copy(result, models, out)
