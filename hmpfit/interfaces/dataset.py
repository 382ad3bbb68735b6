"""Records that every dataset reader returns: sequences of frames with a camera and, on demand, their truth.

Separate from the readers, which know only files, and from `opening.py`, which knows only their names. All of it is in
one convention: OpenCV axes, meters, OpenPose order, absolute `hand_pose`, left hands as left hands.
"""

import logging
from collections.abc import Callable
from collections.abc import Sequence as Listed
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.files.opening import explained
from hmpfit.hands.model import HandModels
from hmpfit.records import Camera, Floats, HandMotion
from hmpfit.video.clip import Clip, clip_of_images, open_clip
from hmpfit.video.image_file import read_image

log = logging.getLogger("hmpfit")

OCCLUDED_SHARE = 0.3  # of a hand's joints hidden: frames above it are the occlusion subset
BOX_MARGIN = 1.2  # of a box made from projected joints, around their own

Broken = tuple[tuple[str, str], ...]  # (path, reason)


@dataclass(frozen=True)
class Truth:
    """What is true of H hands over T frames, in the camera's frame, as readers give it and metrics take it.

    Finite wherever `valid`.
    """

    is_right: NDArray[np.bool_]  # [H]
    joints_m: Floats  # [H, T, 21, 3] OpenPose order, NaN where not annotated
    valid: NDArray[np.bool_]  # [H, T] all 21 joints are annotated
    vertices_m: Floats | None = None  # [H, T, V, 3], NaN where not annotated
    motion: HandMotion | None = None
    joint_valid: NDArray[np.bool_] | None = None  # [H, T, 21] where single joints may lack
    visible: NDArray[np.bool_] | None = None  # [H, T, 21]
    faces: NDArray[np.integer] | None = None  # [F, 3]
    broken: Broken = ()  # frames whose annotation could not be read
    world_from_camera: Floats | None = None  # [T, 4, 4] where the camera's path is known
    times_s: Floats = field(default_factory=lambda: np.zeros(0))  # [T]; a sequence has those of its truth
    meshes_elsewhere: bool = False  # the dataset has meshes, of a hand model that is not in use

    @property
    def fps(self) -> float:
        """Mean frame rate of the time stamps."""
        return float((len(self.times_s) - 1) / (self.times_s[-1] - self.times_s[0])) if len(self.times_s) > 1 else 30.0

    def annotated(self) -> NDArray[np.bool_]:
        """Return the joints [H, T, 21] that are known."""
        finite = np.isfinite(self.joints_m).all(-1)
        return finite if self.joint_valid is None else finite & self.joint_valid

    def occluded(self) -> NDArray[np.bool_]:
        """Return the frames [H, T] in which more than `OCCLUDED_SHARE` of the joints are hidden."""
        if self.visible is None:
            return np.zeros(self.joints_m.shape[:2], dtype=bool)
        return (~self.visible).mean(-1) > OCCLUDED_SHARE


@dataclass(frozen=True)
class Sequence:
    """One stretch of frames seen by one camera; everything is read on access.

    `name` is unique in its dataset and serves as the run folder's path. `times_s` [T] are the frames' own times, with
    holes where the dataset dropped frames.
    """

    name: str
    fps: float
    images: Listed[Path]
    frame_names: Listed[str]
    times_s: Floats  # [T]
    protocol: str  # of `evaluation.scoring`
    sides: tuple[bool, ...]  # is_right of the hands that are annotated
    read_camera: Callable[[], Camera] | None  # None: the dataset does not have it
    read_truth: Callable[[], Truth]
    read_boxes: Callable[[], Floats] | None = None
    video: Path | None = None  # a video file instead of images
    video_fps: float | None = None  # its real rate, where its time stamps may lie
    video_frames: tuple[int, int] | None = None  # those that the truth covers

    @cached_property
    def camera(self) -> Camera:
        """The camera, K [1 | T, 3, 3]. Raises InputError when its file is missing."""
        if self.read_camera is None:
            raise InputError(f"The camera of '{self.name}' is not known.")
        with explained(Path(self.name), "a sequence with a readable camera"):
            return self.read_camera()

    @cached_property
    def boxes_px(self) -> Floats:
        """Boxes [H, T, 4] (x0, y0, x1, y1): the dataset's own, else around the true joints; NaN where unknown."""
        return self.read_boxes() if self.read_boxes is not None else boxes_around(self.truth(), self.camera)

    @cached_property
    def clip(self) -> Clip:
        """The frames as a clip. Raises InputError, naming the file, when an image is missing or damaged."""
        if self.video is not None:
            return open_clip(self.video, self.video_frames, fps=self.video_fps)
        return clip_of_images(self.images, self.times_s, self.fps)

    def image(self, frame: int) -> NDArray[np.uint8]:
        """Read one frame, RGB [height, width, 3], without touching the others (of a video: after those before it).

        A missing or damaged picture is black, and logged. Raises InputError when the whole folder is missing.
        """
        if self.video is not None:
            return next(image for _, image in self.clip.images(frame, frame + 1))
        file = self.images[frame]
        try:
            return read_image(file)
        except InputError as error:
            if not file.parent.is_dir():
                raise InputError(f"The pictures of '{self.name}' are missing: there is no '{file.parent}'.") from None
            log.warning("A picture counts as black: %s", error)
            return np.zeros((self.camera.height, self.camera.width, 3), np.uint8)

    def truth(self) -> Truth:
        """Read the truth; broken frames are logged with their path and listed in `broken`.

        Raises InputError when the dataset has no truth for this sequence.
        """
        with explained(Path(self.name), "a sequence with a readable truth"):
            truth = self.read_truth()
        for path, reason in truth.broken:
            log.warning("'%s' was left out: %s", path, reason)
        return truth


@dataclass(frozen=True)
class Dataset:
    """A split of a dataset on disk; `broken` are sequences that had to be left out."""

    kind: str
    path: Path
    split: str
    sequences: tuple[Sequence, ...]
    broken: Broken = ()
    order: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # (sequence, frame name) as officially counted

    def sequence(self, name: str) -> Sequence:
        """Return the sequence of that name; KeyError when there is none."""
        return {sequence.name: sequence for sequence in self.sequences}[name]


@dataclass(frozen=True)
class Reader:
    """A kind of dataset: the layout of its folder, its splits (the default first), and how one is opened.

    `recognizes` says whether a folder is the root of such a dataset. `subfolders`: any folder inside is a split too.
    """

    expected: str
    splits: tuple[str, ...]
    open: Callable[[Path, str, HandModels | None], Dataset]
    recognizes: Callable[[Path], bool]
    subfolders: bool = False


def boxes_around(truth: Truth, camera: Camera) -> Floats:
    """Return boxes [H, T, 4] in pixels around the projected joints, widened by `BOX_MARGIN`; NaN where unknown."""
    depth = np.where(truth.joints_m[..., 2:] > 1e-3, truth.joints_m[..., 2:], np.nan)
    homogeneous = truth.joints_m / depth
    xy = np.einsum("...ij,...j->...i", camera.K[None, :, None, :2], homogeneous)
    known = np.isfinite(xy).all(-1, keepdims=True)
    low, high = np.where(known, xy, np.inf).min(axis=2), np.where(known, xy, -np.inf).max(axis=2)
    low, high = (np.where(known.any(2), corner, np.nan) for corner in (low, high))
    center, half = (low + high) / 2, (high - low) / 2 * BOX_MARGIN
    return np.concatenate((center - half, center + half), axis=-1)
