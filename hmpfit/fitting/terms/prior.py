"""Terms of the motion prior: L_MP of the poster, and the agreement of overlapping windows (ours)."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from hmpfit.interfaces.term import Evidence, Motion, NoOptions, Residual, Term


@dataclass(frozen=True)
class PriorOptions:
    """Options of `prior`; `observed_std` and `latent_dim` hold for the whole fit."""

    form: Literal["posterior", "standard_normal"] = "posterior"
    min_std: float = 1e-3
    observed_std: float | None = None
    latent_dim: int | None = None  # all of them


def latent_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: PriorOptions) -> Residual:
    """Return the latent's standardized distance from its prior, [B, W, L, 1] (L_MP up to a constant).

    Option `form`: "posterior", the poster's N(mu, sigma) of the encoded initial motion, divided by sqrt(2) so that its
    square is the negative log-likelihood; or "standard_normal", what the paper's released runs used. Option `min_std`:
    the least sigma, so that a confident encoder cannot freeze the latent. Two more hold for the whole fit:
    `observed_std`, how far the initial motion may be off where it was seen, radians of white noise; and
    `latent_dim`, how many numbers of the latent the fit has (0: all): few cannot follow landmarks that stray together.
    """
    assert motion.latent is not None and evidence.latent_mean is not None and evidence.latent_std is not None
    values = motion.latent
    if options.form == "posterior":
        values = (values - evidence.latent_mean) / evidence.latent_std.clamp_min(options.min_std)
    values = values * 0.5**0.5
    return Residual(values[..., None], values.new_ones(values.shape))


def overlap_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: NoOptions) -> Residual:
    """Return how far two windows disagree where both cover a frame, [B, T, 90, 1] in 6D rotation numbers (ours)."""
    assert motion.rot6d is not None and evidence.overlap is not None
    values = motion.rot6d[:, :, 0] - motion.rot6d[:, :, 1]
    return Residual(values[..., None], evidence.overlap[..., None].expand(values.shape))


LATENT = Term("prior", "latent", latent_residuals, PriorOptions)
OVERLAP = Term("overlap", "overlap", overlap_residuals)
