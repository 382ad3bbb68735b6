"""The schema of a recipe: every key with its type and default. A TOML file or `--set` may hold nothing else.

Weights, kernels and options are tables by the name of a term. A term declares its own options as a record
(`interfaces.term.Term.options`); a recipe that was loaded holds these records.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

FreeVariable = Literal["global_orient", "transl", "betas", "latent", "hand_pose"]


@dataclass(frozen=True)
class LensSettings:
    """The camera that is assumed where none is given; `focal_px` above 0 wins."""

    focal_per_longer_side: float = 0.9
    focal_px: float = 0.0


@dataclass(frozen=True)
class OcclusionThresholds:
    """Landmarks count in full up to a probability of occlusion, frames up to an expected number of occluded ones.

    Frames most of whose landmarks do not, and whose mean confidence is below `least_confidence`, tell no pose.
    """

    landmark: float = 0.3
    landmarks: float = 8.0
    weight: float = 0.1  # of the others in the fit
    least_confidence: float = 0.0
    over_s: float = 0.05  # half of the time over which a frame's number is averaged: occlusion lasts over one frame


@dataclass(frozen=True)
class KeypointSettings:
    """How landmarks are measured and which frames count."""

    views: int = 4
    views_every_s: float = 0.1
    search_every_s: float = 0.0
    gamma: float = 0.025
    gamma_px: float = 0.0
    least_frame_confidence: float = 0.0
    followed: float = 0.5
    weigh_covered: bool = True
    covered: OcclusionThresholds = field(default_factory=OcclusionThresholds)


@dataclass(frozen=True)
class SpeedSettings:
    """The fastest that a hand turns and moves, and what a first guess may be off besides."""

    turn_rad_s: float = 15.0
    turn_rad: float = 0.45
    move_m_s: float = 4.0
    move_share: float = 0.25  # of the distance from the camera


@dataclass(frozen=True)
class InitializerSettings:
    """Whether frames that one hand cannot have count as not seen, and depths that no hand has are turned round."""

    consistent: bool = True
    turn_depths: bool = True
    speeds: SpeedSettings = field(default_factory=SpeedSettings)


@dataclass(frozen=True)
class UnseenFrameSettings:
    """How frames with little evidence follow those around them: a Matern-3/2 process of unknown mean.

    Noises are shares of its variance. A frame with fewer than `least_seen` landmarks is covered, and so is a finger
    with less than half of its own. The noise of a covered part is `weak_noise` (of the wrist's place: `place_noise`, of
    the hand's turn: `turn_noise`) times 1 / share^2 - 1 for the share of its landmarks, or of the hand's if that is
    less, that were seen; a covered landmark counts its weight in the share of the turn. A frame with
    fewer than `least_trusted` landmarks of any confidence is blurred: its pose has the noise `blur_noise`, and its
    place stays.
    """

    bridge: bool = True
    length_s: float = 1.5
    noise: float = 1e-4  # of other frames
    span_s: float = 0.5  # how far from a weak stretch frames still inform it
    weak_noise: float = 0.02
    place_noise: float = 0.0005
    turn_noise: float = 0.00012
    blur_noise: float = 0.001
    least_trusted: int = 5
    least_seen: int = 14


@dataclass(frozen=True)
class WindowSettings:
    """How far two windows of the prior overlap."""

    overlap_frames: int = 32


@dataclass(frozen=True)
class NumericsSettings:
    """`mixed`: unknowns and costs in float64, derivatives and matrices in float32."""

    precision: Literal["mixed", "float64", "float32"] = "mixed"


@dataclass(frozen=True)
class UncertaintySettings:
    """Over how many neighboring frames the errors of a detector are alike."""

    correlated_frames: float = 4.0


@dataclass(frozen=True)
class KernelSettings:
    """A robust kernel by name; `scale` in the residual's unit."""

    name: str = "quadratic"
    scale: float = 1.0


@dataclass(frozen=True)
class PenetrationSettings:
    """How hands whose meshes overlap are moved apart."""

    iterations: int = 2  # searches of the meshes for overlap, a solve after each
    clearance_m: float = 0.0015  # left between the surfaces
    weight_factor: float = 10.0  # multiplies the weight of the term `penetration` while hands are moved


@dataclass(frozen=True)
class WithoutPrior:
    """What replaces weights and kernels of a stage where no prior holds the poses."""

    weights: dict[str, float] = field(default_factory=dict)
    kernels: dict[str, KernelSettings] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One solve: what is free, which terms hold and how hard the solver tries.

    With `coarse` the stage is solved twice, first to `coarse_tolerance` and with terms times their factors there.
    """

    name: str = "stage"
    free: list[FreeVariable] = field(default_factory=list)
    pose: Literal["initial", "prior"] = "initial"
    reduction: Literal["sum", "mean"] = "sum"
    share_shape: bool = False  # by the right and the left hand of a person
    steps: int = 40
    tolerance: float = 1e-5
    damping: float = 1e-3
    adam_steps: int = 400
    learning_rate: float = 0.05
    coarse: dict[str, float] = field(default_factory=dict)
    coarse_tolerance: float = 2e-3
    weights: dict[str, float] = field(default_factory=dict)
    kernels: dict[str, KernelSettings] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    without_prior: WithoutPrior = field(default_factory=WithoutPrior)
    resolve_penetration: PenetrationSettings = field(default_factory=PenetrationSettings)


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; `set` are assignments that are applied last, as `--set` takes them."""

    name: str = ""
    description: str = ""
    solver: str = "gauss_newton"
    camera: LensSettings = field(default_factory=LensSettings)
    keypoints: KeypointSettings = field(default_factory=KeypointSettings)
    initializer: InitializerSettings = field(default_factory=InitializerSettings)
    windows: WindowSettings = field(default_factory=WindowSettings)
    numerics: NumericsSettings = field(default_factory=NumericsSettings)
    unseen_frames: UnseenFrameSettings = field(default_factory=UnseenFrameSettings)
    uncertainty: UncertaintySettings = field(default_factory=UncertaintySettings)
    stages: list[Stage] = field(default_factory=list)
    set: list[str] = field(default_factory=list)
