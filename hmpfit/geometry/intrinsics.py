"""The camera of a clip: given by the user or the file, or assumed and reported as such.

Separate from `camera_files`, which reads, because here a camera meets its clip: a camera that cannot have taken these
pictures is refused with the reason, one that was calibrated at another size is scaled, and the note says so.
"""

import logging
from dataclasses import replace

import numpy as np
import torch

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.opening import reason_of
from hmpfit.geometry.camera_files.calibration import Calibration, UnreadableError, pinhole
from hmpfit.geometry.camera_files.reading import read_calibration
from hmpfit.geometry.cameras import FOCAL_LOG_STD, assumed_intrinsics
from hmpfit.geometry.lenses import FISHEYE, image_plane, lens_name, undistorted_rays
from hmpfit.records import Camera, Floats

_FORMS = (
    "fx,fy,cx,cy in pixels, or a file: our .json or .npz with K (and distortion), a text of the 3x3 matrix, OpenCV "
    "YAML, JSON or XML, COLMAP cameras.txt, ROS camera_info or a Kalibr chain"
)
ESTIMATE, ASSUMED = "estimate", "assumed"  # texts that ask for a focal length from the hands, or for none
LEAST_FOCAL, MOST_FOCAL = 0.3, 5.0  # of the longer side
LEAST_FOCAL_OF_A_FISHEYE = 0.1  # half a turn of view on the longer side is 0.32
MOST_OFF_CENTER = 0.2  # of a side: farther off, the principal point is worth a warning
MOST_UNEVEN = 2.0  # fx over fy
_SAME_SHAPE = 0.01
_BENT_BACK = 0.25  # of the picture: a lens that cannot be undone in more of it is no calibration

_LOG = logging.getLogger("hmpfit")


def camera_for(
    width: int,
    height: int,
    intrinsics: str | None,
    focal_per_longer_side: float,
    focal_px: float = 0.0,
    metadata_px: float | None = None,
    stored_size: tuple[int, int] | None = None,
) -> Camera:
    """Return the camera of a clip of `width` x `height` pixels.

    `intrinsics` is the user's text (`fx,fy,cx,cy`, or a file's path). Without it, or with "estimate" or "assumed", the
    focal length is `focal_px` where that is positive, else `metadata_px`, which the file itself tells, else the given
    share of the longer side.
    `stored_size` is the size before pixels were made square, at which a camera may have been calibrated.
    Raises InputError when the text is neither, and when such a camera cannot have taken these pictures.
    """
    if intrinsics in (None, ESTIMATE, ASSUMED):
        K = assumed_intrinsics(width, height, focal_per_longer_side)
        if focal_px > 0:
            K[0, 0] = K[1, 1] = focal_px
        elif metadata_px is not None:
            K[0, 0] = K[1, 1] = metadata_px
            return Camera(K[None], width, height, source="metadata")
        return Camera(K[None], width, height, source="assumed")
    read = _read(intrinsics)
    name = f"--intrinsics '{intrinsics}'"
    K = _checked_matrix(name, read.K)
    K, note = _at_size(name, K, read.size, (width, height), stored_size)
    camera = Camera(K, width, height, read.distortion, "given")
    notes = [sentence for sentence in (note, *_check_plausible(name, camera)) if sentence]
    for sentence in notes:
        _LOG.warning("%s: %s", name, sentence)
    return replace(camera, note=" ".join(notes))


def focal_log_std(camera: Camera) -> float:
    """Return the standard deviation of the logarithm of a camera's focal length, by where it came from."""
    if camera.focal_log_std is not None:
        return camera.focal_log_std
    return FOCAL_LOG_STD.get(camera.source, FOCAL_LOG_STD["assumed"])


def _read(text: str) -> Calibration:
    numbers = text.split(",")
    try:
        if len(numbers) == 4:
            return Calibration(pinhole(*(float(number) for number in numbers)))
        return read_calibration(text)
    except UnreadableFileError as error:
        raise InputError(f"--intrinsics '{text}' cannot be read ({error.reason}); give {_FORMS}.") from None
    except UnreadableError as error:
        raise InputError(f"--intrinsics '{text}' cannot be read ({error}); give {_FORMS}.") from error
    except Exception as error:  # whatever a broken file makes the readers of its format do
        raise InputError(f"--intrinsics '{text}' cannot be read ({reason_of(error)}); give {_FORMS}.") from error


def _checked_matrix(name: str, K: Floats) -> Floats:
    """Return K [frames | 1, 3, 3] with a last row 0 0 1. Raises InputError for what is no camera matrix."""
    if not np.isfinite(K).all():
        raise InputError(f"{name} holds numbers that are not finite; give {_FORMS}.")
    if (K[:, 2, :2] != 0).any() and (K[:, :2, 2] == 0).all():
        raise InputError(f"{name} is transposed: the principal point stands in the last row; give the matrix by rows.")
    if (K[:, 2, :2] != 0).any() or (K[:, 2, 2] == 0).any() or (K[:, 1, 0] != 0).any():
        raise InputError(f"{name} is no camera matrix, which is fx s cx, 0 fy cy, 0 0 1 by rows; give {_FORMS}.")
    K = K / K[:, 2:, 2:]
    if (K[:, [0, 1], [0, 1]] <= 0).any():
        raise InputError(f"{name} has no positive focal lengths; give {_FORMS}.")
    return K


