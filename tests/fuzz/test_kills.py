"""The kill harness counts published files only: a killed command leaves unpublished ones that its restart removes."""

from pathlib import Path

import numpy as np

from tests.fuzz.kills import published, results


def test_unpublished_files_are_neither_results_nor_redone(tmp_path: Path) -> None:
    for folder in ("clip", ".partial-1", "clip/.partial-2"):
        (tmp_path / folder).mkdir()
    np.savez(tmp_path / "clip" / "result.npz", joints=np.zeros(3))
    (tmp_path / ".partial-1" / "result.npz").write_bytes(b"half a file")
    (tmp_path / "clip" / ".partial-2" / "fit.npz").write_bytes(b"half a file")
    assert set(results(tmp_path)) == {"clip/result.npz/joints"}
    assert published(tmp_path, ("fit.npz", "result.npz")) == [tmp_path / "clip" / "result.npz"]
