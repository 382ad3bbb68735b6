"""Run IFVONet with the frozen landmark network over a clip: LiteRT once per hand and frame, heads in batches.

Separate from `estimation`, which cuts both frames of a pair anew: here every frame is cropped once, in its own smoothed
region, and a pair joins the features of two frames.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from hmpfit.interfaces.network import EstimateRequest
from hmpfit.keypoints import regions as areas
from hmpfit.keypoints.frames import over_frames
from hmpfit.keypoints.regions import Regions
from hmpfit.keypoints.smooth_regions import smooth_regions
from hmpfit.records import Bools, Floats, HandEstimates
from hmpfit.regressors.backbone.frozen import Features, FrozenTower
from hmpfit.regressors.crops import Crop
from hmpfit.regressors.ifvonet.crop_estimates import CropPlace, empty_estimates, write_hands
from hmpfit.regressors.ifvonet.head import SCALES, HeadOutput
from hmpfit.regressors.ifvonet.network import IFVONet

BATCH = 64
SURE = 0.015  # crops: a joint that is expected to be off by less is known as well as can be
BLOCK = 256  # frames whose features are in memory at a time


@torch.no_grad()
def estimate_frozen(network: IFVONet, request: EstimateRequest, points: Floats) -> HandEstimates:
    """Estimate every hand in every frame where `points` [H, T, 21, 2] (right hands' pixels, NaN unknown) are known."""
    clip, tracks = request.clip, request.tracks
    known = np.isfinite(points).all((-1, -2))
    regions = smooth_regions(areas.from_landmarks(points), known, tracks.times_s)
    hands, frames = tracks.seen.shape
    out = empty_estimates(
        tracks, presence=np.zeros((hands, frames)), expected_errors=np.zeros((hands, frames, len(SCALES), 21))
    )
    left = ~tracks.is_right

    def look(tower: FrozenTower, frame: int, image: NDArray[np.uint8]) -> list[tuple[int, Features]]:
        found = []
        for hand in np.flatnonzero(known[:, frame]):
            seen = image[:, ::-1] if left[hand] else image
            crop = areas.cut(np.ascontiguousarray(seen), regions[hand, frame], False)
            found.append((int(hand), tower(crop[None]).map(lambda x: x[0])))
        return found

    before: dict[tuple[int, int], Features] = {}
    for start in range(0, clip.frames, BLOCK):
        block = np.zeros(clip.frames, dtype=bool)
        block[start : start + BLOCK] = known[:, start : start + BLOCK].any(0)
        found = over_frames(clip, block, FrozenTower, look, in_copies=False)
        here = {(hand, frame): row for frame, rows in found.items() for hand, row in rows}
        places = sorted(here, key=lambda place: place[::-1])
        for first in range(0, len(places), BATCH):
            chosen = places[first : first + BATCH]
            pairs = [(_earlier(place, here, before), here[place]) for place in chosen]
            output = network(_batch(pairs, request.device))[0]
            shown = [(hand, frame, _crop(regions, hand, frame)) for hand, frame in chosen]
            write_hands(output, shown, out, request.camera, clip.width)
            _write_certainty(output, shown, out)
        last = min(start + BLOCK, clip.frames) - 1
        before = {place: row for place, row in here.items() if place[1] == last}
        if request.on_frame is not None:
            request.on_frame(last + 1 - start)
    return out


def _crop(regions: Regions, hand: int, frame: int) -> Crop:
    region = regions[hand, frame]
    return Crop(region.center_px, float(region.side_px), float(region.angle))


def _earlier(
    place: tuple[int, int], here: dict[tuple[int, int], Features], before: dict[tuple[int, int], Features]
) -> Features:
    """Return the features of the frame before; what was not seen repeats the frame itself."""
    earlier = (place[0], place[1] - 1)
    return here.get(earlier) or before.get(earlier) or here[place]


def _batch(pairs: list[tuple[Features, Features]], device: str) -> Features:
    def joined(name: str) -> torch.Tensor:
        return torch.stack([torch.stack([getattr(row, name) for row in pair]) for pair in pairs]).to(device)

    return Features(joined("maps"), joined("pooled"), joined("numbers"))


def _write_certainty(output: HeadOutput, places: list[CropPlace], out: HandEstimates) -> None:
    """Write how sure the network is of a batch's hands and joints."""
    assert output.presence is not None and output.log_scales is not None
    assert out.presence is not None and out.expected_errors is not None
    presence = torch.sigmoid(output.presence).double().cpu().numpy()
    errors = output.log_scales.exp().double().cpu().numpy()
    for row, (hand, frame, crop) in enumerate(places):
        units = np.array([crop.side_px, crop.side_px, 1.0, 1.0])[:, None]
        out.presence[hand, frame] = presence[row]
        out.expected_errors[hand, frame] = errors[row] * units
        out.confidence[hand, frame] = confidence_of_errors(errors[row, 0], presence[row])


def confidence_of_errors(own_2d: Floats, presence: Bools | Floats) -> Floats:
    """Return how certain the network is of its joints [..., 21], 0..1, from their expected errors in crops."""
    return np.asarray(np.asarray(presence)[..., None] * np.clip(SURE / np.maximum(own_2d, 1e-6), 0, 1))
