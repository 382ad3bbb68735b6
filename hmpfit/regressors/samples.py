"""Training samples of a regressor: a few consecutive frames of one or two hands with their labels.

Separate from where they come from (datasets, synthesis) and from the networks. A source gives `HandClip`s;
`sample_crop` crops one, disturbs it as the recipe says and returns plain arrays in the axes of the crop's own camera.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hmpfit.geometry.cameras import mirror_intrinsics
from hmpfit.keypoints.regions import from_landmarks
from hmpfit.records import MIRROR_ANGLES, MIRROR_X, Bools, Floats
from hmpfit.regressors import crops
from hmpfit.regressors.crops import Crop

Images = NDArray[np.uint8]
Sample = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class HandClip:
    """F consecutive frames, oldest first, of H hands in one camera. Lefts are left hands; lacking values are NaN."""

    images: Images  # [F, h, w, 3] RGB
    K: Floats  # [3, 3] of these images
    is_right: Bools  # [H]
    joints_px: Floats  # [H, F, 21, 2]
    joints_m: Floats  # [H, F, 21, 3] camera axes
    global_orient: Floats  # [H, F, 3]
    hand_pose: Floats  # [H, F, 15, 3] absolute
    betas: Floats  # [H, 10]
    box_px: Floats | None = None  # [4] x0, y0, x1, y1 around all of it; None: around the joints

    def mirrored(self) -> "HandClip":
        """Return the clip as a mirror shows it: left hands become right hands."""
        width = self.images.shape[2]
        box = self.box_px
        return replace(
            self,
            images=np.ascontiguousarray(self.images[:, :, ::-1]),
            K=mirror_intrinsics(self.K, width),
            is_right=~self.is_right,
            joints_px=self.joints_px * (-1, 1) + (width, 0),
            joints_m=self.joints_m * MIRROR_X,
            global_orient=self.global_orient * MIRROR_ANGLES,
            hand_pose=self.hand_pose * MIRROR_ANGLES,
            box_px=None if box is None else np.array([width - box[2], box[1], width - box[0], box[3]]),
        )

    def stretch(self, start: int, frames: int) -> "HandClip":
        """Return some consecutive frames."""
        part = slice(start, start + frames)
        fields = ("joints_px", "joints_m", "global_orient", "hand_pose")
        return replace(self, images=self.images[part], **{name: getattr(self, name)[:, part] for name in fields})

    def hands(self, rows: list[int]) -> "HandClip":
        """Return the clip with the chosen hands, in that order."""
        fields = ("is_right", "joints_px", "joints_m", "global_orient", "hand_pose", "betas")
        return replace(self, **{name: getattr(self, name)[rows] for name in fields})


class ClipSource(Protocol):
    """Clips by number. Reading one must not depend on what was read before."""

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> HandClip: ...


@dataclass(frozen=True)
class Augmentation:
    """One draw serves all frames of a clip: else the variation between them would be the crop's jitter.

    The defaults are HandOccNet's (the papers in docs/method.md): scale 1 + 0.25 n with n clipped to 1, rotation
    30 degrees * n with n clipped to 2, color gains 0.8 to 1.2.
    """

    scale: float = 0.25
    rotation_deg: float = 30.0
    rotation_share: float = 0.6
    color: float = 0.2
    shift: float = 0.0  # of the box's side
    flip_share: float = 0.0


NOTHING = Augmentation(0, 0, 0, 0)


@dataclass(frozen=True)
class View:
    """A network's input: the crop's side in pixels, frames per clip, hands, and whether fingers point up."""

    size: int = 256
    frames: int = 2
    hands: int = 1
    upright: bool = False
    margin: float = crops.MARGIN
    region: bool = False  # crops lie as MediaPipe's landmark network wants its regions


def sample_crop(clip: HandClip, view: View, augmentation: Augmentation, generator: np.random.Generator) -> Sample:
    """Crop and disturb a clip: the arrays of `sample_placed_crop`."""
    return sample_placed_crop(clip, view, augmentation, generator)[0]


def sample_placed_crop(
    clip: HandClip, view: View, augmentation: Augmentation, generator: np.random.Generator
) -> tuple[Sample, HandClip, Crop]:
    """Crop and disturb a clip; return arrays, the clip as it was cropped (mirrored, cut short), and where.

    Left hands are mirrored where one hand is wanted; of two, the right one comes first.

    Returns float32 arrays: `image` [F, 3, size, size] 0..1; `joints_2d` [H, F, 21, 2] crop coordinates 0..1;
    `joints_3d` [H, F, 21, 3], `global_orient` [H, F, 3] in the axes of the crop's camera, meters and radians;
    `hand_pose` [H, F, 15, 3], `betas` [H, 10]; `R_to_camera` [3, 3]. What is not annotated is NaN.
    """
    if generator.random() < augmentation.flip_share or (view.hands == 1 and not clip.is_right[0]):
        clip = clip.mirrored()
    if view.hands == 2 and not clip.is_right[0]:
        clip = clip.hands([1, 0])
    if len(clip.images) > view.frames:
        clip = clip.stretch(_start(clip, view, augmentation, generator), view.frames)
    crop = disturbed(place_crop(clip, view), augmentation, generator)
    images = np.stack([crop.cut(image, view.size) for image in clip.images])
    gain = generator.uniform(1 - augmentation.color, 1 + augmentation.color, 3)
    pixels = np.clip(images.astype(np.float32) * gain.astype(np.float32) / 255, 0, 1).transpose(0, 3, 1, 2)
    R = crop.rotation(clip.K)
    turned = Rotation.from_matrix(R.T) * Rotation.from_rotvec(np.nan_to_num(clip.global_orient).reshape(-1, 3))
    orient = turned.as_rotvec().reshape(clip.global_orient.shape)
    arrays = {
        "image": pixels,
        "joints_2d": crop.from_image(clip.joints_px),
        "joints_3d": clip.joints_m @ R,
        "global_orient": np.where(np.isfinite(clip.global_orient), orient, np.nan),
        "hand_pose": clip.hand_pose,
        "betas": clip.betas,
        "R_to_camera": R,
    }
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in arrays.items()}, clip, crop


def _start(clip: HandClip, view: View, augmentation: Augmentation, generator: np.random.Generator) -> int:
    """Return where a view of fewer frames begins: anywhere in training, in the middle where nothing is disturbed."""
    spare = len(clip.images) - view.frames
    return spare // 2 if augmentation == NOTHING else int(generator.integers(spare + 1))


def place_crop(clip: HandClip, view: View) -> Crop:
    """Return where a clip is cropped when nothing is disturbed; a clip without any hand whole."""
    if not np.isfinite(clip.joints_px).any():
        height, width = clip.images.shape[1:3]
        return Crop(np.array([width / 2, height / 2]), 0.8 * float(min(height, width)))
    if view.region:
        region = from_landmarks(clip.joints_px[0, -1])
        return Crop(region.center_px, float(region.side_px), float(region.angle))
    if clip.box_px is None or view.upright:
        return crops.around(clip.joints_px, view.upright, view.margin)
    return crops.around_box(clip.box_px, view.margin)


def disturbed(crop: Crop, augmentation: Augmentation, generator: np.random.Generator) -> Crop:
    """Draw another scale, turn and place of a crop."""
    scale = 1 + augmentation.scale * np.clip(generator.normal(), -1, 1)
    turn = np.deg2rad(augmentation.rotation_deg) * np.clip(generator.normal(), -2, 2)
    turns = generator.random() < augmentation.rotation_share
    shift = generator.uniform(-augmentation.shift, augmentation.shift, 2) * crop.side_px
    return Crop(crop.center_px + shift, crop.side_px * float(scale), crop.angle + (float(turn) if turns else 0.0))