def _at_size(
    name: str, K: Floats, size: tuple[int, int] | None, shown: tuple[int, int], stored: tuple[int, int] | None
) -> tuple[Floats, str]:
    """Return K for the shown size and what was done to it. Raises InputError where no scaling makes it fit."""
    if size is None or size == shown:
        return K, ""
    scale = np.array(shown) / size
    if abs(scale[0] / scale[1] - 1) > _SAME_SHAPE and size != stored:
        turned = " The clip is shown turned: give the camera of the turned picture." if size == shown[::-1] else ""
        raise InputError(
            f"{name} is a camera of {size[0]}x{size[1]} pixels, and the clip has {shown[0]}x{shown[1]}: another shape, "
            f"so the picture was cut or turned in a way that is not known.{turned}"
        )
    K = K.copy()
    K[:, :2] *= scale[:, None]
    said = f"Scaled from {size[0]}x{size[1]} pixels, at which it was calibrated, to the clip's {shown[0]}x{shown[1]}."
    return K, said


def _check_plausible(name: str, camera: Camera) -> list[str]:
    """Raise InputError for a camera that cannot have taken pictures of this size; return what is odd about it."""
    width, height, K = camera.width, camera.height, camera.K
    fx, fy, center = K[:, 0, 0], K[:, 1, 1], K[:, :2, 2]
    size = np.array((width, height))
    if ((center <= 0) | (center >= size)).any():
        cx, cy = center[0]
        raise InputError(
            f"{name} has its principal point ({cx:.6g}, {cy:.6g}) outside the picture of {width}x{height} pixels."
            + _other_size(K[0], width, height)
        )
    side = max(width, height)
    least = LEAST_FOCAL_OF_A_FISHEYE if lens_name(camera.distortion) == FISHEYE else LEAST_FOCAL
    for focal in (fx, fy):
        worst = focal[np.argmax(np.abs(np.log(focal / side)))]
        if not least * side <= worst <= MOST_FOCAL * side:
            raise InputError(
                f"{name} has a focal length of {worst:.6g} px, which is {worst / side:.2g} times the longer side of "
                f"{side} px; cameras lie between {least:g} and {MOST_FOCAL:g}. Is it in pixels, and of this size?"
            )
    if (np.maximum(fx / fy, fy / fx) > MOST_UNEVEN).any():
        raise InputError(f"{name} has fx {fx[0]:.6g} and fy {fy[0]:.6g} px: pixels are not that far from square.")
    odd = _check_lens(name, camera)
    if (np.abs(center / size - 0.5) > MOST_OFF_CENTER).any():
        told = _other_size(K[0], width, height)
        odd.append(f"The principal point is far from the middle of the picture.{told}")
    return odd


def _other_size(K: Floats, width: int, height: int) -> str:
    """Return a hint for which picture such a camera would be, from its principal point."""
    cx, cy = K[:2, 2]
    if cx <= 0 or cy <= 0 or abs((cx / cy) / (width / height) - 1) > 0.05:
        return ""
    scale = width / (2 * cx)
    numbers = ",".join(f"{value * scale:.6g}" for value in (K[0, 0], K[1, 1], cx, cy))
    return f" It looks like one for {2 * cx:.0f}x{2 * cy:.0f} pixels; scaled to this clip it is {numbers}."


def _check_lens(name: str, camera: Camera) -> list[str]:
    """Raise InputError for distortion that is not finite or bends much of the picture back onto itself.

    Return a sentence where it bends a little of it.
    """
    if camera.distortion is None:
        return []
    if not np.isfinite(camera.distortion).all():
        raise InputError(
            f"{name} has distortion coefficients that are not finite (NaN); calibrate again or leave it out."
        )
    x, y = np.meshgrid(np.linspace(0, camera.width, 17), np.linspace(0, camera.height, 17))
    pixels = np.stack((x, y, np.ones_like(x)), axis=-1)
    plane = (pixels @ np.linalg.inv(camera.K[0]).T)[..., :2]
    rays = torch.as_tensor(undistorted_rays(plane, camera.distortion))
    back = image_plane(rays, torch.as_tensor(camera.distortion)).numpy()
    lost = ~(np.linalg.norm((back - plane) * camera.K[0, 0, 0], axis=-1) < 1.0)
    if lost.mean() > _BENT_BACK:
        raise InputError(
            f"{name} has distortion that cannot be undone in {lost.mean():.0%} of the picture; check the coefficients, "
            "their order and their model."
        )
    share = f"The distortion cannot be undone in {100 * lost.mean():.0f} % of the picture, at its border."
    return [share] if lost.any() else []
