"""From records to the tensors that terms read, in right-hand form; and several clips side by side in one batch.

Clips of a batch are padded to the longest. Padding has no evidence and no cost; it only holds a place.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmpfit.fitting.batching.world import to_world
from hmpfit.fitting.windows import WindowLayout
from hmpfit.geometry import rotations
from hmpfit.geometry.alignment import unit
from hmpfit.geometry.cameras import rays, rotation_from_optical_axis
from hmpfit.geometry.lenses import FISHEYE, lens_name
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model import HandModel, HandModels
from hmpfit.interfaces.term import Evidence
from hmpfit.records import DETECTED, Camera, CameraMotion, HandMotion, KeypointTracks

SAME_TIMES_S = 1e-6
LEAST_SPREAD = 11  # landmarks that a frame needs to tell how far they spread
_HELD = ("xy_px", "box_px", "K", "world_turn", "world_shift")  # by padding; other evidence is 0 there


@dataclass(frozen=True)
class ClipToFit:
    """A clip to fit: a filled first guess, its evidence, its camera and the hand models."""

    initial: HandMotion
    tracks: KeypointTracks
    camera: Camera
    models: HandModels
    camera_motion: CameraMotion | None = None  # None: the camera is still


@dataclass(frozen=True)
class BatchItem:
    """The hands of one clip, ready to be put into a batch."""

    sequence: int
    sides: HandMotion  # the first guess as the hands are
    start: HandMotion  # as right hands
    camera: Camera
    models: HandModels
    evidence: Evidence
    layout: WindowLayout

    @property
    def is_right(self) -> np.ndarray:
        """Each hand's side."""
        return self.sides.is_right

    @property
    def hands(self) -> int:
        """How many hands."""
        return len(self.is_right)

    @property
    def model(self) -> HandModel:
        """The hand model of the first hand; of all, unless they are paired."""
        return self.models.side(bool(self.is_right[0]))

    def kinematics(self, dtype: torch.dtype, device: str) -> Kinematics:
        """Return the kinematics of these hands: of a batch, where a right and a left hand have models of their own."""
        if not self.paired or self.models.right is self.models.left:
            return Kinematics.of(self.model, dtype, device)
        return Kinematics.stack([Kinematics.of(self.models.side(bool(side)), dtype, device) for side in self.is_right])

    @property
    def paired(self) -> bool:
        """Whether there are right and left hands, which may be a person's and then need a batch of their own."""
        return len(set(self.is_right.tolist())) == 2

    @property
    def frames(self) -> int:
        """Frames of the clip."""
        return len(self.evidence.times_s)


def batches(items: list[BatchItem], most_frames: int) -> list[list[BatchItem]]:
    """Put items together that one batch can hold: the same hand, the same number of windows, the same frame times.

    A batch has at most `most_frames` frames of hands, padding included, unless one item alone has more.
    """
    out: list[list[BatchItem]] = []
    for item in sorted(items, key=lambda item: (len(item.layout.windows), -item.frames)):
        if out and _fits(out[-1], item, most_frames):
            out[-1].append(item)
        else:
            out.append([item])
    return out


def _fits(batch: list[BatchItem], item: BatchItem, most_frames: int) -> bool:
    first = batch[0]
    hands = sum(other.hands for other in batch) + item.hands
    if item.model.fingerprint != first.model.fingerprint or hands * first.frames > most_frames:
        return False
    if first.paired or item.paired or (first.evidence.world_turn is None) != (item.evidence.world_turn is None):
        return False
    if len(item.layout.windows) != len(first.layout.windows):
        return False
    if (lens_name(item.camera.distortion) == FISHEYE) != (lens_name(first.camera.distortion) == FISHEYE):
        return False
    one, other = (times - times[0] for times in (first.evidence.times_s, item.evidence.times_s))
    return bool((one[: len(other)] - other).abs().max() < SAME_TIMES_S)


def merge_evidence(items: list[BatchItem]) -> Evidence:
    """Return the evidence of a batch, padded to its longest clip, which comes first."""
    first = items[0].evidence
    if len(items) == 1:
        return first
    frames = items[0].frames
    lenses = [item.evidence.distortion for item in items]
    parts = {}
    for name, value in vars(first).items():
        if name in ("times_s", "distortion") or value is None:
            parts[name] = value
            continue
        values = [getattr(item.evidence, name) for item in items]
        if name == "K":
            values = [K.expand(-1, item.frames, -1, -1) for K, item in zip(values, items)]
        held = name in _HELD or (name.startswith("initial_") and name != "initial_confidence")
        grows = name not in ("initial_betas", "frames_known")
        parts[name] = torch.cat([_padded(value, frames, held) if grows else value for value in values])
    if any(lens is not None for lens in lenses):
        most = max(lens.shape[-1] for lens in lenses if lens is not None)
        rows = [first.K.new_zeros(item.hands, 1, 1, most) for item in items]
        for row, lens in zip(rows, lenses):
            if lens is not None:
                row[..., : lens.shape[-1]] = lens
        parts["distortion"] = torch.cat(rows)
    exists = [torch.ones(item.hands, item.frames, dtype=first.K.dtype, device=first.K.device) for item in items]
    return Evidence(**{**parts, "exists": torch.cat([_padded(one, frames, False) for one in exists])})


