"""Temporary folders that are removed at the end, and those of killed processes, which are removed by the next."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = re.compile(r"hmpfit-fit-(\d+)-\w+")


@contextmanager
def own_temporary_folder() -> Iterator[str]:
    """Give a folder that names this process, after removing those whose processes are gone."""
    for path in Path(tempfile.gettempdir()).glob("hmpfit-fit-*"):
        found = _NAME.fullmatch(path.name)
        if found is not None and not _is_alive(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)  # of another user: it stays
    with tempfile.TemporaryDirectory(prefix=f"hmpfit-fit-{os.getpid()}-") as folder:
        yield folder


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
