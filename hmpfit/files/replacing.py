"""Rename a file that was written beside its place into it; the last step of all writers."""

import errno
from pathlib import Path


def replace_file(partial: Path, path: Path) -> None:
    """Rename `partial` to `path`, over a file that is there. Raises OSError where a device, pipe or folder is there.

    A rename would take the device's place: a user who may write to /dev would lose /dev/null to `-o /dev/null`.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "a device, a pipe or a folder has this name", str(path))
    partial.replace(path)
