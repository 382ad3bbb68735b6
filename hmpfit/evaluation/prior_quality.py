"""How well a motion prior reconstructs, in-betweens, resamples and invents motion that it never saw.

Errors are of 21 wrist-relative joints on the prior's own hand, in millimetres. In-betweening: the posterior mean of the
visible frames ("prior"), and z refined on those as stage II would ("refined"). Beside it SLERP, and two Gaussian models
of whole windows in PCA space, one component ("pca") and several ("gmm"), conditioned on the visible frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmpfit.errors import MissingExtraError
from hmpfit.geometry import rotations
from hmpfit.geometry.alignment import similarity_aligned
from hmpfit.hands.joint_limits import LIMITS
from hmpfit.priors.motion_field import features
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.records import Floats

GAPS = (5, 15, 30, 60)
TRIALS = 3  # gaps drawn per window and length
RATES = (60.0, 120.0)  # frames per second to decode at
SAMPLES = 64
COEFFICIENTS = 64  # of the baselines' PCA (the paper's)
_REFINE_STEPS, _REFINE_STD, _LEAST_STD = 3, 0.03, 0.02
_OBSERVED_STD = 0.03  # rad, of a visible angle, for the Gaussian baselines
_EDGE = 5  # visible frames at least on either side of a gap

Fill = Callable[[Tensor, Tensor], Tensor]  # rotations [T, 15, 3, 3], known [T] -> all frames filled


@dataclass(frozen=True)
class Window:
    """A window of motion: rotations [T, 15, 3, 3] and which frames are known [T]."""

    name: str
    hand_R: Tensor
    known: Tensor


def windows_of(name: str, hand_pose: Floats, valid: np.ndarray, frames: int) -> list[Window]:
    """Cut a motion [T, 15, 3] into half-overlapping windows; short ones are padded with unknown frames."""
    found = []
    for start in range(0, max(len(hand_pose) - frames // 2, 1), frames // 2):
        pose, known = np.zeros((frames, 15, 3)), np.zeros(frames, dtype=bool)
        piece = hand_pose[start : start + frames]
        pose[: len(piece)], known[: len(piece)] = np.nan_to_num(piece), valid[start : start + frames]
        if known.sum() > 30:
            found.append(
                Window(name, rotations.exp(torch.as_tensor(pose, dtype=torch.float32)), torch.as_tensor(known))
            )
    return found


@torch.no_grad()
def measure(
    prior: MotionPrior, windows: Sequence[Window], baseline: Sequence[Floats], on_window: Callable[[int], None]
) -> dict[str, Any]:
    """Return the figures of a prior on windows; `baseline` are poses [128, 15, 3] that PCA and mixture are fitted to.

    Keys: mpjpe_mm, pa_mpjpe_mm, acceleration_mm_per_frame2, gaps {length: {prior, refined, slerp, pca, gmm, ratio}},
    rates {fps: mpjpe_mm}, sample_violations (share of angles outside the joint limits), files.
    """
    fills: dict[str, Fill] = {
        "prior": lambda R, known: _posterior(prior, R, known, False),
        "refined": lambda R, known: _posterior(prior, R, known, True),
        "slerp": _slerp,
    }
    if len(baseline) > COEFFICIENTS:
        flat = np.stack([np.asarray(pose, dtype=np.float64).reshape(-1) for pose in baseline])
        fills["pca"], fills["gmm"] = (_Gaussians.fit(flat, count).fill for count in (1, 4))
    whole: dict[str, list[float]] = {"mpjpe": [], "pa": [], "acceleration": []}
    gaps: dict[int, dict[str, list[float]]] = {gap: {name: [] for name in fills} for gap in GAPS}
    generators = {gap: np.random.default_rng(gap) for gap in GAPS}
    for window in windows:
        found = _posterior(prior, window.hand_R, window.known, False)
        points, truth = (prior.points(R)[window.known].double().numpy() for R in (found, window.hand_R))
        whole["mpjpe"].append(_mm(points, truth))
        whole["pa"].append(_mm(similarity_aligned(points, truth), truth))
        whole["acceleration"].append(_mm(np.diff(points, 2, axis=0), np.diff(truth, 2, axis=0)))
        for gap in GAPS:
            for shown in _gapped(window.known, gap, generators[gap]):
                hidden = window.known & ~shown
                for name, fill in fills.items():
                    filled = prior.points(fill(window.hand_R, shown))[hidden]
                    gaps[gap][name].append(
                        _mm(filled.double().numpy(), prior.points(window.hand_R)[hidden].double().numpy())
                    )
        on_window(1)
    table = {str(gap): {name: _mean(errors) for name, errors in by.items()} for gap, by in gaps.items()}
    for row in table.values():
        row["ratio_to_slerp"] = row["prior"] / row["slerp"] if row["slerp"] else float("nan")
    return {
        "mpjpe_mm": _mean(whole["mpjpe"]),
        "pa_mpjpe_mm": _mean(whole["pa"]),
        "acceleration_mm_per_frame2": _mean(whole["acceleration"]),
        "windows": len(windows),
        "gaps": table,
        "sample_violations": violations(prior),
        "files": sorted({window.name for window in windows}),
    }


@torch.no_grad()
def rate_errors(prior: MotionPrior, poses: dict[float, Sequence[Floats]]) -> dict[str, float]:
    """Return the error in mm of decoding at other frame rates, encoded from the prior's own.

    `poses` holds, per rate, motions [T, 15, 3] of one window's length at that rate (a multiple of the prior's).
    """
    out = {}
    for rate, motions in poses.items():
        step, errors = round(rate / prior.fps), []
        for pose in motions:
            hand_R = rotations.exp(torch.as_tensor(np.asarray(pose), dtype=torch.float32))
            coarse = hand_R[::step][: prior.window_frames]
            known = torch.ones(len(coarse), dtype=torch.bool)
            mean, _ = prior.encode(coarse[None], known[None])
            last = (len(coarse) - 1) * step + 1
            times = torch.arange(last, dtype=torch.float32) / rate
            decoded = rotations.from_6d(prior.decode(mean, times))[0]
            errors.append(_mm(prior.points(decoded).numpy(), prior.points(hand_R[:last]).numpy()))
        out[f"{rate:g}"] = _mean(errors)
    return out


@torch.no_grad()
def violations(prior: MotionPrior, seed: int = 0) -> float:
    """Return the share of finger angles outside the joint limits in motion decoded from z ~ N(0, I)."""
    z = torch.randn(SAMPLES, prior.latent_size, generator=torch.Generator().manual_seed(seed))
    decoded = rotations.log(rotations.from_6d(prior.decode(z, prior.frame_times))).numpy()
    limits = np.asarray(LIMITS)
    outside = (decoded < limits[..., 0]) | (decoded > limits[..., 1])
    return float(outside.mean())


def _gapped(known: Tensor, gap: int, generator: np.random.Generator) -> list[Tensor]:
    frames = np.flatnonzero(known.numpy())
    low, high = frames[0] + _EDGE, frames[-1] - gap - _EDGE + 2
    if high <= low:
        return []
    masks = []
    for start in generator.integers(low, high, TRIALS):
        shown = known.clone()
        shown[start : start + gap] = False
        masks.append(shown)
    return masks


def _posterior(prior: MotionPrior, hand_R: Tensor, known: Tensor, refine: bool) -> Tensor:
    """Encode the visible frames and decode all; `refine` moves z towards them by Gauss-Newton under its posterior."""
    mean, log_var = prior.encode(hand_R[None], known[None])
    prepared, z = prior.prepare(prior.frame_times), mean.clone()
    weight = known.float().repeat_interleave(90) / _REFINE_STD**2
    precision = (log_var / 2).exp().clamp(min=_LEAST_STD)[0] ** -2
    for _ in range(_REFINE_STEPS if refine else 0):
        six, jacobian = prior.decode_jacobian(z, prepared)
        rows = jacobian[0].flatten(0, 1)
        normal = rows.T @ (rows * weight[:, None]) + torch.diag(precision)
        seen = torch.where(known[:, None], rotations.to_6d(hand_R).flatten(1), six[0].flatten(1)).flatten()
        gradient = rows.T @ (weight * (six.flatten() - seen)) + precision * (z - mean)[0]
        z = z - torch.linalg.solve(normal, gradient)
    return rotations.from_6d(prior.decode_prepared(z, prepared))[0]


def _slerp(hand_R: Tensor, known: Tensor) -> Tensor:
    last, following, fraction = features._bracket(known[None])
    first = hand_R[last[0]]
    blended = rotations.slerp(first, hand_R[following[0]], fraction[0, :, None].expand(first.shape[:2]).float())
    return torch.where(known[:, None, None, None], hand_R, blended)


@dataclass(frozen=True)
class _Gaussians:
    """A mixture of full-covariance Gaussians on PCA coefficients of whole windows of axis-angle."""

    mean: Floats  # [5760]
    axes: Floats  # [64, 5760]
    centres: Floats  # [K, 64]
    precisions: Floats  # [K, 64, 64]
    log_weights: Floats  # [K] with the Gaussians' normalising terms

    @classmethod
    def fit(cls, flat: Floats, components: int) -> "_Gaussians":
        try:
            from sklearn.decomposition import PCA
            from sklearn.mixture import GaussianMixture
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "the baselines of eval-prior", "scikit-learn", "pip install scikit-learn"
            ) from error

        reduced = PCA(min(COEFFICIENTS, len(flat) - 1), random_state=0).fit(flat)
        coefficients = reduced.transform(flat)
        mixture = GaussianMixture(components, reg_covar=1e-3, random_state=0).fit(coefficients)
        spread = 0.5 * np.linalg.slogdet(mixture.precisions_)[1]
        return cls(
            reduced.mean_, reduced.components_, mixture.means_, mixture.precisions_, np.log(mixture.weights_) + spread
        )

    def fill(self, hand_R: Tensor, known: Tensor) -> Tensor:
        """Fill by the most probable component's coefficients given the visible frames."""
        pose = rotations.log(hand_R).double().numpy().reshape(len(known), -1)
        visible = np.repeat(known.numpy(), pose.shape[1])
        axes = self.axes[:, visible] / _OBSERVED_STD
        target = (pose.reshape(-1) - self.mean)[visible] / _OBSERVED_STD
        best, chosen = np.inf, self.centres[0]
        for centre, precision, weight in zip(self.centres, self.precisions, self.log_weights, strict=True):
            found = np.linalg.solve(axes @ axes.T + precision, axes @ target + precision @ centre)
            away = found - centre
            cost = 0.5 * (((axes.T @ found - target) ** 2).sum() + away @ precision @ away) - weight
            if cost < best:
                best, chosen = cost, found
        filled = (self.mean + chosen @ self.axes).reshape(len(known), 15, 3)
        return rotations.exp(torch.as_tensor(filled, dtype=torch.float32))


def _mm(found: Floats, true: Floats) -> float:
    return float(np.linalg.norm(found - true, axis=-1).mean() * 1e3)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
