"""A mixture of Gaussians over windows of hand motion, with the same interface as the learned motion field.

A window of axis-angle poses is m + A a with PCA coefficients a ~ sum_k w_k N(mu_k, L_k L_k'). Its latent is the
whitened coefficient vector and one number that names the component, so that z ~ N(0, I) decodes to a draw of the
mixture. The paper's "GMM" row has one component, which is plain PCA with its variances ("pca" here).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor, nn

from hmpfit.geometry import rotations
from hmpfit.priors.motion_field import features
from hmpfit.skeleton import MANO_HAND_JOINTS

ANGLES = 3 * len(MANO_HAND_JOINTS)


@dataclass(frozen=True)
class PreparedTimes:
    """What decoding at times [T] needs of them: the mean pose [T, 45] and its change by each coefficient [T, 45, C]."""

    mean: Tensor
    axes: Tensor


class WindowGaussians(nn.Module):
    """The Gaussians themselves: their parameters, which component a latent names, and conditioning on known frames."""

    skeleton: Tensor
    tips: Tensor
    mean: Tensor
    axes: Tensor
    centres: Tensor
    factors: Tensor
    shares: Tensor
    noise: Tensor

    def __init__(
        self, mean: Tensor, axes: Tensor, centres: Tensor, factors: Tensor, shares: Tensor, noise: Tensor,
        skeleton: Tensor, tips: Tensor, fps: float = 30.0, name: str = "gmm", fingerprint: str = "",
    ) -> None:  # fmt: skip
        """Take mean [N, 45], axes [C, N, 45], centres [K, C], lower factors [K, C, C], shares [K], noise [] in radians.

        `noise` is the deviation of an angle from its window's PCA; `skeleton` [16, 3] and `tips` [5, 3] are the hand in
        meters on which figures are measured.
        """
        super().__init__()
        self.name, self.fingerprint, self._fps = name, fingerprint, fps
        buffers = {
            "mean": mean, "axes": axes, "centres": centres, "factors": factors, "shares": shares, "noise": noise,
            "skeleton": skeleton, "tips": tips,
        }  # fmt: skip
        for key, value in buffers.items():
            self.register_buffer(key, value)

    def _names(self) -> Tensor:
        """Return the number that names each component, [K]: the middle of its share of N(0, 1)'s probability."""
        upper = self.shares.cumsum(0)
        return torch.special.ndtri((upper - self.shares / 2).double()).to(self.mean)

    def _component(self, z: Tensor) -> Tensor:
        upper = self.shares.double().cumsum(0)[:-1].to(z.device)
        return torch.searchsorted(upper, torch.special.ndtr(z[:, -1].detach().double()).contiguous())

    def _explain(self, hand_R: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the component [B] that explains the known frames best and the most probable coefficients [B, C].

        Gaussian conditioning with independent noise on the known angles: precision of a given them is
        Sigma_k^-1 + A A' / noise^2, and a component's evidence follows from its determinant and the completed square.
        """
        known = mask.repeat_interleave(ANGLES, dim=1).to(self.mean)
        eye = torch.eye(3, dtype=hand_R.dtype, device=hand_R.device)
        angles = rotations.log(torch.where(mask[..., None, None, None], hand_R, eye)).to(self.mean).flatten(1)
        axes, variance = self.axes.flatten(1), self.noise**2
        seen = axes * known[:, None]
        gram = seen @ axes.T / variance
        pull = (seen @ (angles - self.mean.flatten())[..., None])[..., 0] / variance
        unit = torch.eye(len(axes)).to(self.mean)
        inverse = torch.linalg.solve_triangular(self.factors, unit.expand_as(self.factors), upper=False)
        precision = inverse.mT @ inverse  # [K, C, C]
        by_center = (precision @ self.centres[..., None])[..., 0]
        root = torch.linalg.cholesky(precision + gram[:, None])  # [B, K, C, C]
        found = torch.cholesky_solve((pull[:, None] + by_center)[..., None], root)[..., 0]
        half_log = torch.diagonal(root, dim1=-2, dim2=-1).log().sum(-1)
        own_log = torch.diagonal(inverse, dim1=-2, dim2=-1).log().sum(-1)
        square = (found * (pull[:, None] + by_center)).sum(-1) - (self.centres * by_center).sum(-1)
        evidence = self.shares.log() + own_log - half_log + 0.5 * square
        component = evidence.argmax(-1)
        return component, found[torch.arange(len(component)), component]


class GaussianMixture(WindowGaussians):
    """Gaussians over PCA coefficients of windows; satisfies the fit's `MotionPriorLike`.

    The negative log-likelihood is a least-squares term. With z = L_k^-1 (a - mu_k),
    -log(w_k N(a; mu_k, L_k L_k')) = |z|^2 / 2 + log det L_k - log w_k + const, and k does not change during a fit
    (decoding is piecewise constant in the number that names it, and the term pulls that number to where it is). So up
    to a constant the objective is the squared norm of z, what `terms/prior.py` computes for mean 0 and deviation 1.
    It bounds the mixture's own -log sum_k from above, equal where one component is responsible.
    """

    @property
    def window_frames(self) -> int:
        """Frames of a window at the prior's own rate."""
        return len(self.mean)

    @property
    def fps(self) -> float:
        """Frames per second of a window."""
        return self._fps

    @property
    def latent_dim(self) -> int:
        """Numbers of z: one per coefficient and one that names the component."""
        return len(self.axes) + 1

    def truncated(self, latent_dim: int) -> "GaussianMixture":
        """Return the prior itself: its coefficients are few, and those of a component belong together."""
        return self

    @property
    def has_path(self) -> bool:
        """Whether `decode_path_jacobian` applies: no."""
        return False

    @property
    def frame_times(self) -> Tensor:
        """Times in seconds of the window's own frames, [window_frames]."""
        return torch.arange(self.window_frames, dtype=self.mean.dtype, device=self.mean.device) / self.fps

    def encode(self, hand_R: Tensor, mask: Tensor, observed_std: float | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log variance [B, L] of z for the prior term: 0 and 1, and the window's component by name.

        Unlike a learned encoder's, this is no posterior: the Gaussians know no more than the likelihood of whole
        windows, whatever `observed_std` is. `start` has the coefficients.
        """
        component, _ = self._explain(hand_R, mask)
        mean = torch.zeros(len(hand_R), self.latent_dim, dtype=self.mean.dtype, device=self.mean.device)
        mean[:, -1] = self._names()[component]
        return mean, torch.zeros_like(mean)

    def start(self, hand_R: Tensor, mask: Tensor, observed_std: float | None = None) -> Tensor:
        """Return the most probable z [B, L] given the known frames of windows [B, N, 15, 3, 3], mask [B, N].

        Known angles are as noisy as the windows are about their PCA, whatever `observed_std` is.
        """
        component, coefficients = self._explain(hand_R, mask)
        away = (coefficients - self.centres[component])[..., None]
        z = torch.linalg.solve_triangular(self.factors[component], away, upper=False)[..., 0]
        return torch.cat((z, self._names()[component, None]), dim=-1)

    def complete(self, hand_R: Tensor, mask: Tensor) -> Tensor:
        """Return windows [B, N, 15, 3, 3] with their unknown frames decoded; known ones, mask [B, N], stay."""
        found = rotations.from_6d(self.decode(self.start(hand_R, mask), self.frame_times))
        return torch.where(mask[..., None, None, None], hand_R, found)

    def prepare(self, t: Tensor) -> PreparedTimes:
        """Interpolate mean and axes at times t [T] in seconds by a cubic spline; beyond the end nothing moves."""
        frames = np.arange(self.window_frames)
        at = np.clip(t.detach().double().cpu().numpy() * self.fps, 0, frames[-1])
        weights = torch.as_tensor(CubicSpline(frames, np.eye(len(frames)))(at)).to(self.mean)
        return PreparedTimes(weights @ self.mean, torch.einsum("tn,cna->tac", weights, self.axes))

    def decode(self, z: Tensor, t: Tensor) -> Tensor:
        """Return the 6D rotations [B, T, 15, 6] of latents z [B, L] at any times t [T], seconds from its start."""
        return self.decode_prepared(z, self.prepare(t))

    def decode_prepared(self, z: Tensor, prepared: PreparedTimes) -> Tensor:
        """Do what `decode` does, cheaper: [B, T, 15, 6]."""
        return rotations.to_6d(rotations.exp(self._angles(z, prepared)))

    def decode_jacobian(self, z: Tensor, prepared: PreparedTimes) -> tuple[Tensor, Tensor]:
        """Return (rot6d [B, T, 15, 6], d rot6d / d z [B, T, 90, L]), exact; the naming number moves nothing."""
        angles = self._angles(z, prepared)
        rot6d, by_angle = rotations.exp_to_6d_jacobian(angles)
        by_coefficient = by_angle @ prepared.axes.unflatten(1, (-1, 3))  # [B, T, 15, 6, C]
        rows = by_coefficient.flatten(2, 3) @ self.factors[self._component(z)][:, None]
        return rot6d, torch.cat((rows, torch.zeros_like(rows[..., :1])), dim=-1)

    def points(self, hand_R: Tensor) -> Tensor:
        """Pose the measuring hand: hand_R [..., 15, 3, 3] -> [..., 21, 3] MANO-21 order, meters from the wrist."""
        return features.points(hand_R, self.skeleton, self.tips)[0]

    def log_likelihood(self, z: Tensor) -> Tensor:
        """Return log(w_k N(a; mu_k, Sigma_k)) of z's own component, [B]: -|z|^2 / 2 up to that component's constant."""
        component, size = self._component(z), len(self.axes)
        determinant = torch.diagonal(self.factors, dim1=-2, dim2=-1).log().sum(-1)
        normal = 0.5 * (z[:, :-1] ** 2).sum(-1) + determinant[component] + 0.5 * size * np.log(2 * np.pi)
        return self.shares.log()[component] - normal

    def as_one(self, name: str = "pca") -> "GaussianMixture":
        """Return the single Gaussian with the mixture's mean and covariance: plain PCA with its variances.

        Expectation maximisation keeps the first two moments of the data, so this is also what one component would fit.
        """
        center = self.shares @ self.centres
        away = self.centres - center
        covariance = self.factors @ self.factors.mT + away[:, :, None] * away[:, None, :]
        factor = torch.linalg.cholesky((self.shares[:, None, None] * covariance).sum(0).double()).to(self.mean)
        return GaussianMixture(
            self.mean, self.axes, center[None], factor[None], torch.ones_like(self.shares[:1]), self.noise,
            self.skeleton, self.tips, self.fps, name, self.fingerprint,
        )  # fmt: skip

    def _angles(self, z: Tensor, prepared: PreparedTimes) -> Tensor:
        component = self._component(z)
        coefficients = self.centres[component] + (self.factors[component] @ z[:, :-1, None])[..., 0]
        angles = prepared.mean + torch.einsum("tac,bc->bta", prepared.axes, coefficients)
        return angles.unflatten(-1, (-1, 3))
