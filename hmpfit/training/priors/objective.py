"""The training objective, plain torch: reconstruction, KL, and a posterior from partly masked motion."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.priors.motion_field import losses
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.priors.motion_field.path_encoder import PathEncoder
from hmpfit.training.priors.masked_gaps import gap_loss, sample_gaps
from hmpfit.training.priors.sample_windows import Batch, disturb


@dataclass(frozen=True)
class PriorLossWeights:
    """Weights of the loss. `rotation`, `orientation` (of the wrist, priors with the global branch only) and `position`
    (L1, meters) are docs/method.md section 5's; the rest is ours.

    Rotation and position are means over frames and joints; the two KL terms are sums over the latent's numbers.
    """

    rotation: float = 1.0
    orientation: float = 1.0
    position: float = 10.0
    kl: float = 2e-5
    kl_warm_up: float = 0.05  # share of the training over which kl rises from 0
    masked: float = 1.0  # weight of the masked posterior's reconstruction, relative to the whole one's
    distillation: float = 2e-5  # KL(posterior of the whole motion || posterior of the masked, disturbed motion)
    gaps: int = 128  # cut into a step's windows for the in-betweener
    frames: int = 48  # decoded per step, drawn anew each step: the field is continuous in time


# The paper's losses alone, on whole windows (docs/method.md section 5: KL over 25 of 1000 epochs); with ours; and alone
# on a quarter of a window's frames, drawn anew each step: the field is continuous in time.
PAPER = PriorLossWeights(kl=1e-5, kl_warm_up=0.025, masked=0.0, distillation=0.0, frames=128)
PAPER_WITH_ADDITIONS = PriorLossWeights(kl=1e-5, kl_warm_up=0.025)
NEMF = replace(PAPER, frames=32)


def step_loss(
    prior: MotionPrior, batch: Batch, weights: PriorLossWeights, progress: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the loss ("total") and its parts for one batch; `progress` in 0..1 drives the KL's warm-up."""
    window = batch.hand_R.shape[1]
    chosen = torch.randperm(window, generator=generator)[: weights.frames].sort().values
    prepared = prior.prepare(prior.frame_times[chosen])
    target_R, counted = batch.hand_R[:, chosen], batch.valid[:, chosen]
    target_points = prior.points(target_R)
    mu, log_var = prior.encode(batch.hand_R, batch.valid)
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype).to(mu.device)
    latents, parts = {"whole": mu + (log_var / 2).exp() * noise}, dict[str, Tensor]()
    if weights.masked or weights.distillation:
        latents["masked"], masked_log_var = prior.encode(disturb(batch.hand_R, generator), batch.shown)
        apart = losses.kl_between(mu.detach(), log_var.detach(), latents["masked"], masked_log_var)
        parts["distillation"] = apart.clamp(max=1e3).sum(-1).mean()
    for name, z in latents.items():
        rot6d = prior.decode_prepared(z, prepared)
        points = prior.points(rotations.from_6d(rot6d))
        parts[f"{name}_rotation"] = _mean(losses.geodesic(rot6d, target_R), counted)
        parts[f"{name}_position"] = _mean(losses.position(points, target_points), counted)
    parts["kl"] = losses.kl_to_standard(mu, log_var).sum(-1).mean()
    warm = min(1.0, progress / weights.kl_warm_up) if weights.kl_warm_up else 1.0
    rebuilt = {
        name: weights.rotation * parts[f"{name}_rotation"] + weights.position * parts[f"{name}_position"]
        for name in latents
    }
    parts["total"] = rebuilt["whole"] + weights.kl * warm * parts["kl"]
    if "masked" in latents:
        parts["total"] = (
            parts["total"] + weights.masked * rebuilt["masked"] + weights.distillation * parts["distillation"]
        )
    if prior.root_encoder is not None:
        rooted = torch.isfinite(batch.root_R).flatten(1).all(1)
        if rooted.any():
            z = (mu + (log_var / 2).exp() * noise)[rooted]
            orientation, root_kl = _root_loss(prior, batch.root_R[rooted], z, chosen, counted[rooted], generator)
            parts |= {"orientation": orientation, "root_kl": root_kl}
            parts["total"] = parts["total"] + weights.orientation * orientation + weights.kl * warm * root_kl
    return parts


def _root_loss(
    prior: MotionPrior, root_R: Tensor, z: Tensor, chosen: Tensor, counted: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return L_ori, the mean angle between true and decoded wrist rotations, and the KL of the root's latent."""
    mu, log_var = prior.encode_root(root_R)
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype).to(mu.device)
    rot6d = prior.decode_root(z, mu + (log_var / 2).exp() * noise, prior.frame_times[chosen])
    angle = losses.geodesic(rot6d, root_R[:, chosen])
    return angle[counted].mean(), losses.kl_to_standard(mu, log_var).sum(-1).mean()


def training_loss(
    prior: MotionPrior, batch: Batch, weights: PriorLossWeights, progress: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the loss ("total") and its parts: the in-betweener of priors with a path, the VAE of those with layers.

    A prior without layers has its codec from statistics, in closed form; only the in-betweener is left to learn.
    """
    parts: dict[str, Tensor] = {}
    total = batch.hand_R.new_zeros(())
    if isinstance(prior.encoder, PathEncoder):
        flipped = bool(torch.rand((), generator=generator) < 0.5)  # motion backwards is motion
        valid = batch.valid.flip(1) if flipped else batch.valid
        hand_R = batch.hand_R.flip(1) if flipped else batch.hand_R
        hand_R = torch.where(valid[..., None, None, None], hand_R, torch.eye(3).to(hand_R))
        with torch.no_grad():
            path = prior.encoder.to_path(prior.pose_vectors(hand_R))
        gaps = sample_gaps(valid, weights.gaps, generator)
        parts |= gap_loss(prior.encoder.gaps, path, gaps, generator)
        total = total + parts["total"]
    if prior.sizes.layers:
        parts |= step_loss(prior, batch, weights, progress, generator)
        total = total + parts["total"]
    return {**parts, "total": total}


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of values [B, T, ...] over the counted frames [B, T]."""
    return values.flatten(2).mean(-1)[counted].mean()
