"""The records that travel between the steps of a run: frozen dataclasses of numpy arrays.

Axes are always hands H, frames T, joints, xyz. Units: meters, radians, seconds, pixels where the name says `_px`.
Cameras have OpenCV axes (x right, y down, z forward). 21 points are in OpenPose order. Arrays are float64 unless noted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]

EXTRAPOLATED, INTERPOLATED, DETECTED = 0, 1, 2
STATUS_NAMES = ("extrapolated", "interpolated", "detected")
MIRROR_X = np.array([-1.0, 1.0, 1.0])  # of positions
MIRROR_ANGLES = np.array([1.0, -1.0, -1.0])  # of axis-angle vectors


@dataclass(frozen=True)
class Camera:
    """A camera; `source` is where K came from: "given", "metadata", "estimated" or "assumed", `note` what is odd.

    Distortion's length names the lens (`geometry.lenses`): 4 a fisheye's, 5 or 8 OpenCV's radial and tangential.
    """

    K: Floats  # [frames | 1, 3, 3]
    width: int
    height: int
    distortion: Floats | None = None  # [4 | 5 | 8]
    source: str = "assumed"
    note: str = ""
    focal_log_std: float | None = None  # of an estimated focal length's logarithm


@dataclass(frozen=True)
class CameraMotion:
    """Where the camera of a clip is in the world; `status` is how that is known, `reason` why.

    World axes are those of the first camera, unless a file gave others. Translations are meters, NaN where the path's
    scale could not be observed (`map_from_camera` then has the path in units of its own).
    """

    world_from_camera: Floats  # [T, 4, 4]
    status: str  # "static", "rotation", "moving", "given", ... (`camera_motion.estimation`)
    scale_std: float = 0.0  # of the path's length, relative; infinite where nothing is known of it
    reason: str = ""
    map_from_camera: Floats | None = None  # [T, 4, 4] the path before it was scaled

    @property
    def known(self) -> bool:
        """Whether the camera's place is known at every frame, in meters."""
        return bool(np.isfinite(self.world_from_camera).all())

    @property
    def moves(self) -> bool:
        """Whether the world's axes are others than the camera's at some frame."""
        return bool((self.world_from_camera != np.eye(4)).any())


@dataclass(frozen=True)
class HandDetections:
    """What a detector saw, frame by frame, any number of hands a frame: N hands in all, sorted by frame."""

    frame: NDArray[np.int64]  # [N]
    xy_px: Floats  # [N, 21, 2]
    world_m: Floats  # [N, 21, 3] hand-centered meters, axes of the image as the detector saw it
    right_probability: Floats  # [N] that the physical hand is a right hand
    score: Floats  # [N]
    times_s: Floats  # [T]
    width: int
    height: int
    color: Floats | None = None  # [N, 3] of the palms, where there are several people


@dataclass(frozen=True)
class DroppedHand:
    """Something that was taken for a hand by the detector and not kept; frames are the clip's, both ends included."""

    first_frame: int
    last_frame: int
    detections: int
    is_right: bool
    score: float
    center_px: tuple[float, float]
    size_px: float
    reason: str


def hand_names(is_right: Iterable[bool]) -> list[str]:
    """Return a name per hand that is unique: right, left, right2, ..."""
    sides = ["right" if right else "left" for right in is_right]
    before = [sides[:n].count(side) for n, side in enumerate(sides)]
    return [f"{side}{count + 1}" if count else side for side, count in zip(sides, before, strict=True)]


def _nobody() -> Ids:
    """Return the default of identities: none are given yet."""
    return np.zeros(0, dtype=np.int64)


def number_hands(hands: int, hand_id: Ids) -> Ids:
    """Return the identities of hands: those that are given, or their places."""
    return hand_id if len(hand_id) == hands else np.arange(hands)


def number_persons(is_right: Bools, person_id: Ids) -> Ids:
    """Return whose hands they are: what is given, or one person for the first right and the first left hand, etc."""
    nth = np.where(is_right, np.cumsum(is_right), np.cumsum(~is_right)) - 1
    return person_id if len(person_id) == len(is_right) else nth.astype(np.int64)


