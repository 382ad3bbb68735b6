"""The records of `hmpfit live`: frames, the landmarks seen in them, and the estimates of the hands."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hmpfit.records import Floats

Image = NDArray[np.uint8]  # [height, width, 3] RGB


@dataclass(frozen=True)
class LiveFrame:
    """A frame as it came: its number at the source, its time at the source and by our clock, seconds."""

    number: int
    time_s: float
    arrived_s: float
    image: Image


@dataclass(frozen=True)
class SeenHand:
    """One hand in one frame; `hand_id` stays with a hand, landmarks are OpenPose order."""

    hand_id: int
    is_right: bool
    xy_px: Floats  # [21, 2]
    world_m: Floats  # [21, 3] hand-centered, camera axes
    confidence: Floats  # [21]
    covered: Floats | None = None  # [21]


@dataclass(frozen=True)
class SeenFrame:
    """What was seen in a frame, without its picture."""

    number: int
    time_s: float
    arrived_s: float
    hands: tuple[SeenHand, ...] = ()


@dataclass(frozen=True)
class LiveHand:
    """The estimate of one hand in a frame: MANO parameters of its own side, joints in camera-frame meters."""

    hand_id: int
    is_right: bool
    status: int  # of `records`: detected, interpolated, extrapolated
    global_orient: Floats  # [3]
    hand_pose: Floats  # [15, 3]
    transl: Floats  # [3]
    betas: Floats  # [10]
    joints: Floats  # [21, 3]
    landmarks_px: Floats  # [21, 2]


@dataclass(frozen=True)
class LiveEstimate:
    """The hands of one frame; `lag_s` from its arrival until they were known."""

    number: int
    time_s: float
    lag_s: float
    hands: tuple[LiveHand, ...] = ()


@dataclass
class LiveCounts:
    """What became of the frames so far."""

    arrived: int = 0
    dropped: int = 0
    known: int = 0
    lags_s: list[float] = field(default_factory=list)

    @property
    def kept(self) -> float:
        """Share of the frames that arrived and were not dropped."""
        return 1.0 if self.arrived == 0 else 1 - self.dropped / self.arrived