def _padded(values: Tensor, frames: int, held: bool) -> Tensor:
    """Lengthen [B, T, ...] by its last frame, or by zeros."""
    missing = frames - values.shape[1]
    if missing == 0:
        return values
    more = values[:, -1:].expand(-1, missing, *values.shape[2:])
    return torch.cat((values, more if held else torch.zeros_like(more)), dim=1)


def gather_hands(sequence: ClipToFit, dtype: torch.dtype, device: str) -> tuple[Evidence, HandMotion]:
    """Return the evidence of a clip's hands and their first guess as right hands."""
    start = mirroring.motion_as_right(sequence.initial)
    tracks = _scaled_to_pixels(sequence.tracks, sequence.initial, sequence.camera)
    evidence = evidence_tensors(start, tracks, sequence.camera, sequence.initial.is_right, dtype, device)
    if sequence.camera_motion is not None and sequence.camera_motion.moves:
        turn, shift = to_world(sequence.camera_motion, sequence.initial, sequence.models)
        parts = (torch.as_tensor(part, dtype=dtype, device=device) for part in (turn, shift))
        evidence = replace(evidence, **dict(zip(("world_turn", "world_shift"), parts)))
    return evidence, start


def _scaled_to_pixels(tracks: KeypointTracks, initial: HandMotion, camera: Camera) -> KeypointTracks:
    """Return tracks whose hand-centered landmarks spread in the picture as the pixels do, so that they carry no size.

    The pixels are taken at the first guess's depth; each hand has one scale, the median of its frames. By the lengths
    of their bones, which errors of depth make longer, landmarks would be a tenth to a quarter too small, and so would
    the hand.
    """
    if tracks.world_m is None:
        return tracks
    world = tracks.world_m.copy()
    away = rays(tracks.xy_px, camera.K[None, :, None], camera.distortion)
    known = tracks.seen[..., None] & np.isfinite(away).all(-1) & np.isfinite(world).all(-1)
    towards = unit(np.where(known[..., None], away, 0.0).sum(-2))
    view = rotation_from_optical_axis(towards)  # the spread is told across the line of sight
    away, across = away @ view, world @ view
    distance = (initial.transl * towards).sum(-1)[..., None, None]
    in_plane = away[..., :2] / np.where(known[..., None], away[..., 2:], 1.0)
    pixels, spread = (_centered(points, known) for points in (in_plane * distance, across[..., :2]))
    spreads = [np.sqrt((points**2).sum((2, 3))) for points in (pixels, spread)]
    told = (known.sum(-1) >= LEAST_SPREAD) & (spreads[1] > 0)
    for hand, frames in enumerate(told):
        if frames.any():
            world[hand] *= np.median(spreads[0][hand, frames] / spreads[1][hand, frames])
    return replace(tracks, world_m=world)


def _centered(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return points [..., N, 2] about the middle of the known ones, 0 where unknown."""
    kept = np.where(known[..., None], points, 0.0)
    middle = kept.sum(-2) / np.maximum(known.sum(-1), 1)[..., None]
    return np.where(known[..., None], points - middle[..., None, :], 0.0)


def evidence_tensors(
    start: HandMotion, tracks: KeypointTracks, camera: Camera, is_right: np.ndarray, dtype: torch.dtype, device: str
) -> Evidence:
    """Turn records into the tensors that terms read; `start` is in right-hand form, `tracks` as seen.

    NaN coordinates become 0 and are not seen: single landmarks may lack, such as a finger that was withheld.
    """
    tracks = mirroring.tracks_as_right(tracks, camera.width)
    lenses = mirroring.distortion_as_right(camera, is_right)
    world = tracks.world_m if tracks.world_m is not None else np.full((*tracks.seen.shape, 21, 3), np.nan)
    seen = tracks.seen[..., None] & np.isfinite(tracks.xy_px).all(-1)
    has_world = tracks.seen[..., None] & np.isfinite(world).all(-1)
    box = tracks.box_diagonal_px
    weight = np.ones(seen.shape) if tracks.weight is None else tracks.weight
    known = (start.status == DETECTED) & (weight.mean(-1) > 0.5)  # others are the prior's to fill in
    known = np.where(known.any(1, keepdims=True), known, start.status == DETECTED)

    def tensor(array: Any) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

    def rotation(angles: Any) -> Tensor:
        return rotations.exp(tensor(angles))

    return Evidence(
        times_s=tensor(tracks.times_s),
        xy_px=tensor(np.nan_to_num(tracks.xy_px)),
        seen=tensor(seen * weight),
        confidence=tensor(np.where(seen, tracks.confidence * weight, 0.0)),
        box_px=tensor(np.where(np.isfinite(box) & (box > 1), box, 1.0)),
        world_m=tensor(np.nan_to_num(world)),
        world_confidence=tensor(np.where(has_world, tracks.confidence * weight, 0.0)),
        world_seen=tensor(has_world * weight),
        K=tensor(mirroring.intrinsics_as_right(camera, is_right)),
        distortion=None if lenses is None else tensor(lenses[:, None, None]),
        initial_R=rotation(start.global_orient),
        initial_transl=tensor(start.transl),
        initial_betas=tensor(start.betas),
        initial_hand_R=rotation(start.hand_pose),
        initial_confidence=tensor(known),
        frames_known=tensor(known.sum(1)),
    )