@dataclass(frozen=True)
class KeypointTracks:
    """The evidence: one row per hand followed through the clip.

    `seen` is False where no hand was detected; there `confidence` is 0 and the coordinates are NaN.
    `world_m` are hand-centered 3D landmarks in camera axes (already turned from the crop's to the camera's direction),
    NaN where unknown; None for sources that have none. `hand_id` and `person_id` stay with a hand wherever it is
    sorted to. `right_log_odds` is the mean vote for a right hand, `agreement` the share of detections that vote for the
    hand's side; None for sources without votes.
    """

    xy_px: Floats  # [H, T, 21, 2]
    confidence: Floats  # [H, T, 21] in 0..1
    seen: Bools  # [H, T]
    is_right: Bools  # [H]
    times_s: Floats  # [T]
    world_m: Floats | None = None  # [H, T, 21, 3]
    hand_id: Ids = field(default_factory=_nobody)  # [H]
    person_id: Ids = field(default_factory=_nobody)  # [H]
    right_log_odds: Floats | None = None  # [H]
    agreement: Floats | None = None  # [H]
    dropped: tuple[DroppedHand, ...] = ()
    covered: Floats | None = None  # [H, T, 21] probability that something else lies over the landmark
    weight: Floats | None = None  # [H, T, 21] share of a landmark's evidence that the fit counts; None: all of it
    sighted: Bools | None = None  # [H, T] where the detector saw a hand, trusted or not; None: as `seen`
    arm_right: Floats | None = None  # [H] 1 where a body's right arm holds the hand, 0 its left arm, NaN unknown

    def __post_init__(self) -> None:
        """Number hands and persons that have no numbers yet."""
        object.__setattr__(self, "hand_id", number_hands(len(self.is_right), self.hand_id))
        object.__setattr__(self, "person_id", number_persons(self.is_right, self.person_id))

    @property
    def trusted(self) -> Bools:
        """Which landmarks [H, T, 21] are known and confirmed by other views; all known ones where none was measured."""
        known = self.seen[..., None] & np.isfinite(self.xy_px).all(-1)
        return known & (self.confidence > 0) if self.confidence.any() else known

    @property
    def box_diagonal_px(self) -> Floats:
        """Diagonal of the box around each seen hand's known points, [H, T], NaN where unseen."""
        low, high = np.fmin.reduce(self.xy_px, axis=2), np.fmax.reduce(self.xy_px, axis=2)
        return np.linalg.norm(high - low, axis=-1)

    def select_hands(self, rows: NDArray[np.int64]) -> "KeypointTracks":
        """Return the tracks `rows` in that order."""
        fields = {n: v for n, v in vars(self).items() if v is not None and n not in ("times_s", "dropped")}
        return replace(self, **{name: values[rows] for name, values in fields.items()})

    def accept_frames(self, kept: Bools) -> "KeypointTracks":
        """Return the tracks with the other frames unseen; the detector's landmarks there are not trusted."""
        return replace(self.keep_frames(kept), sighted=self.seen if self.sighted is None else self.sighted)

    def keep_frames(self, kept: Bools) -> "KeypointTracks":
        """Return the same tracks unseen in the other frames; kept [H, T], or what broadcasts to it."""
        seen = self.seen & kept
        xy_px = np.where(seen[..., None, None], self.xy_px, np.nan)
        world_m = None if self.world_m is None else np.where(seen[..., None, None], self.world_m, np.nan)
        confidence = np.where(seen[..., None], self.confidence, 0.0)
        return replace(self, seen=seen, confidence=confidence, xy_px=xy_px, world_m=world_m)


