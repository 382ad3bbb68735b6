"""A list inside a JSON file that is too big to hold: one object after the other.

InterHand2.6M's lists of images have millions of entries; parsed at once they would need tens of gigabytes.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hmpfit.errors import InputError

_CHUNK = 1 << 22
_GAP = re.compile(r"[\s,]*")


def objects_of(file: Path, key: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of the list under a top-level key. Raises InputError when the file is damaged or lacks it."""
    start = re.compile(rf'"{re.escape(key)}"\s*:\s*\[')
    decode = json.JSONDecoder().raw_decode
    try:
        with file.open(encoding="utf-8") as stream:
            text, at = "", -1
            while True:
                more = stream.read(_CHUNK)
                if at < 0:
                    text = text[-(len(key) + 64) :] + more
                    found = start.search(text)
                    if found is None:
                        if not more:
                            raise InputError(f"'{file}' has no list '{key}'.")
                        continue
                    at = found.end()
                else:
                    text, at = text[at:] + more, 0
                while True:
                    gap = _GAP.match(text, at)
                    at = gap.end() if gap is not None else at
                    if text[at : at + 1] == "]":
                        return
                    try:
                        value, at = decode(text, at)
                    except json.JSONDecodeError:
                        break  # cut by the end of the chunk
                    yield value
                if not more:
                    raise InputError(f"'{file}' breaks off in its list '{key}'.")
    except OSError as error:
        raise InputError(f"'{file}' cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise InputError(f"'{file}' is not JSON.") from None


def read_json(file: Path) -> Any:
    """Read a whole JSON file. Raises InputError when it is missing or damaged."""
    try:
        return json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"'{file}' cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise InputError(f"'{file}' is not JSON ({error}).") from None
