"""Input sources: files, web addresses, standard input, folders of videos, folders of unrelated photos.

Separate from the readers, which know files on this machine only. Whatever comes from elsewhere is stored in a temporary
file first, because a run reads its video several times.
"""

import http.client
import re
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hmpfit.errors import InputError
from hmpfit.progress import Advance, Progress, Silent

STDIN = "-"
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp",
    ".3g2", ".ogv", ".mxf", ".dv", ".gif", ".h264", ".h265", ".hevc", ".mjpeg", ".mjpg", ".y4m", ".ivf",
)  # fmt: skip
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_PIECE = 1 << 18
_KIB = 1 << 10
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Source:
    """One input: what the user wrote (a path, a web address, or `-`) and the name of its run folder.

    `member` is True for a file of a folder that the user gave.
    """

    text: str
    name: str
    member: bool = False


def is_url(text: str) -> bool:
    """Return whether a text is an address such as https://..., of any scheme."""
    return _SCHEME.match(text) is not None


def expand_sources(texts: Sequence[str], unordered: bool = False) -> list[Source]:
    """Return every input by itself: a folder of videos becomes its videos, with `unordered` one of images its photos.

    A folder of images without `unordered` stays one input, as does a folder with neither. Raises InputError for a
    folder that holds both images and videos, and for `unordered` on a folder with neither.
    """
    found: list[Source] = []
    for text in texts:
        members = None if is_url(text) or text == STDIN else _members(Path(text), unordered)
        if members is None:
            found.append(Source(text, _name(text)))
        else:
            stems = [member.stem for member in members]
            for member in members:
                name = member.stem if stems.count(member.stem) == 1 else member.name
                found.append(Source(str(member), name, member=True))
    return found


@contextmanager
def local_file(text: str | Path, progress: Progress | None = None) -> Iterator[Path]:
    """Give a file or folder that can be read again for a path, a pipe, a web address or `-`, standard input.

    What was fetched is deleted after the `with` block. Raises InputError when it cannot be fetched whole.
    """
    text = str(text)
    piped = not is_url(text) and (Path(text).is_fifo() or Path(text).is_char_device())
    if text != STDIN and not is_url(text) and not piped:
        yield Path(text)
        return
    progress = progress or Silent()
    with tempfile.TemporaryDirectory(prefix="hmpfit-") as folder:
        path = Path(folder) / (_name(text) + _suffix(text))
        try:
            with path.open("wb") as file:
                if text == STDIN:
                    _read_stdin(file, progress)
                elif piped:
                    with Path(text).open("rb") as pipe:
                        _copy(pipe, file, progress.phase(f"reading {text} (KiB)", 0))
                else:
                    _download(text, file, progress)
        except OSError as error:
            raise InputError(f"'{text}' cannot be stored in '{folder}': {error.strerror or error}.") from error
        yield path


def _members(path: Path, unordered: bool) -> list[Path] | None:
    """Return the files of a folder that are inputs of their own, or None for what is one input itself."""
    if not path.is_dir():
        return None
    from hmpfit.video.image_folder import images_in  # late, because `hmpfit --help` loads no numpy

    images = images_in(path)
    videos = sorted(
        p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith(".") and p.is_file()
    )
    if unordered and not images and not videos:
        raise InputError(f"The folder '{path}' holds no images; --unordered is for folders of photos.")
    if unordered and images:
        return images
    if images and videos:
        raise InputError(
            f"The folder '{path}' holds {len(images)} images and {len(videos)} videos, such as '{images[0].name}' and "
            f"'{videos[0].name}'; give the files, or folders of one kind."
        )
    return videos or None


def _name(text: str) -> str:
    """Return the name of the run folder."""
    if text == STDIN:
        return "stdin"
    if not is_url(text):
        return Path(text).resolve().stem
    parts = urllib.parse.urlsplit(text)
    stem = Path(urllib.parse.unquote(parts.path)).stem or parts.hostname or "download"
    return re.sub(r"[/\\\x00-\x1f]", "_", stem)[:100]


def _suffix(text: str) -> str:
    suffix = Path(urllib.parse.unquote(urllib.parse.urlsplit(text).path)).suffix if is_url(text) else ""
    return suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", suffix) else ""


def _read_stdin(file: BinaryIO, progress: Progress) -> None:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "'-' reads a video from standard input, and nothing is piped in; type: cat VIDEO | hmpfit run -"
        )
    advance = progress.phase("reading standard input (KiB)", 0)
    if _copy(sys.stdin.buffer, file, advance) == 0:
        raise InputError("Standard input is empty; pipe a video into it.")


def _download(url: str, file: BinaryIO, progress: Progress) -> None:
    scheme = url.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        raise InputError(f"'{url}' cannot be fetched: only http:// and https:// can; download it and give the file.")
    request = urllib.request.Request(_quoted(url), headers={"User-Agent": "hmpfit"})
    try:
        with _opener().open(request, timeout=_TIMEOUT_S) as answer:
            kind = answer.headers.get_content_type()
            if kind in ("text/html", "application/xhtml+xml"):
                raise InputError(f"'{url}' is a web page and no video; give the address of the video file itself.")
            announced = int(answer.headers.get("Content-Length") or 0)
            done = _copy(answer, file, progress.phase("downloading (KiB)", -(-announced // _KIB)))
    except urllib.error.HTTPError as error:
        raise InputError(f"'{url}' cannot be fetched: the server says {error.code} {error.reason}.") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"'{url}' cannot be fetched: {reason}.") from error
    if announced and done < announced:
        raise InputError(f"'{url}' broke off after {done} of {announced} bytes; try again.")
    if done == 0:
        raise InputError(f"'{url}' is empty.")


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https alone, also after a redirection."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


def _quoted(url: str) -> str:
    """Encode what may not stand in an address, such as spaces; what is encoded already stays."""
    return urllib.parse.quote(url, safe="%:/?#[]@!$&'()*+,;=~")


def _copy(source: BinaryIO, file: BinaryIO, advance: Advance) -> int:
    done = 0
    while piece := source.read(_PIECE):
        file.write(piece)
        advance((done + len(piece)) // _KIB - done // _KIB)
        done += len(piece)
    return done
