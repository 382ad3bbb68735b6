"""The family `priors`: a model of finger motion that decodes a window from few numbers (`--prior NAME`)."""

from typing import Any, Protocol

from torch import Tensor


class MotionPriorLike(Protocol):
    """What the fit needs of a motion prior (`priors.motion_field` has the one that ships)."""

    name: str
    fingerprint: str  # of its weights: part of a run's identity

    @property
    def window_frames(self) -> int:
        """Frames of a window."""

    @property
    def fps(self) -> float:
        """Frames a second of a window."""

    @property
    def latent_dim(self) -> int:
        """Numbers that describe a window, L."""

    def encode(self, hand_R: Tensor, mask: Tensor, observed_std: float | None = None) -> tuple[Tensor, Tensor]:
        """Encode windows [B, N, 15, 3, 3] with known frames [B, N] to mean and log variance [B, L].

        `observed_std` is how far known frames may be off, radians of white noise; None, or a prior that learned how
        wide its posterior is: the prior's own.
        """

    def start(self, hand_R: Tensor, mask: Tensor, observed_std: float | None = None) -> Tensor:
        """Return the latents [B, L] that best explain the known frames of such windows: where a fit starts."""

    def prepare(self, t: Tensor) -> Any:
        """Precompute what depends on the times [N] (seconds from the window's start) alone."""

    def decode_prepared(self, z: Tensor, prepared: Any) -> Tensor:
        """Decode latents [B, L] to 6D joint rotations [B, N, 15, 6]."""

    def decode_jacobian(self, z: Tensor, prepared: Any) -> tuple[Tensor, Tensor]:
        """Decode, and return the exact derivative [B, N, 90, L] as well."""

    def truncated(self, latent_dim: int) -> "MotionPriorLike":
        """Return the prior with at most so many numbers (0: all), where it has them in the order of what they move."""

    @property
    def has_path(self) -> bool:
        """Whether z acts through a code c(t) of C numbers that is linear in z: then it is a `PathPriorLike`."""


class PathPriorLike(MotionPriorLike, Protocol):
    """A prior whose latents act through a code over time, which makes derivatives cheaper."""

    def decode_path_jacobian(self, z: Tensor, prepared: Any) -> tuple[Tensor, Tensor]:
        """Decode, and return d rot6d / d c [B, N, 90, C]; d c / d z is `prepared.path` [N, C, L]."""


class LoadPrior(Protocol):
    """A plug-in of the family: a function without arguments."""

    def __call__(self) -> MotionPriorLike:
        """Return the prior, in float32 and evaluation mode where it is a network."""
