"""IFVONet with the frozen landmark network over a clip: one pass of LiteRT per hand and frame, heads in batches.

Separate from `estimation`, which cuts both frames of a pair anew: here a frame is looked at once, in its own steadied
region, and a pair joins what was seen of two frames.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hmpfit.geometry.cameras import mirror_intrinsics
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.keypoints import regions as areas
from hmpfit.keypoints.frames import over_frames
from hmpfit.keypoints.regions import Regions
from hmpfit.keypoints.smooth_regions import smooth_regions
from hmpfit.records import MIRROR_ANGLES, Bools, Camera, Floats, HandEstimates, KeypointTracks
from hmpfit.regressors.backbone.frozen import Features, FrozenTower
from hmpfit.regressors.crops import Crop
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
    out = _nothing(tracks)
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
        found = over_frames(clip, block, FrozenTower, look)
        here = {(hand, frame): row for frame, rows in found.items() for hand, row in rows}
        places = sorted(here, key=lambda place: place[::-1])
        for first in range(0, len(places), BATCH):
            chosen = places[first : first + BATCH]
            pairs = [(_earlier(place, here, before), here[place]) for place in chosen]
            prediction = network(_batch(pairs, request.device))[0]
            _keep(prediction, chosen, regions, out, request.camera, clip.width)
        last = min(start + BLOCK, clip.frames) - 1
        before = {place: row for place, row in here.items() if place[1] == last}
        if request.on_frame is not None:
            request.on_frame(last + 1 - start)
    return out


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


def _nothing(tracks: KeypointTracks) -> HandEstimates:
    hands, frames = tracks.seen.shape

    def zeros(*shape: int) -> Floats:
        return np.zeros((hands, frames, *shape))

    return HandEstimates(
        global_orient=zeros(3), hand_pose=zeros(15, 3), betas=zeros(10), joints_px=zeros(21, 2), confidence=zeros(21),
        estimated=np.zeros((hands, frames), dtype=bool), is_right=tracks.is_right.copy(), presence=zeros(),
        expected_errors=zeros(len(SCALES), 21),
    )  # fmt: skip


def _keep(
    prediction: HeadOutput, places: list[tuple[int, int]], regions: Regions, out: HandEstimates, camera: Camera,
    width: int,
) -> None:  # fmt: skip
    """Write a batch's answers where they belong, turned into the camera's axes and given their own side."""
    assert prediction.presence is not None and prediction.log_scales is not None
    assert out.presence is not None and out.expected_errors is not None
    rotations = prediction.rotations.double().cpu().numpy()
    betas, xy = prediction.betas.double().cpu().numpy(), prediction.joints_2d.double().cpu().numpy()
    presence = torch.sigmoid(prediction.presence).double().cpu().numpy()
    errors = prediction.log_scales.exp().double().cpu().numpy()
    for row, (hand, frame) in enumerate(places):
        region, is_right = regions[hand, frame], bool(out.is_right[hand])
        crop = Crop(region.center_px, float(region.side_px), float(region.angle))
        K: Floats = camera.K[min(frame, len(camera.K) - 1)]
        R = crop.rotation(K if is_right else mirror_intrinsics(K, width))
        angles = Rotation.from_matrix(np.concatenate(((R @ rotations[row, 0])[None], rotations[row, 1:]))).as_rotvec()
        pixels = crop.points_to_image(xy[row])
        if not is_right:
            angles, pixels = angles * MIRROR_ANGLES, pixels * (-1, 1) + (width, 0)
        out.global_orient[hand, frame], out.hand_pose[hand, frame] = angles[0], angles[1:]
        out.betas[hand, frame], out.joints_px[hand, frame] = betas[row], pixels
        out.estimated[hand, frame], out.presence[hand, frame] = True, presence[row]
        units = np.array([crop.side_px, crop.side_px, 1.0, 1.0])[:, None]
        out.expected_errors[hand, frame] = errors[row] * units
        out.confidence[hand, frame] = confidence(errors[row, 0], presence[row])


def confidence(own_2d: Floats, presence: Bools | Floats) -> Floats:
    """Return how certain the network is of its joints [..., 21], 0..1, from their expected errors in crops."""
    return np.asarray(np.asarray(presence)[..., None] * np.clip(SURE / np.maximum(own_2d, 1e-6), 0, 1))
