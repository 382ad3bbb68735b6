"""Terms of the motion prior: L_MP of the poster, and the agreement of overlapping windows (ours)."""

from typing import Any

from torch import Tensor

from hmpfit.errors import UnknownNameError
from hmpfit.fitting.term import Evidence, Motion, Residual, Term

FORMS = ("posterior", "standard_normal")


def latent_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: dict[str, Any]) -> Residual:
    """Return the latent's standardized distance from its prior, [B, W, L, 1] (L_MP up to a constant).

    Option `form`: "posterior", the poster's N(mu, sigma) of the encoded initial motion, divided by sqrt(2) so that its
    square is the negative log-likelihood; or "standard_normal", what the paper's released runs used. Option `min_std`:
    the least sigma, so that a confident encoder cannot freeze the latent. Two more hold for the whole fit:
    `observed_std`, how far the initial motion may be off where it was seen, radians of white noise; and
    `latent_dim`, how many numbers of the latent the fit has (0: all): few cannot follow landmarks that stray together.
    """
    form = options.get("form", "posterior")
    if form not in FORMS:
        raise UnknownNameError("form of the prior term", form, FORMS)
    assert motion.latent is not None and evidence.latent_mean is not None and evidence.latent_std is not None
    values = motion.latent
    if form == "posterior":
        values = (values - evidence.latent_mean) / evidence.latent_std.clamp_min(options.get("min_std", 1e-3))
    values = values * 0.5**0.5
    return Residual(values[..., None], values.new_ones(values.shape))


def overlap_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: dict[str, Any]) -> Residual:
    """Return how far two windows disagree where both cover a frame, [B, T, 90, 1] in 6D rotation numbers (ours)."""
    assert motion.rot6d is not None and evidence.overlap is not None
    values = motion.rot6d[:, :, 0] - motion.rot6d[:, :, 1]
    return Residual(values[..., None], evidence.overlap[..., None].expand(values.shape))


LATENT = Term("prior", "latent", latent_residuals, options=("form", "min_std", "observed_std", "latent_dim"))
OVERLAP = Term("overlap", "overlap", overlap_residuals)
