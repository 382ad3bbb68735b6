"""Run IFVONet over a clip: crops of every pair of frames, in batches.

Separate from the network because only this file knows clips, cameras and sides.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from hmpfit.interfaces.network import EstimateRequest
from hmpfit.records import Bools, Floats, HandEstimates
from hmpfit.regressors import crops
from hmpfit.regressors.carry_points import followed_points
from hmpfit.regressors.ifvonet.crop_estimates import CropPlace, empty_estimates, write_hands
from hmpfit.regressors.ifvonet.frozen_estimation import estimate_frozen
from hmpfit.regressors.ifvonet.network import IFVONet

BATCH = 32  # crops
# Spread of a heatmap (standard deviation, in crops) from which a joint is known as well as can be, and not at all. On
# held-out clips the shipped network's spread and error go together (correlation 0.67).
_SHARP, _VAGUE = 0.10, 0.16


@dataclass
class _Waiting:
    """Crops that wait for the network, and where its output for them belongs."""

    images: list[np.ndarray] = field(default_factory=list)
    places: list[CropPlace] = field(default_factory=list)


@torch.no_grad()
def estimate(network: torch.nn.Module, request: EstimateRequest) -> HandEstimates:
    """Estimate every tracked hand in every frame that is not hidden, streaming the clip once.

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
    out = empty_estimates(tracks)
    waiting, past = _Waiting(), {}  # frames that later ones still need

    def run() -> None:
        if waiting.images:
            batch = torch.from_numpy(np.stack(waiting.images)).to(request.device).permute(0, 1, 4, 2, 3).float() / 255
            output = network(batch)[0]
            write_hands(output, waiting.places, out, request.camera, clip.width)
            certain = certainty(output.heatmaps).double().cpu().numpy()
            for row, (hand, frame, _) in enumerate(waiting.places):
                out.confidence[hand, frame] = certain[row]
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
    """Return the points [H, T, 21, 2] that crops lie around, right hands' pixels, NaN where there is no crop."""
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
    """Return the frames that show the hand up to `frame`, oldest first; hidden frames repeat the next."""
    frames = [frame]
    for _ in range(before):
        earlier = frames[0] - 1
        frames.insert(0, earlier if earlier >= 0 and known[earlier] else frames[0])
    return frames


def _side(image: np.ndarray, is_right: bool) -> np.ndarray:
    return image if is_right else np.ascontiguousarray(image[:, ::-1])
