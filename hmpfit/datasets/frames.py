"""Single annotated hands with their pictures: what networks that look at one frame learn from.

Separate from the readers, which yield whole sequences; sequence models take `Sequence.truth()` and `Sequence.image`.
The annotations of all frames are held in memory (half a kilobyte each), pictures are read when asked for.
"""

import logging
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from hmpfit.datasets.sequence import Sequence, boxes_around
from hmpfit.errors import HmpfitError, InputError
from hmpfit.records import Bools, Floats

log = logging.getLogger("hmpfit")


@dataclass(frozen=True)
class Parameters:
    """MANO's numbers of one hand, camera frame, absolute angles, left hands as left hands."""

    global_orient: Floats  # [3]
    hand_pose: Floats  # [15, 3]
    transl: Floats  # [3]
    betas: Floats  # [10]


@dataclass(frozen=True)
class HandFrame:
    """One hand in one picture."""

    sequence: str
    frame: int
    image: NDArray[np.uint8]  # [height, width, 3] RGB
    K: Floats  # [3, 3]
    box_px: Floats  # [4] x0, y0, x1, y1
    is_right: bool
    joints_m: Floats  # [21, 3] OpenPose order, camera axes
    joint_valid: Bools  # [21]
    parameters: Parameters | None  # None where the dataset stores none, or was opened without a hand model


class HandFrames(Listed[HandFrame]):
    """The annotated hands of many sequences, by number; a map-style dataset for any loader.

    With `parameters` only hands that have them are listed. A sequence without truth is logged and left out, a damaged
    picture is logged, counted in `broken` and stands for its successor. Raises InputError when nothing is left.
    """

    def __init__(
        self,
        sequences: Iterable[Sequence],
        parameters: bool = False,
        on_sequence: Callable[[int], None] | None = None,
    ) -> None:
        self.broken: set[tuple[str, int]] = set()
        self._sequences: list[Sequence] = []
        rows: list[NDArray[np.int64]] = []
        parts: dict[str, list[NDArray[np.float32]]] = {
            "joints": [],
            "boxes": [],
            "angles": [],
            "transl": [],
            "betas": [],
        }
        self._valid: NDArray[np.bool_] = np.zeros((0, 21), dtype=bool)
        valid = [self._valid]
        problem: str | None = None
        for sequence in sequences:
            try:
                found = _arrays(sequence, parameters)
            except HmpfitError as error:
                log.warning("'%s' was left out: %s", sequence.name, error)
                problem = problem or str(error)
                continue
            finally:
                if on_sequence is not None:
                    on_sequence(1)
            rows.append(np.insert(found.pop("row").astype(np.int64), 0, len(self._sequences), axis=1))
            valid.append(found.pop("valid").astype(bool))
            for name, values in found.items():
                parts[name].append(values.astype(np.float32))
            self._sequences.append(sequence)
        self._rows = np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)
        if not len(self._rows):
            wanted = "MANO parameters" if parameters else "annotated hands"
            raise InputError(f"These sequences hold no {wanted}{f'; the first: {problem}' if problem else ''}.")
        self._valid = np.concatenate(valid)
        self._parts = {name: np.concatenate(values) for name, values in parts.items()}

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> HandFrame: ...
    @overload
    def __getitem__(self, index: slice) -> list[HandFrame]: ...
    def __getitem__(self, index: int | slice) -> HandFrame | list[HandFrame]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        for step in range(len(self)):
            at = (index + step) % len(self)
            which, _, frame = (int(number) for number in self._rows[at])
            try:
                image = self._sequences[which].image(frame)
            except InputError as error:
                if (self._sequences[which].name, frame) not in self.broken:
                    log.warning("A picture was passed over: %s", error)
                self.broken.add((self._sequences[which].name, frame))
                continue
            return self._frame(at, image)
        raise InputError("None of the pictures can be read.")

    def _frame(self, at: int, image: NDArray[np.uint8]) -> HandFrame:
        which, hand, frame = (int(number) for number in self._rows[at])
        sequence, angles = self._sequences[which], self._parts["angles"][at]
        K = sequence.camera.K
        known = bool(np.isfinite(angles).all())
        return HandFrame(
            sequence=sequence.name,
            frame=frame,
            image=image,
            K=np.asarray(K[min(frame, len(K) - 1)], dtype=np.float32),
            box_px=self._parts["boxes"][at],
            is_right=sequence.sides[hand],
            joints_m=self._parts["joints"][at],
            joint_valid=self._valid[at],
            parameters=Parameters(
                angles[:3], angles[3:].reshape(15, 3), self._parts["transl"][at], self._parts["betas"][at]
            )
            if known
            else None,
        )


def _arrays(sequence: Sequence, parameters: bool) -> dict[str, NDArray]:
    """Return a sequence's hands as rows (hand, frame) and what is known of each."""
    truth = sequence.truth()
    boxes = sequence.read_boxes() if sequence.read_boxes is not None else boxes_around(truth, sequence.camera)
    joint_valid = np.isfinite(truth.joints_m).all(-1)
    if truth.joint_valid is not None:
        joint_valid = joint_valid & truth.joint_valid
    use = joint_valid.any(-1) & np.isfinite(boxes).all(-1)
    motion = truth.motion
    posed = np.zeros_like(use) if motion is None else use & (motion.status > 0)
    if parameters:
        use = posed
    hand, frame = np.nonzero(use)
    count = len(hand)
    angles, transl, betas = np.full((count, 48), np.nan), np.full((count, 3), np.nan), np.full((count, 10), np.nan)
    if motion is not None:
        known = posed[hand, frame]
        angles[:, :3], angles[:, 3:] = motion.global_orient[hand, frame], motion.hand_pose[hand, frame].reshape(-1, 45)
        angles[~known] = np.nan
        transl, betas = motion.transl[hand, frame], motion.betas[hand]
    return {
        "row": np.stack((hand, frame), axis=1), "valid": joint_valid[hand, frame],
        "joints": truth.joints_m[hand, frame], "boxes": boxes[hand, frame], "angles": angles, "transl": transl,
        "betas": betas,
    }  # fmt: skip
