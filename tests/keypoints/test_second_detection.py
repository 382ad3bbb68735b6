"""Which parts of a frame the second look sees."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hmpfit.keypoints.second_detection import _tiles


@pytest.mark.parametrize("width, height, rows, columns", [
    (1280, 720, 1, 3), (720, 1280, 3, 1), (640, 480, 2, 3), (1000, 400, 1, 3), (500, 500, 3, 3),
])  # fmt: skip
def test_tiles_cover_the_picture_in_as_few_rows_as_do(width: int, height: int, rows: int, columns: int) -> None:
    clip: Any = SimpleNamespace(width=width, height=height)
    tiles = np.stack(_tiles(clip, 0.5))
    assert (
        len(np.unique(tiles[:, 1])) == rows and len(np.unique(tiles[:, 0])) == columns and len(tiles) == rows * columns
    )
    low, high = tiles[:, :2].min(axis=0), tiles[:, 2:].max(axis=0)
    assert (low <= 1e-9).all() and (high >= (width - 1e-9, height - 1e-9)).all()
    side = tiles[:, 2:] - tiles[:, :2]
    assert np.allclose(side, side[0, 0]) and 0.5 <= side[0, 0] / max(width, height) <= 0.6
    for n, starts in enumerate((np.unique(tiles[:, 0]), np.unique(tiles[:, 1]))):
        assert (np.diff(starts) <= side[0, n] / 2 + 1e-6).all(), "a hand on an edge lies in another tile"
