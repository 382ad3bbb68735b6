"""Initialize training: statistics of the data and, for priors with a latent path, the best linear codec of it.

The codec is PCA over poses and cosines over time, the most energetic coefficients kept, scaled to unit variance: what
the network then learns is only what a linear transform cannot do. Training from it is short enough for one CPU core.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from hmpfit.priors.motion_field import features
from hmpfit.priors.motion_field.decoder import JOINTS
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.priors.motion_field.path_encoder import PathEncoder
from hmpfit.skeleton import MANO_HAND_JOINTS
from hmpfit.training.priors.sample_windows import Batch

# Turning a joint moves what hangs on it: relative lever arms of a finger's joints weigh rotations in the PCA.
LEVER = {"1": 1.0, "2": 0.6, "3": 0.35}
SMALLEST_STD = 1e-3
LEAST_WHOLE = 16


def whole_windows(batch: Batch) -> Tensor:
    """Return the windows [N, T, 15, 3, 3] of which every frame is true motion; all, where hardly any is."""
    whole = batch.valid.all(1)
    return batch.hand_R[whole] if int(whole.sum()) >= LEAST_WHOLE else batch.hand_R


@torch.no_grad()
def start_from_data(prior: MotionPrior, hand_R: Tensor) -> None:
    """Set a prior's statistics, and its linear codec where it has one, from windows hand_R [N, T, 15, 3, 3]."""
    raw = features.encoder_features(hand_R, prior.skeleton, prior.tips, prior.fps).flatten(0, 1)
    prior.feature_mean.copy_(raw.mean(0))
    prior.feature_std.copy_(raw.std(0).clamp(min=SMALLEST_STD).where(raw.std(0) > SMALLEST_STD, torch.ones(())))
    numbers = prior.pose_vectors(hand_R)
    decoder, encoder, sizes = prior.decoder, prior.encoder, prior.sizes
    mean = numbers.flatten(0, 1).mean(0)
    first = decoder.joint_values * (decoder.joints - JOINTS)
    decoder.out.bias[first:] = mean
    if not isinstance(encoder, PathEncoder):
        return
    lever = torch.tensor([LEVER[name[-1]] for name in MANO_HAND_JOINTS]).repeat_interleave(decoder.joint_values)
    weighted = (numbers - mean) * lever
    _, _, axes = torch.linalg.svd(weighted.flatten(0, 1)[:: max(1, len(hand_R) // 200)], full_matrices=False)
    axes = axes[: sizes.path_channels]
    waves = decoder.waves(prior._to_field(prior.frame_times))
    path = weighted @ axes.T
    spectrum = torch.einsum("tk,ntc->nkc", waves, path) / len(waves)
    std = spectrum.square().mean(0).sqrt()
    kept = std.flatten().topk(sizes.latent).indices
    scale = std.flatten()[kept].clamp(min=SMALLEST_STD)
    rows = torch.arange(sizes.latent)
    decoder.path_basis.zero_()
    decoder.path_basis.flatten(1)[rows, kept] = scale
    if sizes.layers:
        decoder.skip.weight[first:] = (axes / lever).T
        decoder.layers[0].weight[:, : sizes.path_channels] /= std.square().sum(0).sqrt().clamp(min=SMALLEST_STD)  # type: ignore[index,operator]
        decoder.out.weight.zero_()  # the network starts as a correction of zero
    else:
        decoder.out.weight[first:] = (axes / lever).T
    encoder.gaps.spread.copy_(path.std((0, 1)).clamp(min=SMALLEST_STD))
    encoder.to_path.weight.copy_(axes * lever)
    encoder.to_path.bias.copy_(-(axes * lever) @ mean)
    encoder.to_latent.weight.zero_()
    encoder.to_latent.weight[rows, kept] = 1 / scale


@torch.no_grad()
def refit_codec(prior: MotionPrior, hand_R: Tensor) -> None:
    """Set statistics and linear codec of a trained prior anew, from windows hand_R [N, T, 15, 3, 3] of known frames.

    Each new channel takes the place and the sign of the former one that it is most like, so that the in-betweening
    network, which knows channels by their place, goes on from where it was.
    """
    encoder, decoder = prior.encoder, prior.decoder
    assert isinstance(encoder, PathEncoder)
    before = torch.nn.functional.normalize(encoder.to_path.weight.clone(), dim=1)
    start_from_data(prior, hand_R)
    alike = before @ torch.nn.functional.normalize(encoder.to_path.weight, dim=1).T  # [former, new]
    places = torch.as_tensor(linear_sum_assignment(-alike.abs().numpy())[1])
    sign = alike[torch.arange(len(places)), places].sign()
    encoder.to_path.weight.copy_(encoder.to_path.weight[places] * sign[:, None])
    encoder.to_path.bias.copy_(encoder.to_path.bias[places] * sign)
    decoder.out.weight.copy_(decoder.out.weight[:, places] * sign)
    decoder.path_basis.copy_(decoder.path_basis[..., places] * sign)
    by_channel = encoder.to_latent.weight.unflatten(1, (-1, len(places)))
    encoder.to_latent.weight.copy_((by_channel[..., places] * sign).flatten(1))
    encoder.gaps.spread.copy_(encoder.gaps.spread[places])
