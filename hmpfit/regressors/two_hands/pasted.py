"""Make two-hand clips from one-hand ones: two pictures side by side, one of them mirrored.

Separate from `training.samples`, because this is a source of clips of its own. It lends two-hand networks the variety
of one-hand data; hands that touch or hide each other it cannot show.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.records import Floats
from hmpfit.regressors.crops import Crop
from hmpfit.regressors.samples import ClipSource, HandClip
from hmpfit.regressors.two_hands import pasted_image as side_by_side
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP

_SWAPPED, _TURNED = 0.15, 0.6  # shares of crossed hands, and of hands turned by right angles
_QUARTER = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # anticlockwise, as np.rot90
_BLOCK = 120  # clips: a partner is a neighbor, so that what is held out at the end of a source stays held out


class PastedPairs:
    """As many clips of two hands as the source has of one: clip i beside another one of its block, drawn from i.

    The pictures of the source must be squares around the hand, all of one size.
    """

    def __init__(self, source: ClipSource, seed: int = 0) -> None:
        self.source, self.seed, self.name = source, seed, f"pasted pairs of {source.name}"

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> HandClip:
        generator = np.random.default_rng((self.seed, index))
        other = index // _BLOCK * _BLOCK + int(generator.integers(_BLOCK))
        right, left = self.source[index], self.source[min(other, len(self) - 1)]
        right = right if right.is_right[0] else right.mirrored()
        left = left.mirrored() if left.is_right[0] else left
        quarters = [int(generator.integers(1, 4)) if generator.random() < _TURNED else 0 for _ in range(2)]
        return paste(right, left, swapped=bool(generator.random() < _SWAPPED), quarters=(quarters[0], quarters[1]))


def paste(right: HandClip, left: HandClip, swapped: bool = False, quarters: tuple[int, int] = (0, 0)) -> HandClip:
    """Return both one-hand clips as one picture.

    The right hand is on its left, as of a person who faces the camera, unless `swapped`. `quarters` turns the right and
    the left picture by so many right angles, anticlockwise. Each hand is turned with its ray, as if one camera had seen
    both, and as far away as the picture shows it.
    """
    size = right.images.shape[2]
    K = side_by_side.camera(size, float(np.mean([right.K[0, 0], left.K[0, 0]])))
    places = (1, 0) if swapped else (0, 1)  # of the right and of the left hand
    turned = [np.rot90(clip.images, turns, (1, 2)) for clip, turns in zip((right, left), quarters)]
    seen = [_seen_by(clip, place, K, turns) for clip, place, turns in zip((right, left), places, quarters)]
    pixels, joints, orient = (np.concatenate(parts) for parts in zip(*seen))
    return HandClip(
        side_by_side.join_images(turned[places.index(0)], turned[places.index(1)]), K, np.array([True, False]), pixels,
        joints, orient, np.concatenate((right.hand_pose, left.hand_pose)), np.concatenate((right.betas, left.betas)),
    )  # fmt: skip


def _seen_by(clip: HandClip, place: int, K: Floats, quarters: int) -> tuple[Floats, Floats, Floats]:
    """Return pixels, joints and orientation of a clip whose turned picture lies at a place in that of camera K."""
    size = clip.images.shape[2]
    center, roll = np.full(2, size / 2), np.linalg.matrix_power(_QUARTER, quarters)
    R = side_by_side.ray_rotation(size, place, K) @ roll @ Crop(center, size).rotation(clip.K).T
    root = clip.joints_m[..., OPENPOSE_MIDDLE_MCP, None, :]
    joints = (clip.joints_m - root + root * (K[0, 0] / clip.K[0, 0])) @ R.T
    orient = (Rotation.from_matrix(R) * Rotation.from_rotvec(clip.global_orient.reshape(-1, 3))).as_rotvec()
    pixels = (clip.joints_px - center) @ roll[:2, :2].T + center + side_by_side.offset(size, place)
    return pixels, joints, orient.reshape(clip.global_orient.shape)
