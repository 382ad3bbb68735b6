"""Rotations in torch, on roma: what the fit, the priors and the readers share.

Separate from cameras so that nothing here knows about images. Every function broadcasts over leading axes and keeps
the dtype and device of its input.
"""

import torch
from torch import Tensor

from hmpfit.geometry.light_roma import roma

_FAR_COSINE = -0.5  # of 120 degrees
_LEAST_SQUARE = 1e-30  # of an angle: no division by zero where nothing turns


def exp(rotvec: Tensor) -> Tensor:
    """Turn axis-angle [..., 3] (radians) into rotation matrices [..., 3, 3].

    Rodrigues' formula, with the half angle for small turns, in half of roma's time, which has a branch for these.
    """
    x, y, z = rotvec.movedim(-1, 0).contiguous()
    angle = (x * x + y * y + z * z).clamp_min(_LEAST_SQUARE).sqrt()
    sine, half = torch.sin(angle) / angle, torch.sin(0.5 * angle) / angle
    versed = 2 * half * half
    sx, sy, sz = sine * x, sine * y, sine * z
    vx, vy = versed * x, versed * y
    xx, yy, zz, xy, xz, yz = vx * x, vy * y, versed * z * z, vx * y, vx * z, vy * z
    rows = 1 - yy - zz, xy - sz, xz + sy, xy + sz, 1 - xx - zz, yz - sx, xz - sy, yz + sx, 1 - xx - yy
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def log(matrix: Tensor) -> Tensor:
    """Turn rotation matrices [..., 3, 3] into axis-angle [..., 3], angle in [0, pi].

    Turns of up to 120 degrees are read from the skew part (Sola et al. 2018, "A micro Lie theory", appendix B), a fifth
    of the work of roma's way through quaternions, which half turns need.
    """
    cosine = 0.5 * (torch.diagonal(matrix, dim1=-2, dim2=-1).sum(-1) - 1)
    if not _known_to_be_near(cosine):
        return roma.rotmat_to_rotvec(matrix)
    (_, xy, xz), (yx, _, yz), (zx, zy, _) = (row.unbind(-1) for row in matrix.unbind(-2))
    axis_sine = 0.5 * torch.stack((zy - yz, xz - zx, yx - xy), dim=-1)
    squared = (axis_sine * axis_sine).sum(-1)
    small = squared < 1e-8
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    factor = torch.where(small, 1 + squared / 6, torch.atan2(sine, cosine) / sine)
    return factor[..., None] * axis_sine


def _known_to_be_near(cosine: Tensor) -> bool:
    return cosine.device.type == "cpu" and not bool((cosine < _FAR_COSINE).any())  # a GPU would have to be waited for


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Return the geodesic angle g(a, b) in radians, [...], of two rotation matrices [..., 3, 3]."""
    return roma.rotmat_geodesic_distance(a, b)


def from_6d(rot6d: Tensor) -> Tensor:
    """Turn [..., 6] (two columns, not normalized) into rotation matrices [..., 3, 3] by Gram-Schmidt.

    Source: Zhou et al. 2019, "On the continuity of rotation representations", equation 15; the six numbers are the
    first column, then the second.
    """
    first, second = rot6d[..., :3], rot6d[..., 3:]
    x = torch.nn.functional.normalize(first, dim=-1)
    y = torch.nn.functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack((x, y, torch.linalg.cross(x, y)), dim=-1)


def to_6d(matrix: Tensor) -> Tensor:
    """Return the first two columns of rotation matrices [..., 3, 3] as [..., 6]."""
    return torch.cat((matrix[..., 0], matrix[..., 1]), dim=-1)


def hat(vector: Tensor) -> Tensor:
    """Return the cross-product matrix [..., 3, 3] of vectors [..., 3]: hat(a) @ b = a x b."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))


def slerp(a: Tensor, b: Tensor, fraction: Tensor) -> Tensor:
    """Interpolate rotation matrices [..., 3, 3] along the geodesic; fraction [...] is 0 at a and 1 at b."""
    return a @ exp(fraction[..., None] * log(a.transpose(-1, -2) @ b))


def project_to_so3(matrix: Tensor) -> Tensor:
    """Return the nearest rotation [..., 3, 3] to any matrix [..., 3, 3] (special Procrustes)."""
    return roma.special_procrustes(matrix)


def exp_to_6d_jacobian(rotvec: Tensor) -> tuple[Tensor, Tensor]:
    """Return the 6D form [..., 6] of exp(rotvec) and its derivative by axis-angle, [..., 6, 3]."""
    R = exp(rotvec)
    turned = hat(right_jacobian(rotvec).mT)  # of each of the three numbers, about the rotated axes
    return to_6d(R), to_6d(R[..., None, :, :] @ turned).mT


def right_jacobian(rotvec: Tensor) -> Tensor:
    """Return J [..., 3, 3] with exp(v + d) ~ exp(v) exp(J d).

    Source: Sola et al. 2018, "A micro Lie theory", equation 143.
    """
    angle_sq = (rotvec * rotvec).sum(-1)[..., None, None]
    small = angle_sq < 1e-8
    safe = torch.where(small, torch.ones_like(angle_sq), angle_sq)
    angle = safe.sqrt()
    a = torch.where(small, 0.5 - angle_sq / 24, (1 - angle.cos()) / safe)
    b = torch.where(small, 1 / 6 - angle_sq / 120, (angle - angle.sin()) / (safe * angle))
    k = hat(rotvec)
    eye = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return eye - a * k + b * (k @ k)


def inverse_right_jacobian(rotvec: Tensor) -> Tensor:
    """Return J [..., 3, 3] with log(exp(v) exp(d)) ~ v + J d, for angles below pi.

    Source: Sola et al. 2018, "A micro Lie theory", equation 144.
    """
    angle_sq = (rotvec * rotvec).sum(-1)[..., None, None]
    small = angle_sq < 1e-6
    safe = torch.where(small, torch.ones_like(angle_sq), angle_sq)
    half = 0.5 * safe.sqrt()
    b = torch.where(small, 1 / 12 + angle_sq / 720, (1 - half * half.cos() / half.sin()) / safe)
    k = hat(rotvec)
    eye = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return eye + 0.5 * k + b * (k @ k)
