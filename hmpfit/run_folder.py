"""The run folder: stage files that are fresh or stale, and results; nothing else touches the disk between steps.

A stage file is fresh when the fingerprint inside it matches, so a killed run resumes where it was and a changed
setting redoes what depends on it. Everything is written beside its place and renamed, so a failure leaves the old.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hmpfit.errors import InputError, RunFolderError
from hmpfit.files.archives import read_npz
from hmpfit.files.structured import read_json_table
from hmpfit.folder_lock import FolderLock

Stage = TypeVar("Stage")

MARK = "settings.json"  # lies there only while a run is finished
_FINGERPRINT = "fingerprint.npy"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHUT = (errno.EACCES, errno.EPERM, errno.EROFS)


class RunFolder:
    """The folder of one video's run.

    `settings` is everything that decides the result, as plain values (numbers, texts, lists, dicts); `summary` names
    the JSON among the results that `finished` returns, by `read`, whose InputError makes a run unfinished.
    The folder is this process's until `release`. Raises RunFolderError when the folder cannot be written, when another
    process has it (with `wait` that is waited for), or when it holds a finished run made with other settings and
    `overwrite` is not given.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        overwrite: bool = False,
        summary: str = "result.json",
        read: Callable[[Path], dict[str, Any]] = read_json_table,
        wait: bool = False,
    ) -> None:
        self.path = path
        self._summary, self._read = summary, read
        self._settings = json.loads(json.dumps(settings))
        if not overwrite:
            self._refuse_other_settings()
        try:
            with self._explained():
                path.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=path) as probe:  # minutes of work come before the first real write
                    probe.write(b"hmpfit")
                self._lock = FolderLock(path, wait)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            if not overwrite:
                self._refuse_other_settings()  # what the run that was waited for has made
            for left_over in path.glob(".partial-*"):
                shutil.rmtree(left_over, ignore_errors=True)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let other processes use the folder."""
        self._lock.release()

    def finished(self) -> dict[str, Any] | None:
        """Return the summary of a finished run with these very settings, or None when there is work to do."""
        mark = _json_table(self.path / MARK)
        if mark is None or mark.get("settings") != self._settings:
            return None
        names = mark.get("files")
        if not isinstance(names, list) or not all(isinstance(n, str) and (self.path / n).is_file() for n in names):
            return None
        try:
            return self._read(self.path / self._summary)
        except InputError:
            return None

    def stage(
        self,
        name: str,
        fingerprint: str,
        compute: Callable[[], Stage],
        save: Callable[[Path, Stage], None],
        load: Callable[[Path], Stage],
    ) -> Stage:
        """Return the stage's stored value when its fingerprint matches, else compute and store it as `<name>.npz`.

        `save(path, value)` must write an npz. A damaged file counts as stale. Raises RunFolderError when the disk is
        full or shut; the earlier stages stay.
        """
        path = self.path / f"{name}.npz"
        if _stored_fingerprint(path) == fingerprint:
            with contextlib.suppress(InputError):
                return load(path)
        value = compute()
        with self._explained(), self._partial() as scratch:
            written = scratch / path.name
            save(written, value)
            with zipfile.ZipFile(written, "a") as archive, archive.open(_FINGERPRINT, "w") as entry:
                np.lib.format.write_array(entry, np.array(fingerprint))
            _into_place(written, path)
        return value

    @contextlib.contextmanager
    def publish(self) -> Iterator[Path]:
        """Give an empty folder to write the results into; they replace the earlier ones together at the end.

        When the block raises, the earlier results stay as they were. `settings.json` is written last: a run counts
        as finished when it is there. Raises RunFolderError when the disk is full or shut.
        """
        with self._explained(), self._partial() as scratch:
            yield scratch
            results = sorted(scratch.iterdir())
            mark = {"settings": self._settings, "files": [written.name for written in results]}
            (scratch / MARK).write_text(json.dumps(mark, indent=1))
            for written in (*results, scratch / MARK):
                _flush(written)
            # The summary goes first and comes last: so that an old one never lies beside new arrays.
            (self.path / MARK).unlink(missing_ok=True)
            (self.path / self._summary).unlink(missing_ok=True)
            results.sort(key=lambda written: written.name == self._summary)
            for written in (*results, scratch / MARK):
                written.replace(self.path / written.name)
            _flush_folder(self.path)

    def _refuse_other_settings(self) -> None:
        mark = _json_table(self.path / MARK)
        if mark is None or not isinstance(mark.get("settings"), dict) or mark["settings"] == self._settings:
            return
        raise RunFolderError(
            f"'{self.path}' holds a finished run with other settings (made with "
            f"{describe_differences(mark['settings'], self._settings)}); add --overwrite to recompute what changed, "
            "or choose another folder with -o."
        )

    @contextlib.contextmanager
    def _partial(self) -> Iterator[Path]:
        scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=self.path))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            number = _error_number(error)
            if number in _FULL:
                raise RunFolderError(
                    f"The disk that holds '{self.path}' is full; free some space and run again (finished steps stay)."
                ) from error
            if number in _SHUT:
                raise self._unwritable(error) from error
            raise

    def _unwritable(self, error: Exception) -> RunFolderError:
        reason = os.strerror(_error_number(error) or errno.EIO)
        return RunFolderError(f"The folder '{self.path}' cannot be written ({reason}); choose another with -o.")


def describe_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any], most: int = 3) -> str:
    """Return how two settings differ in words, such as "views = 4, now 11", naming at most `most` of them."""
    old, new = _flat(stored), _flat(wanted)
    keys = [key for key in sorted({*old, *new}) if old.get(key, _ABSENT) != new.get(key, _ABSENT)]
    told = [f"{key} = {_shown(old.get(key, _ABSENT))}, now {_shown(new.get(key, _ABSENT))}" for key in keys[:most]]
    return "; ".join(told) + (f"; and {len(keys) - most} more" if len(keys) > most else "")


_ABSENT = object()


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    tables = isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if tables else None
    if items is None:
        return {path: value}
    flat: dict[str, Any] = {}
    for key, item in items:
        flat |= _flat(item, f"{path}.{key}" if path else str(key))
    return flat


def _shown(value: Any) -> str:
    return "nothing" if value is _ABSENT else json.dumps(value)


def _error_number(error: BaseException | None) -> int | None:
    """Return the operating system's reason behind an error: writers of archives bury it in errors of their own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error.errno if error is not None else None


def _json_table(path: Path) -> dict[str, Any] | None:
    try:
        return read_json_table(path)
    except InputError:
        return None


def _stored_fingerprint(path: Path) -> str | None:
    try:
        stored = read_npz(path, {_FINGERPRINT.removesuffix(".npy")}.__contains__)
    except InputError:
        return None
    return str(next(iter(stored.values()))) if stored else None


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _into_place(written: Path, place: Path) -> None:
    _flush(written)
    written.replace(place)
    _flush_folder(place.parent)
