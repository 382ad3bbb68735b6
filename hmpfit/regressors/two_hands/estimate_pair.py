"""Run a two-hand network over windows of a clip and average its output for each frame, in the camera's axes.

Separate from the networks, which see crops, and from `accept_estimates`, which turns the output into hands of tracks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.progress import Advance
from hmpfit.records import MIRROR_X, Bools, Floats
from hmpfit.regressors.samples import View
from hmpfit.regressors.two_hands.windows import PairWindow, sliding_windows
from hmpfit.video.clip import Clip

FRAMES_A_CALL = 32


@dataclass(frozen=True)
class PairParameters:
    """Parameters of both hands (right, left) in right-hand form, in the axes of the crop's camera."""

    orient_R: Tensor  # [..., 2, 3, 3]
    hand_pose: Tensor  # [..., 2, 15, 3] absolute
    betas: Tensor  # [..., 2, 10]


@dataclass(frozen=True)
class PairOutput:
    """A network's output for windows: joints as they are, about any origin, and parameters where it has them."""

    joints: Tensor  # [B, F, 2, 21, 3] axes of the crop's camera
    parameters: PairParameters | None


CallNetwork = Callable[[Tensor], PairOutput]  # of pictures [B, F, 3, S, S] in 0..1


@dataclass(frozen=True)
class PairEstimate:
    """Both hands (right, left) over a clip, camera axes; rows of frames that are not `known` are zero.

    Parameters are in right-hand form, of the network's own hand model; None for networks that give points only.
    """

    known: Bools  # [T]
    joints: Floats  # [2, T, 21, 3] as they are, about the wrist, at the network's own scale
    orient_R: Floats | None = None  # [2, T, 3, 3]
    hand_pose: Floats | None = None  # [2, T, 15, 3]
    betas: Floats | None = None  # [2, T, 10]


@torch.no_grad()
def estimate_pair(request: EstimateRequest, points: Floats, network: CallNetwork, view: View) -> PairEstimate:
    """Run a network over windows of a clip and return the mean of their estimates for each frame.

    Windows lie around points [2, T, 21, 2] of the right and the left hand, NaN where nothing is known; frames without
    any are not read. Memory is bounded by a few windows. Deterministic.
    """
    clip, camera = request.clip, request.camera
    windows = sliding_windows(points, view.frames, view.margin)
    total = _Sums(clip.frames)
    for batch in _batches(clip, windows, view, request.on_frame):
        pictures = torch.from_numpy(np.stack([picture for _, picture in batch])).to(request.device)
        output = network(pictures.permute(0, 1, 4, 2, 3).float() / 255)
        for row, (window, _) in enumerate(batch):
            K = np.asarray(camera.K[min(window.start, len(camera.K) - 1)])
            total.add(window, output, row, window.crop.rotations(K, camera.distortion))
    found = total.mean()
    looked = np.isfinite(points).all((-1, -2)).any(0)
    return PairEstimate(found.known & looked, found.joints, found.orient_R, found.hand_pose, found.betas)


def _batches(
    clip: Clip, windows: Sequence[PairWindow], view: View, on_frame: Advance | None
) -> Iterator[list[tuple[PairWindow, np.ndarray]]]:
    """Read the clip once and yield windows with their pictures [F, S, S, 3] as they fill."""
    waiting: list[tuple[PairWindow, dict[int, np.ndarray]]] = []
    full: list[tuple[PairWindow, np.ndarray]] = []
    most = max(1, FRAMES_A_CALL // view.frames)
    coming = list(windows)
    for frame, image in clip.images():
        while coming and coming[0].start <= frame:
            waiting.append((coming.pop(0), {}))
        for window, pictures in waiting:
            if frame in window.shown:
                pictures[frame] = window.crop.cut(image, view.size)
        full += [(w, np.stack([cut[f] for f in w.shown])) for w, cut in waiting if w.stop == frame + 1]
        waiting = [(window, pictures) for window, pictures in waiting if window.stop > frame + 1]
        while len(full) >= most:
            yield full[:most]
            full = full[most:]
        if on_frame is not None:
            on_frame(1)
    if full:
        yield full


class _Sums:
    """Sums over the windows that see each frame: rotations as matrices, whose mean is the nearest rotation."""

    def __init__(self, frames: int) -> None:
        self.count = np.zeros(frames)
        self.joints = np.zeros((2, frames, 21, 3))
        self.orient, self.fingers = np.zeros((2, frames, 3, 3)), np.zeros((2, frames, 15, 3, 3))
        self.betas = np.zeros((2, frames, 10))
        self.has_parameters = False

    def add(self, window: PairWindow, output: PairOutput, row: int, to_camera: Floats) -> None:
        frames = slice(window.start, window.stop)
        joints = output.joints[row].double().cpu().numpy().swapaxes(0, 1)
        self.count[frames] += 1
        self.joints[:, frames] += (joints - joints[:, :, :1]) @ to_camera.swapaxes(1, 2)[:, None]
        if output.parameters is None:
            return
        self.has_parameters = True
        orient, pose, betas = (
            part[row].double().cpu().transpose(0, 1)
            for part in (output.parameters.orient_R, output.parameters.hand_pose, output.parameters.betas)
        )
        mirrored = MIRROR_X[:, None] * to_camera[1] * MIRROR_X  # how a left hand in the mirror sees the crop's turn
        self.orient[:, frames] += np.stack((to_camera[0], mirrored))[:, None] @ orient.numpy()
        self.fingers[:, frames] += rotations.exp(pose).numpy()
        self.betas[:, frames] += betas.numpy()

    def mean(self) -> PairEstimate:
        known = self.count > 0
        share = 1 / np.maximum(self.count, 1)
        joints = self.joints * share[:, None, None]
        if not self.has_parameters:
            return PairEstimate(known, joints)
        orient, fingers = np.tile(np.eye(3), (2, len(known), 1, 1)), np.zeros((2, len(known), 15, 3))
        orient[:, known] = rotations.project_to_so3(torch.as_tensor(self.orient[:, known])).numpy()
        fingers[:, known] = rotations.log(rotations.project_to_so3(torch.as_tensor(self.fingers[:, known]))).numpy()
        return PairEstimate(known, joints, orient, fingers, self.betas * share[:, None])
