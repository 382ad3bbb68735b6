"""Clips and results on this machine or in an object store, through fsspec (s3, gs, http, ...)."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.video.sources import is_url


@contextlib.contextmanager
def local_video(text: str) -> Iterator[Path]:
    """Give a clip as a file of this machine; what was fetched goes again. Raises InputError."""
    if not is_url(text):
        yield Path(text)
        return
    with tempfile.TemporaryDirectory(prefix="hmpfit-clip-") as folder:
        path = Path(folder) / (text.rpartition("/")[2].partition("?")[0] or "clip")
        try:
            with _fsspec().open(text, "rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"'{text}' cannot be fetched: {' '.join(str(error).split()) or error!r}.") from error
        yield path


def upload(folder: Path, names: list[str], to: str) -> None:
    """Put files of a folder below an address. Raises InputError."""
    try:
        files, root = _fsspec().core.url_to_fs(to)
        for name in names:
            files.put_file(str(folder / name), f"{root.rstrip('/')}/{name}")
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"'{to}' cannot be written: {' '.join(str(error).split()) or error!r}.") from error


def _fsspec() -> Any:
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise MissingExtraError("an address in a manifest", "fsspec", "pip install fsspec (hmpfit[scale])") from error
    return fsspec
