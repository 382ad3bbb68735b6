"""Write a self-contained page: a template with the pages' style and script inside, and a policy that allows no other.

Separate from what the pages say.
"""

import base64
import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hmpfit.errors import RunFolderError
from hmpfit.files.replacing import replace_file

_OPTION = re.compile(r"(--[a-z][a-z-]*)")  # in parentheses, so that split keeps it
_PIECE = 3 << 18  # bytes at a time; base64 goes by threes


def write_page(template: str, content: Mapping[str, Any], file: Path) -> Path:
    """Fill in a template of this package and write it whole or not at all. Raises RunFolderError."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    pages = Environment(loader=PackageLoader("hmpfit", "viewing"), autoescape=select_autoescape(default=True))
    pages.filters["around_options"] = _OPTION.split
    # Both are the same in every page: the page's policy names them by their hashes, and nothing else may run.
    fixed = {name: _fixed(f"report.{ending}") for name, ending in (("style", "css"), ("script", "js"))}
    hashes = {f"{name}_hash": _policy_hash(text) for name, text in fixed.items()}
    partial = file.with_name(f".{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # A file name may hold bytes that are no text; the page shows them as escapes.
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as page:
            page.writelines(pages.get_template(template).generate(**content, **fixed, **hashes))
        replace_file(partial, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise RunFolderError(f"The report '{file}' cannot be written: {error.strerror or error}.") from error
    return file


def in_base64(path: Path) -> Iterator[str]:
    """Yield a file as base64, a piece at a time: an overlay of some minutes is larger than all else in memory."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield base64.b64encode(piece).decode()


def _fixed(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _policy_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
