"""Input features of the encoder: 15 numbers a joint, from rotations alone and the prior's own skeleton.

Wrist-relative positions and velocities, 6D rotations and angular velocities; the wrist's rotation is the identity, so
that the prior knows fingers only. Unknown frames are bridged first and marked later by the encoder.
"""

import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.skeleton import MANO_JOINTS, MANO_PARENTS, MANO_TIPS

CHANNELS = 15
TIP_JOINTS = tuple(MANO_JOINTS.index(name.replace("_tip", "3")) for name in MANO_TIPS)  # the joint that carries a tip


def interpolate_unknown(hand_R: Tensor, known: Tensor) -> Tensor:
    """Fill the frames of hand_R [B, T, 15, 3, 3] where known [B, T] is False between their known neighbors.

    Linear in 6D, nearest at the ends, the identity where nothing is known.
    """
    last, following, fraction = bracket(known)
    rows = torch.arange(len(hand_R), device=hand_R.device)[:, None]
    rot6d = rotations.to_6d(hand_R)
    fraction = fraction.to(rot6d.dtype)[..., None, None]
    filled = rotations.from_6d(rot6d[rows, last] * (1 - fraction) + rot6d[rows, following] * fraction)
    filled = torch.where(known[..., None, None, None], hand_R, filled)
    nothing = ~known.any(1)[:, None, None, None, None]
    return torch.where(nothing, torch.eye(3, dtype=hand_R.dtype, device=hand_R.device), filled)


def gap_distances(known: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each frame of known [B, T] the frames since the last and until the next known one; T where none is."""
    last, following, _ = bracket(known)
    here = torch.arange(known.shape[1], device=known.device)
    none = known.shape[1]
    since, until = here - last, following - here
    return torch.where((since < 0) | ~known.any(1, True), none, since), torch.where(
        (until < 0) | ~known.any(1, True), none, until
    )


def points(hand_R: Tensor, skeleton: Tensor, tips: Tensor) -> tuple[Tensor, Tensor]:
    """Pose a rest skeleton [16, 3] with tips [5, 3] (thumb first), the wrist unrotated.

    hand_R [..., 15, 3, 3] -> (points [..., 21, 3] in MANO-21 order relative to the wrist, rotations [..., 16, 3, 3] of
    the joints in the wrist's frame).
    """
    turned: list[Tensor] = [torch.eye(3, dtype=hand_R.dtype, device=hand_R.device).expand(*hand_R.shape[:-3], 3, 3)]
    placed: list[Tensor] = [hand_R.new_zeros(*hand_R.shape[:-3], 3)]
    for joint, parent in enumerate(MANO_PARENTS[1:], start=1):
        offset = (skeleton[joint] - skeleton[parent]).to(hand_R.dtype)
        placed.append(placed[parent] + turned[parent] @ offset)
        turned.append(turned[parent] @ hand_R[..., joint - 1, :, :])
    for tip, joint in zip(tips, TIP_JOINTS):
        placed.append(placed[joint] + turned[joint] @ (tip - skeleton[joint]).to(hand_R.dtype))
    return torch.stack(placed, dim=-2), torch.stack(turned, dim=-3)


def encoder_features(hand_R: Tensor, skeleton: Tensor, tips: Tensor, fps: float) -> Tensor:
    """Return the encoder's raw input [B, T, 16, 15] of rotations [B, T, 15, 3, 3], T >= 2; meters, seconds, radians."""
    placed, _ = points(hand_R, skeleton, tips)
    placed = placed[..., : len(MANO_PARENTS), :]
    eye = torch.eye(3, dtype=hand_R.dtype, device=hand_R.device).expand(*hand_R.shape[:2], 1, 3, 3)
    local = torch.cat((eye, hand_R), dim=2)
    velocity = (placed[:, 1:] - placed[:, :-1]) * fps
    velocity = torch.cat((velocity, velocity[:, -1:]), dim=1)
    return torch.cat((placed, velocity, rotations.to_6d(local), _spin(local, fps)), dim=-1)


def root_features(root_R: Tensor, fps: float) -> Tensor:
    """Return the 15 numbers [B, T, 15] of a wrist that turns, root_R [B, T, 3, 3], and neither lies nor moves."""
    still = root_R.new_zeros(*root_R.shape[:-2], 6)
    return torch.cat((still, rotations.to_6d(root_R), _spin(root_R, fps)), dim=-1)


def _spin(local: Tensor, fps: float) -> Tensor:
    """Return angular velocities [B, T, ..., 3] of rotations [B, T, ..., 3, 3], the last one repeated, radians a second.

    The sine-weighted axis stands for the rotation log: equal to 1 % below 14 degrees a frame, and always smooth.
    """
    turn = local[:, :-1].transpose(-1, -2) @ local[:, 1:]
    spin = torch.stack(
        (turn[..., 2, 1] - turn[..., 1, 2], turn[..., 0, 2] - turn[..., 2, 0], turn[..., 1, 0] - turn[..., 0, 1]), -1
    ) * (fps / 2)
    return torch.cat((spin, spin[:, -1:]), dim=1)


def bracket(known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the known frames before and after each frame, [B, T], and where it lies between them (0..1)."""
    frames = known.shape[1]
    here = torch.arange(frames, device=known.device).expand(known.shape)
    last = torch.where(known, here, -1).cummax(dim=1).values
    following = torch.where(known, here, frames).flip(1).cummin(dim=1).values.flip(1)
    only_later, only_earlier = last < 0, following >= frames
    last, following = (
        torch.where(only_later, following.clamp(max=frames - 1), last),
        torch.where(only_earlier, last.clamp(min=0), following),
    )
    fraction = (here - last) / (following - last).clamp(min=1)
    return last, following, fraction
