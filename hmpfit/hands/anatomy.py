"""Preferred angles of a hand's joints: one quadratic form over axis-angle pose plus soft limits.

Separate from the solver so that the anatomy can be read, and argued about, as a table.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hmpfit.hands.joint_limits import ANATOMICAL_AXES, ANATOMICAL_LIMITS, REST_POSE
from hmpfit.skeleton import FINGERS, MANO_HAND_JOINTS

# Standard deviation in radians about the relaxed pose, about the axes of flexion, spreading and twist, by joint.
# Flexion is nearly free, knuckles (1) spread by some 12 degrees either side, the hinges (2, 3) only bend. The thumb's
# saddle joint turns about all axes, and its hinges bend obliquely in hands (MANO's) whose nail does not face up.
FINGER_STD = {1: (1.0, 0.20, 0.10), 2: (1.0, 0.05, 0.05), 3: (0.7, 0.05, 0.05)}
THUMB_STD = {1: (0.45, 0.35, 0.25), 2: (0.40, 0.20, 0.15), 3: (0.55, 0.10, 0.10)}
# The last finger joint bends with the middle one by about two thirds: Rijpkema and Girard 1991, "Computer animation of
# knowledge-based human grasping", section 3.
COUPLED_SHARE, COUPLED_STD = 2 / 3, 0.35
LIMIT_STD = 0.05


@dataclass(frozen=True)
class Anatomy:
    """Costs of a pose theta [45]: |rows theta - target|^2, and |(axes theta beyond low or high) / limit_std|^2."""

    rows: Tensor  # [M, 45]
    target: Tensor  # [M]
    rest: Tensor  # [45]
    axes: Tensor  # [45, 45] from axis-angle to anatomical angles, orthonormal
    low: Tensor  # [45] anatomical angles
    high: Tensor  # [45]
    limit_std: float = LIMIT_STD

    def gradient_and_limits(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return half the gradient [N, 45] of the cost at theta [N, 45], and the weight of each angle's limit there.

        The Gauss-Newton matrix is rows' rows + axes' weight axes.
        """
        excess = self._excess(theta)
        gradient = (theta @ self.rows.T - self.target) @ self.rows + excess @ self.axes / self.limit_std**2
        return gradient, (excess != 0).to(theta.dtype) / self.limit_std**2

    def residuals(self, theta: Tensor) -> Tensor:
        """Return the vector [..., M + 45] whose squared length is the cost of poses theta [..., 45]."""
        return torch.cat((theta @ self.rows.T - self.target, self._excess(theta) / self.limit_std), dim=-1)

    def slopes(self, theta: Tensor) -> Tensor:
        """Return the derivatives [..., M + 45, 45] of `residuals` by poses theta [..., 45]."""
        active = (self._excess(theta) != 0).to(theta.dtype)[..., None]
        rows = self.rows.expand(*theta.shape[:-1], *self.rows.shape)
        return torch.cat((rows, active * (self.axes / self.limit_std)), dim=-2)

    def to(self, device: torch.device) -> "Anatomy":
        """Return the same rules on another device."""
        tensors = ("rows", "target", "rest", "axes", "low", "high")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    def cost(self, theta: Tensor) -> Tensor:
        """Return the cost [N] of poses theta [N, 45]."""
        quadratic = (theta @ self.rows.T - self.target).square().sum(-1)
        return quadratic + (self._excess(theta) / self.limit_std).square().sum(-1)

    def clipped(self, theta: Tensor) -> Tensor:
        """Return poses theta [N, 45] with every anatomical angle inside its range."""
        return (theta @ self.axes.T).clamp(self.low, self.high) @ self.axes

    def _excess(self, theta: Tensor) -> Tensor:
        angles = theta @ self.axes.T
        return (angles - self.high).clamp_min(0) + (angles - self.low).clamp_max(0)


def anatomy(strength: float = 1.0, dtype: torch.dtype = torch.float64) -> Anatomy:
    """Build the anatomy of a right hand in MANO's frame; `strength` multiplies the pull to the relaxed pose."""
    rest = torch.as_tensor(REST_POSE, dtype=dtype).reshape(45)
    limits = torch.as_tensor(ANATOMICAL_LIMITS, dtype=dtype).reshape(45, 2)
    axes = torch.block_diag(*torch.as_tensor(ANATOMICAL_AXES, dtype=dtype))
    stds: list[float] = []
    for name in MANO_HAND_JOINTS:
        table = THUMB_STD if name.startswith("thumb") else FINGER_STD
        stds.extend(table[int(name[-1])])
    toward_rest = axes / torch.tensor(stds, dtype=dtype)[:, None]
    coupled = torch.zeros(4, 45, dtype=dtype)
    for row, finger in enumerate(f for f in FINGERS if f != "thumb"):
        last, middle = (flexion_row(axes, f"{finger}{part}") for part in (3, 2))
        coupled[row] = (last - COUPLED_SHARE * middle) / COUPLED_STD
    rows = torch.cat((toward_rest, coupled)) * strength**0.5
    target = torch.cat((toward_rest @ rest, torch.zeros(4, dtype=dtype))) * strength**0.5
    return Anatomy(rows, target, rest, axes, limits[:, 0], limits[:, 1])


def flexion_row(axes: Tensor, joint: str) -> Tensor:
    """Return the row [45] that reads a joint's flexion from a pose, out of `Anatomy.axes`."""
    return axes[3 * MANO_HAND_JOINTS.index(joint)]