@dataclass(frozen=True)
class HandMotion:
    """MANO parameters over time. Left hands are stored as left hands (smplx's convention for each side).

    `hand_pose` is absolute axis-angle (zero = the flat template), `transl` is smplx's: wrist = J0(betas) + transl.
    """

    global_orient: Floats  # [H, T, 3]
    hand_pose: Floats  # [H, T, 15, 3]
    transl: Floats  # [H, T, 3]
    betas: Floats  # [H, 10]
    is_right: Bools  # [H]
    status: NDArray[np.uint8]  # [H, T] 0 extrapolated, 1 interpolated, 2 detected
    hand_id: Ids = field(default_factory=_nobody)  # [H] stays with a hand wherever it is sorted to
    person_id: Ids = field(default_factory=_nobody)  # [H] whose hand it is

    def __post_init__(self) -> None:
        """Number hands and persons that have no numbers yet."""
        object.__setattr__(self, "hand_id", number_hands(len(self.is_right), self.hand_id))
        object.__setattr__(self, "person_id", number_persons(self.is_right, self.person_id))

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "HandMotion":
        """Build a motion from arrays of these names; identities may lack. Raises KeyError for any other."""
        later = ("hand_id", "person_id")
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__ if name not in later or name in arrays})

    def select_hands(self, rows: NDArray[np.int64]) -> "HandMotion":
        """Return the hands `rows` in that order."""
        return HandMotion(**{name: values[rows] for name, values in vars(self).items()})

    def at_frames(self, chosen: slice) -> "HandMotion":
        """Return some frames of the motion."""
        per_frame = ("global_orient", "hand_pose", "transl", "status")
        return replace(self, **{name: getattr(self, name)[:, chosen] for name in per_frame})

    def mirrored(self, hands: Bools) -> "HandMotion":
        """Return the motion with the chosen hands mirrored in x: angles times (1, -1, -1), x of positions negated."""
        return replace(
            self,
            global_orient=np.where(hands[:, None, None], self.global_orient * MIRROR_ANGLES, self.global_orient),
            hand_pose=np.where(hands[:, None, None, None], self.hand_pose * MIRROR_ANGLES, self.hand_pose),
            transl=np.where(hands[:, None, None], self.transl * MIRROR_X, self.transl),
            is_right=np.where(hands, ~self.is_right, self.is_right),
        )


@dataclass(frozen=True)
class HandEstimates:
    """Output of a learned initializer, frame by frame, before the hands are placed in the camera.

    Turned into the camera's axes, but without a position. Values where not `estimated` are zeros, confidence 0.
    """

    global_orient: Floats  # [H, T, 3]
    hand_pose: Floats  # [H, T, 15, 3] absolute
    betas: Floats  # [H, T, 10]
    joints_px: Floats  # [H, T, 21, 2] the network's own 2D joints, image pixels
    confidence: Floats  # [H, T, 21] in 0..1
    estimated: Bools  # [H, T]
    is_right: Bools  # [H]
    presence: Floats | None = None  # [H, T] in 0..1 that a hand is there; None: the network gives none
    # [H, T, 4, 21] mean errors that the network expects: 2D joints (pixels) of its own and of the detector, 3D joints
    # (meters, about their mean) of its own and of the detector
    expected_errors: Floats | None = None


@dataclass(frozen=True)
class PosedHands:
    """Positions in camera-frame meters."""

    joints: Floats  # [H, T, 21, 3]
    vertices: Floats | None = None  # [H, T, V, 3]


@dataclass(frozen=True)
class SolveReport:
    """How one stage went. `outcome`: "converged", "out_of_steps" or "not_finite" (the best so far was kept)."""

    stage: str
    solver: str
    outcome: str
    steps: int
    cost_start: float
    cost_end: float
    seconds: float
    terms_start: dict[str, float] = field(default_factory=dict)
    terms_end: dict[str, float] = field(default_factory=dict)
    history: tuple[float, ...] = ()


@dataclass(frozen=True)
class HandSize:
    """How large the hands are, wrist to middle fingertip, how well that is known, and its source.

    `source`: "average" (adults'), "given" (`--hand-size`) or "shape_from" (`--shape-from`).
    """

    size_mm: Floats  # [H]
    relative_std: float
    source: str


@dataclass(frozen=True)
class FitRecord:
    """Everything a run found; `results/npz.py` writes it, `recipe` and `provenance` say how it was made."""

    motion: HandMotion
    joints: Floats  # [H, T, 21, 3] camera-frame meters
    joint_std_mm: Floats  # [H, T, 21] of places in the camera's frame
    landmarks_px: Floats  # [H, T, 21, 2] projections of the model's calibrated landmark points
    camera: Camera
    tracks: KeypointTracks
    reports: tuple[SolveReport, ...]
    windows: tuple[tuple[int, int], ...]
    recipe: dict[str, Any]
    provenance: dict[str, Any]
    camera_motion: CameraMotion | None = None  # None: a single picture, or a camera taken as still
    joint_std_wrist_mm: Floats | None = None  # [H, T, 21] of places as seen from the wrist
    hand_size: HandSize | None = None
    mesh_center_px: Floats | None = None  # [H, T, 2] projected mean of the vertices
