"""IFVONet over a clip: crops of every pair of frames, batched, and what the network says of them in camera axes.

Separate from the network because only this file knows clips, cameras and sides.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hmpfit.geometry.cameras import mirror_intrinsics
from hmpfit.geometry.lenses import mirror_distortion
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.records import MIRROR_ANGLES, Bools, Camera, Floats, HandEstimates, KeypointTracks
from hmpfit.regressors import crops
from hmpfit.regressors.carry_points import followed_points
from hmpfit.regressors.crops import Crop
from hmpfit.regressors.ifvonet.frozen_estimation import estimate_frozen
from hmpfit.regressors.ifvonet.head import HeadOutput
from hmpfit.regressors.ifvonet.network import IFVONet

BATCH = 32  # crops
# Spread of a heatmap (standard deviation, in crops) from which a joint is known as well as can be, and not at all. On
# held-out clips the shipped network's spread and error go together (correlation 0.67).
_SHARP, _VAGUE = 0.10, 0.16


@dataclass
class _Waiting:
    """Crops that wait for the network, and where their answers belong."""

    images: list[np.ndarray] = field(default_factory=list)
    places: list[tuple[int, int, Crop]] = field(default_factory=list)  # hand, frame, crop


@torch.no_grad()
def estimate(network: torch.nn.Module, request: EstimateRequest) -> HandEstimates:
    """Estimate every tracked hand in every frame that may be looked at, streaming the clip once.

    Both frames of a pair share one crop; the first frame, and one after a hidden frame, is paired with itself. The
    parameters are MANO's, whatever hand `request.models` are.
    """
    assert isinstance(network, IFVONet)
    network = network.to(request.device).eval()
    points = _points_to_see(request)
    if network.frozen:
        return estimate_frozen(network, request, points)
    clip, tracks, switches = request.clip, request.tracks, network.switches
    before_count = switches.frames - 1
    out = _nothing(tracks)
    waiting, past = _Waiting(), {}  # frames that later ones look back at

    def run() -> None:
        if waiting.images:
            batch = torch.from_numpy(np.stack(waiting.images)).to(request.device).permute(0, 1, 4, 2, 3).float() / 255
            _keep(network(batch)[0], waiting, out, request.camera, clip.width)
            waiting.images.clear()
            waiting.places.clear()

    for frame, image in clip.images():
        past[frame] = image
        past.pop(frame - before_count - 1, None)
        for hand in np.flatnonzero(np.isfinite(points[:, frame]).all((-1, -2))):
            frames = _frames(frame, before_count, np.isfinite(points[hand]).all((-1, -2)))
            crop = crops.around(points[hand, frames], switches.upright)
            waiting.images.append(
                np.stack([crop.cut(_side(past[f], bool(tracks.is_right[hand])), switches.image) for f in frames])
            )
            waiting.places.append((int(hand), frame, crop))
            if len(waiting.images) == BATCH:
                run()
        if request.on_frame is not None:
            request.on_frame(1)
    run()
    return out


def _points_to_see(request: EstimateRequest) -> Floats:
    """Return the points [H, T, 21, 2] that crops lie around, right hands' pixels, NaN where nothing is looked at."""
    tracks, hidden, width = request.tracks, request.hidden, request.clip.width
    points = followed_points(tracks, hidden, width)
    if request.points_px is None:
        return points
    given = request.points_px
    given = np.where(tracks.is_right[:, None, None, None], given, given * (-1, 1) + (width, 0))
    return np.where(np.isfinite(given) & ~hidden[:, None, None], given, points)


def certainty(heatmaps: torch.Tensor) -> torch.Tensor:
    """Return how peaked heatmaps [B, K, h, w] are, [B, K]: 1 for one narrow peak, 0 for a wide one, or several."""
    spread = torch.zeros_like(heatmaps[..., 0, 0])
    for along in (heatmaps.sum(-2), heatmaps.sum(-1)):
        centers = (torch.arange(along.shape[-1], dtype=along.dtype, device=along.device) + 0.5) / along.shape[-1]
        spread = spread + along @ centers.square() - (along @ centers).square()
    return ((_VAGUE - spread.clamp_min(0).sqrt()) / (_VAGUE - _SHARP)).clamp(0, 1)


def _frames(frame: int, before: int, known: Bools) -> list[int]:
    """Return the frames that show the hand up to `frame`, oldest first; what cannot be looked at repeats the next."""
    frames = [frame]
    for _ in range(before):
        earlier = frames[0] - 1
        frames.insert(0, earlier if earlier >= 0 and known[earlier] else frames[0])
    return frames


def _side(image: np.ndarray, is_right: bool) -> np.ndarray:
    return image if is_right else np.ascontiguousarray(image[:, ::-1])


def _nothing(tracks: KeypointTracks) -> HandEstimates:
    hands, frames = tracks.seen.shape
    shapes: dict[str, tuple[int, ...]] = {
        "global_orient": (3,), "hand_pose": (15, 3), "betas": (10,), "joints_px": (21, 2), "confidence": (21,),
    }  # fmt: skip
    zeros: dict[str, Any] = {name: np.zeros((hands, frames, *shape)) for name, shape in shapes.items()}
    return HandEstimates(**zeros, estimated=np.zeros((hands, frames), dtype=bool), is_right=tracks.is_right.copy())


def _keep(prediction: HeadOutput, waiting: _Waiting, out: HandEstimates, camera: Camera, width: int) -> None:
    """Write a batch's answers where they belong, turned into the camera's axes and given their own side."""
    rotations = prediction.rotations.double().cpu().numpy()
    betas, xy = prediction.betas.double().cpu().numpy(), prediction.joints_2d.double().cpu().numpy()
    certain = certainty(prediction.heatmaps).double().cpu().numpy()
    for row, (hand, frame, crop) in enumerate(waiting.places):
        is_right = bool(out.is_right[hand])
        K: Floats = camera.K[min(frame, len(camera.K) - 1)]
        lens = camera.distortion if is_right or camera.distortion is None else mirror_distortion(camera.distortion)
        R = crop.rotation(K if is_right else mirror_intrinsics(K, width), lens)
        angles = Rotation.from_matrix(np.concatenate(((R @ rotations[row, 0])[None], rotations[row, 1:]))).as_rotvec()
        pixels = crop.points_to_image(xy[row])
        if not is_right:
            angles, pixels = angles * MIRROR_ANGLES, pixels * (-1, 1) + (width, 0)
        out.global_orient[hand, frame], out.hand_pose[hand, frame] = angles[0], angles[1:]
        out.betas[hand, frame], out.joints_px[hand, frame] = betas[row], pixels
        out.confidence[hand, frame], out.estimated[hand, frame] = certain[row], True
