"""The ledger: a line for every finished clip, appended and flushed to the disk before it is reported.

A restart reads it instead of looking into folders. A line that a kill cut short counts for nothing.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hmpfit.errors import RunFolderError


class Ledger:
    """An append-only file of JSON lines; `done` has the last line of each clip by its name. Raises RunFolderError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, dict[str, Any]] = {}
        try:
            self._file = path.open("a+b")
            self._file.seek(0)
            content = self._file.read()
            for line in content.splitlines():
                self._note(line)
            if content and not content.endswith(b"\n"):
                self._file.write(b"\n")
        except OSError as error:
            raise RunFolderError(f"The ledger '{path}' cannot be used ({error.strerror}).") from error

    def add(self, entries: Sequence[dict[str, Any]]) -> None:
        """Append entries, each with a `name`, and wait until they are on the disk."""
        lines = [json.dumps(entry, separators=(",", ":")).encode() for entry in entries]
        try:
            self._file.write(b"".join(line + b"\n" for line in lines))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunFolderError(f"The ledger '{self.path}' cannot be written ({error.strerror}).") from error
        for line in lines:
            self._note(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _note(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            self.done[str(entry["name"])] = entry
        except (ValueError, KeyError, TypeError):
            return
