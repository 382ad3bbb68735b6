"""Display geometry of stored pixels: pixel aspect, display matrix (turns and mirrors), and frames of another size.

Separate from `video_file`, which knows where the pixels and these facts are stored.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av.video

_MOST_ASPECT = 8  # pixel aspects beyond this are errors of the file
_SQUARE = 0.004  # pixels this near to square are shown as they are


@dataclass(frozen=True)
class Placement:
    """The way from a stored frame to the shown one: scaled to square pixels, transposed, then mirrored.

    Pixels that are not square are enlarged on their shorter side, so that none is lost.
    """

    stored_size: tuple[int, int]  # width, height
    aspect: Fraction  # width of a pixel over its height
    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    @classmethod
    def of(cls, frame: "av.video.frame.VideoFrame", aspect: Fraction | None) -> "Placement":
        """Return the placement of a decoded frame whose stream has this pixel aspect (None: square)."""
        square = aspect is None or not 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT or abs(aspect - 1) < _SQUARE
        matrix = _display_matrix(frame)
        return cls((frame.width, frame.height), Fraction(1) if square or aspect is None else aspect, *_turns(matrix))

    @property
    def unturned_size(self) -> tuple[int, int]:
        """Width and height with square pixels, before any turn."""
        width, height = self.stored_size
        if self.aspect >= 1:
            return round(width * self.aspect), height
        return width, round(height / self.aspect)

    @property
    def width(self) -> int:
        """Width as shown."""
        return self.unturned_size[1 if self.transposed else 0]

    @property
    def height(self) -> int:
        """Height as shown."""
        return self.unturned_size[0 if self.transposed else 1]

    def turned(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn and mirror an image [h, w, 3] of `unturned_size` as it is shown."""
        if self.transposed:
            image = image.transpose(1, 0, 2)
        image = image[:: -1 if self.mirrored_y else 1, :: -1 if self.mirrored_x else 1]
        return np.ascontiguousarray(image)


def letterboxed(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return the image scaled into `width` x `height` with its shape kept, black where it does not reach."""
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    import cv2

    scale = min(width / columns, height / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    out = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    return out


def _display_matrix(frame: "av.video.frame.VideoFrame") -> tuple[int, ...] | None:
    try:
        every: Any = frame.side_data  # its type in PyAV changes with the version
    except ValueError:  # FFmpeg has kinds that PyAV lacks, such as the EXIF of a photo
        return None
    for data in every:
        if data.type.name == "DISPLAYMATRIX":
            return struct.unpack("=9i", bytes(data)[:36])
    return None


def _turns(matrix: tuple[int, ...] | None) -> tuple[bool, bool, bool]:
    """Return whether the frame is to be transposed, then mirrored in x and in y: the nearest to any matrix.

    Row-major a b u c d v x y w: the shown place of a pixel (p, q) is (a p + c q, b p + d q).
    """
    if matrix is None:
        return False, False, False
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0
