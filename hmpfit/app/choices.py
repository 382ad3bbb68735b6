"""Options of the page's form, as the keywords of `resolve_settings`.

Only these: no option that names a file of this machine, because anyone who reaches the page could read it.
"""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from hmpfit.errors import InputError
from hmpfit.recipes.resolving import resolve_settings

HANDS, CAMERAS = ("auto", "left", "right", "both"), ("auto", "static", "moving")
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_LONGEST_TITLE = 120


def read_choices(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the choices of a form: hands, camera, frames (A:B), intrinsics, hand_size, mirrored, views.

    Raises InputError with one sentence for a value that cannot be used.
    """
    choices: dict[str, Any] = {
        "hands": _one_of("hands", form.get("hands") or "auto", HANDS),
        "camera_motion": _one_of("camera", form.get("camera") or "auto", CAMERAS),
        "mirrored": form.get("mirrored") == "true",
    }
    if form.get("frames"):
        match = re.fullmatch(r"\s*(\d{1,9}):(\d{1,9})\s*", form["frames"])
        if match is None or int(match[1]) >= int(match[2]):
            raise InputError(
                f"Frames are written A:B with A < B, such as 100:160 (B not included); not {form['frames']}."
            )
        choices["frames"] = (int(match[1]), int(match[2]))
    if form.get("intrinsics"):
        lens = form["intrinsics"].replace(" ", "")
        if lens != "assumed" and re.fullmatch(",".join([_NUMBER] * 4), lens) is None:
            raise InputError("The lens is four numbers in pixels, fx,fy,cx,cy, or the word assumed.")
        choices["intrinsics"] = lens
    if form.get("hand_size"):
        if re.fullmatch(_NUMBER, form["hand_size"].strip()) is None:
            raise InputError("The hand's length is a number of millimeters, such as 185.")
        choices["hand_size_mm"] = float(form["hand_size"])
    resolve_settings(**choices)
    return choices


def clean_title(name: str) -> str:
    """Return an uploaded file's name without folders and characters that cannot be printed."""
    last = PurePath(name.replace("\\", "/")).name
    return "".join(letter for letter in last if letter.isprintable())[:_LONGEST_TITLE] or "video"


def folder_name(title: str) -> str:
    """Return a name for the job's folder that any file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", PurePath(title).stem).strip("._")[:60] or "video"


def file_name(title: str) -> str:
    """Return the uploaded file's name on the disk; readers go by its suffix."""
    suffix = PurePath(title).suffix.lower()
    return "video" + (suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else "")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise InputError(f"{name} is one of {', '.join(known)}, not '{value}'.")
    return value
