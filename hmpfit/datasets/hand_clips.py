"""Annotated sequences as training clips: a few consecutive frames of one or two hands, and their MANO parameters.

Separate from the readers, which yield whole sequences: here several frames share one crop.
"""

import logging

import numpy as np
from numpy.typing import NDArray

from hmpfit import registry
from hmpfit.datasets.opening import open_dataset
from hmpfit.errors import HmpfitError, InputError
from hmpfit.geometry.cameras import project_array
from hmpfit.geometry.lenses import NEAREST_M
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Sequence, Truth
from hmpfit.records import DETECTED, Floats, HandMotion
from hmpfit.regressors.samples import HandClip, View

log = logging.getLogger("hmpfit")

_GAP = 1.5  # frames' times that lie further apart than so many of the usual steps are no neighbors


class HandClips:
    """All windows of `frames` consecutive frames whose last frame is annotated, in the dataset's order.

    Before the first frame of a stretch its first frame is repeated. With one hand a window is listed once per
    annotated hand; with two only frames in which both are annotated, which may lack MANO parameters (HIC's).
    """

    def __init__(self, name: str, sequences: tuple[Sequence, ...], view: View) -> None:
        self.name, self.view = name, view
        self._sequences: list[Sequence] = []
        self._truths: list[Truth] = []
        self._rows: list[tuple[int, int, int]] = []  # sequence, hand (-1: both), last frame
        problem = ""
        for sequence in sequences:
            try:
                truth = sequence.truth()
            except HmpfitError as error:
                log.warning("'%s' was left out: %s", sequence.name, error)
                problem = problem or str(error)
                continue
            if truth.motion is None and view.hands == 1:
                problem = problem or f"'{sequence.name}' has no MANO parameters"
                continue
            known = truth.valid if view.hands == 2 else _posed(truth)
            here = len(self._sequences)
            if view.hands == 1:
                self._rows += [(here, int(hand), int(frame)) for hand, frame in np.argwhere(known)]
            elif len(known) == 2:
                self._rows += [(here, -1, int(frame)) for frame in np.flatnonzero(known.all(0))]
            self._sequences.append(sequence)
            self._truths.append(_light(truth))
        if not self._rows:
            wanted = "frames of two annotated hands" if view.hands == 2 else "hands with MANO parameters"
            raise InputError(f"{name} holds no {wanted} to learn from{f' ({problem})' if problem else ''}.")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> HandClip:
        which, hand, last = self._rows[index]
        sequence, truth = self._sequences[which], self._truths[which]
        frames = _window(sequence.times_s, 1 / sequence.fps, last, self.view.frames)
        hands = [0, 1] if hand < 0 else [hand]
        known, motion = _posed(truth)[hands][:, frames], truth.motion
        K = np.asarray(sequence.camera.K, dtype=np.float64)
        K = K[min(last, len(K) - 1)]
        joints = truth.joints_m[hands][:, frames]
        boxes = None if sequence.read_boxes is None else sequence.boxes_px[hands, last]
        return HandClip(
            images=np.stack([sequence.image(int(frame)) for frame in frames]),
            K=K,
            is_right=truth.is_right[hands],
            joints_px=np.where(joints[..., 2:] > NEAREST_M, project_array(joints, K), np.nan),
            joints_m=joints,
            **_parameters(motion, hands, frames, known),
            box_px=None if boxes is None or not np.isfinite(boxes).all() else _union(boxes),
        )


def open_hand_clips(kind_and_path: str, view: View, models: HandModels) -> HandClips:
    """Open the training split of KIND:PATH as clips.

    Raises UnknownNameError for another kind and InputError for a folder of another kind, or without MANO parameters.
    """
    kind = kind_and_path.partition(":")[0]
    splits = registry.load("datasets", kind).splits if kind in registry.names("datasets") else ()
    split = next((name for name in splits if name.endswith(("train", "training"))), None)
    return HandClips(kind_and_path, open_dataset(kind_and_path, split, models).sequences, view)


def _posed(truth: Truth) -> NDArray[np.bool_]:
    """Return where MANO parameters are known, [H, T]."""
    if truth.motion is None:
        return np.zeros_like(truth.valid)
    return np.asarray(truth.valid & (truth.motion.status == DETECTED))


def _parameters(
    motion: HandMotion | None, hands: list[int], frames: NDArray[np.int64], known: NDArray[np.bool_]
) -> dict[str, Floats]:
    if motion is None:
        none = np.full(known.shape, np.nan)
        return {
            "global_orient": none[..., None].repeat(3, -1), "hand_pose": np.tile(none[..., None, None], (1, 1, 15, 3)),
            "betas": np.full((len(hands), 10), np.nan),
        }  # fmt: skip
    return {
        "global_orient": _where(known, motion.global_orient[hands][:, frames]),
        "hand_pose": _where(known, motion.hand_pose[hands][:, frames]),
        "betas": motion.betas[hands],
    }


def _light(truth: Truth) -> Truth:
    """Drop the meshes: the parameters give them back, and thousands of frames of them do not fit in memory."""
    return Truth(truth.is_right, truth.joints_m, truth.valid, motion=truth.motion)


def _window(times_s: Floats, step_s: float, last: int, count: int) -> NDArray[np.int64]:
    """Return the `count` frames that end at `last`, repeating the one after a hole in time."""
    frames = [last]
    while len(frames) < count:
        first = frames[0]
        neighbor = first > 0 and times_s[first] - times_s[first - 1] < _GAP * step_s
        frames.insert(0, first - 1 if neighbor else first)
    return np.array(frames)


def _where(known: NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(known.reshape(*known.shape, *(1,) * (values.ndim - 2)), values, np.nan)


def _union(boxes: Floats) -> Floats:
    return np.concatenate((boxes[:, :2].min(0), boxes[:, 2:].max(0)))
