"""Read one image file: any usual format, upright as viewers show it, with the focal length in its metadata.

Separate from `image_folder`, which knows order and time. The format follows from the content, not from the name.
"""

import logging
import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError, MissingExtraError, UnreadableFileError
from hmpfit.files.opening import MIB, explained, open_regular, read_bytes
from hmpfit.video.metadata import focal_from_exif

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")
_MOTION_JPEG = (".mjpeg", ".mjpg")
_ORIENTATION = 0x0112
# What must be done to the stored picture: transpose it, then mirror it in y, then in x.
_UPRIGHT = {1: (0, 0, 0), 2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1),
            8: (1, 1, 0)}  # fmt: skip
_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef")
_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD = 1 << 16
IMAGE_MOST = 512 * MIB
# What Pillow raises for damaged or hostile metadata.
_BROKEN = (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, OverflowError, EOFError, struct.error)
_LOG = logging.getLogger("hmpfit")


def is_still(path: Path) -> bool:
    """Return whether a file is a single picture by its first bytes; an animation and a video are none."""
    with explained(path), open_regular(path) as file:
        head = file.read(_HEAD)
    if path.suffix.lower() in _RAW:
        raise InputError(f"'{path}' is a raw photo, which cannot be read; export it as JPEG or HEIC.")
    if head.startswith(b"\xff\xd8\xff"):
        return path.suffix.lower() not in _MOTION_JPEG
    if head.startswith(_PNG):
        return b"acTL" not in head  # an animated PNG
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        if head[12:16] == b"VP8X" and head[20:21] and head[20] & 2:
            raise InputError(f"'{path}' is an animated WebP, which cannot be read; convert it to MP4 or GIF.")
        return True
    if head[:4] in (b"II*\0", b"MM\0*") or head[:2] == b"BM":
        return True
    return _is_heif(head) or (head[4:8] == b"ftyp" and head[8:12] == b"avif")


def read_image(file: Path) -> NDArray[np.uint8]:
    """Read one image as RGB [height, width, 3], upright.

    Raises InputError, naming it, when it is missing or damaged, MissingExtraError for HEIC without its package.
    """
    import cv2

    content = _content(file)
    image = _decode(content, cv2.IMREAD_COLOR)
    if image is not None:
        return _upright(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8), _orientation(content, file))
    opened = _pillow(content, file)
    if opened is None:
        raise damaged(file)
    from PIL import ImageOps

    try:
        return np.ascontiguousarray(ImageOps.exif_transpose(opened).convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise damaged(file) from error


def rough_shape(file: Path) -> tuple[int, int]:
    """Return rows and columns, upright, of a decoding at an eighth of the size; raise as `read_image`."""
    import cv2

    content = _content(file)
    image = _decode(content, cv2.IMREAD_REDUCED_COLOR_8)
    if image is None:
        rows, columns = read_image(file).shape[:2]
        return -(-rows // 8), -(-columns // 8)
    shape = _upright(image, _orientation(content, file)).shape
    return shape[0], shape[1]


def focal_px(file: Path, width: int, height: int) -> float | None:
    """Return the focal length in pixels that the file's EXIF tells for a picture shown at this size, or None."""
    content = _content(file)
    opened = None if _png_without_exif(content) else _pillow(content, file)
    try:
        return None if opened is None else focal_from_exif(opened.getexif(), width, height)
    except _BROKEN:
        return None


def warn_of_pages(file: Path) -> None:
    """Log that only the first page of a TIFF of several is read."""
    content = _content(file)
    if content[:4] in (b"II*\0", b"MM\0*"):
        opened = _pillow(content, file)
        try:
            pages = int(getattr(opened, "n_frames", 1))
        except _BROKEN:  # errors are raised when the picture is read
            return
        if pages > 1:
            _LOG.warning("'%s' holds %d pictures; the first is read. For a sequence give a folder", file, pages)


def damaged(file: Path) -> InputError:
    """Return the error for an image that does not decode."""
    return InputError(f"The image '{file}' cannot be decoded; mend or remove it.")


def _content(file: Path) -> bytes:
    try:
        return read_bytes(file, IMAGE_MOST)
    except UnreadableFileError as error:
        raise InputError(f"The image '{file}' cannot be read: {error.reason}.") from None


def _decode(content: bytes, flags: int) -> NDArray[np.uint8] | None:
    """Return BGR as stored, gray and transparent images included, or None for formats unknown to OpenCV."""
    import cv2

    if not content:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # a size beyond OpenCV's limit
        return None
    return None if image is None else np.asarray(image, dtype=np.uint8)


def _pillow(content: bytes, file: Path) -> "PillowImage | None":
    from PIL import Image, UnidentifiedImageError

    if _is_heif(content[:32]):
        try:
            from pi_heif import open_heif
        except ImportError:
            raise MissingExtraError(f"'{file}' (HEIC)", "pi-heif", "pip install 'hmpfit[heic]'") from None
        try:
            return open_heif(BytesIO(content)).to_pillow()
        except (OSError, ValueError, SyntaxError, RuntimeError):
            return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(BytesIO(content))
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise InputError(f"The image '{file}' has more than {most} million pixels; scale it down.") from None
    except (UnidentifiedImageError, *_BROKEN):
        return None


def _orientation(content: bytes, file: Path) -> int:
    opened = None if _png_without_exif(content) else _pillow(content, file)
    try:
        return 1 if opened is None else int(opened.getexif().get(_ORIENTATION, 1))
    except _BROKEN:
        return 1


def _png_without_exif(content: bytes) -> bool:
    """Return whether a PNG has no EXIF without decoding it, as Pillow would to find EXIF behind the pixels."""
    return content.startswith(_PNG) and b"eXIf" not in content and b"Raw profile type exif" not in content


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    transposed, flip_y, flip_x = _UPRIGHT.get(orientation, (0, 0, 0))
    if transposed:
        image = image.transpose(1, 0, 2)
    return np.ascontiguousarray(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS
