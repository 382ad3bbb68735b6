"""A written file takes its place, and never that of a pipe or a folder."""

import os
from pathlib import Path

import pytest

from hmpfit.files.replacing import replace_file


def test_a_file_is_replaced_and_a_pipe_or_folder_is_not(tmp_path: Path) -> None:
    old, partial, folder, pipe = (tmp_path / name for name in ("old", "partial", "folder", "pipe"))
    old.write_text("old")
    folder.mkdir()
    os.mkfifo(pipe)
    for taken in (folder, pipe):
        partial.write_text("new")
        with pytest.raises(OSError, match="a device, a pipe or a folder"):
            replace_file(partial, taken)
        assert partial.read_text() == "new"
    assert pipe.is_fifo()
    replace_file(partial, old)
    assert old.read_text() == "new" and not partial.exists()
