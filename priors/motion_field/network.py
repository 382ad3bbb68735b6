"""The motion prior as fitting and training see it: encoder, decoder, skeleton and statistics in one module."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from hmpfit.geometry import rotations
from hmpfit.priors.motion_field import features
from hmpfit.priors.motion_field.decoder import JOINTS, Decoder, Prepared
from hmpfit.priors.motion_field.encoder import Encoder, RootEncoder
from hmpfit.priors.motion_field.path_encoder import PathEncoder
from hmpfit.priors.motion_field.root_branch import RootBranch
from hmpfit.priors.motion_field.sizes import SMALL, Sizes
from hmpfit.skeleton import MANO_JOINTS, MANO_TIPS

# A hand of round numbers in MANO's canonical frame (meters): what an untrained prior poses until it is given one.
_ROUND_HAND = {
    "index": (-0.088, 0.000, 0.022, (0.034, 0.023, 0.022)),
    "middle": (-0.090, 0.002, 0.000, (0.038, 0.026, 0.023)),
    "ring": (-0.082, 0.000, -0.019, (0.035, 0.024, 0.022)),
    "pinky": (-0.071, -0.004, -0.037, (0.025, 0.017, 0.019)),
}
_ROUND_THUMB = ((-0.022, -0.012, 0.024), (-0.046, -0.020, 0.045), (-0.068, -0.026, 0.062), (-0.086, -0.030, 0.080))


class MotionEncoder(nn.Module):
    """What a prior is made of, and windows of motion as latents; `MotionPrior` decodes them."""

    skeleton: Tensor
    tips: Tensor
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, sizes: Sizes = SMALL, name: str = "untrained", fingerprint: str = "") -> None:
        super().__init__()
        self.sizes, self.name, self.fingerprint = sizes, name, fingerprint
        self.decoder = Decoder(sizes)
        self.encoder = PathEncoder(sizes, self.decoder.joint_values * JOINTS) if sizes.path_channels else Encoder(sizes)
        self.root_encoder = RootEncoder(sizes) if sizes.root_latent else None
        self.root_branch = RootBranch(sizes) if sizes.root_latent else None
        skeleton, tips = round_hand()
        self.register_buffer("skeleton", skeleton)
        self.register_buffer("tips", tips)
        self.register_buffer("feature_mean", torch.zeros(len(MANO_JOINTS), features.CHANNELS))
        self.register_buffer("feature_std", torch.ones(len(MANO_JOINTS), features.CHANNELS))

    @property
    def window_frames(self) -> int:
        """Frames of one window at the prior's own rate."""
        return self.sizes.window_frames

    @property
    def fps(self) -> float:
        """Frames per second of a window as `encode` takes it."""
        return self.sizes.fps

    @property
    def latent_dim(self) -> int:
        """Length L of z."""
        return self.sizes.latent

    @property
    def frame_times(self) -> Tensor:
        """Times in seconds of the window's own frames, [window_frames]."""
        return torch.arange(self.window_frames, dtype=self.skeleton.dtype, device=self.skeleton.device) / self.fps

    def encode(self, hand_R: Tensor, mask: Tensor, observed_std: float | None = None) -> tuple[Tensor, Tensor]:
        """Return the posterior (mu, log_var), each [B, L], of windows hand_R [B, window_frames, 15, 3, 3].

        mask [B, window_frames] is True where a frame is known; what unknown frames hold is never read. `observed_std`
        is the noise of known frames in radians, for priors with a latent path; None: the sizes' own.
        """
        assert hand_R.shape[1] == self.window_frames, "encode takes whole windows; mask what is missing"
        if isinstance(self.encoder, PathEncoder):
            numbers = self.pose_vectors(self._nothing_unknown(hand_R, mask))
            return self.encoder(numbers, mask, self._frame_waves(), self.decoder.path_basis, observed_std)
        filled = features.interpolate_unknown(hand_R, mask)
        x = features.encoder_features(filled, self.skeleton, self.tips, self.fps)
        x = (x - self.feature_mean) / self.feature_std
        return self.encoder(x, *features.gap_distances(mask))

    def pose_vectors(self, hand_R: Tensor) -> Tensor:
        """Return rotations [..., 15, 3, 3] in the decoder's numbers, axis-angle or 6D, [..., 45 or 90]."""
        return (rotations.log(hand_R) if self.sizes.angles else rotations.to_6d(hand_R)).flatten(-2)

    def encode_root(self, root_R: Tensor) -> tuple[Tensor, Tensor]:
        """Return (mu, log_var) [B, root_latent] of wrist rotations [B, window_frames, 3, 3]; `paper` size only."""
        assert self.root_encoder is not None
        return self.root_encoder(features.root_features(root_R, self.fps))

    def decode_root(self, z: Tensor, z_root: Tensor, t: Tensor) -> Tensor:
        """Return the wrist's 6D rotations [B, T, 6] at times t [T], seconds (global branch); `paper` size only."""
        assert self.root_branch is not None
        field_t = self._to_field(t)
        hidden, _ = self.decoder.hidden(z, field_t)
        return self.root_branch(hidden, self.decoder.gamma(field_t), z, z_root)

    def start(self, hand_R: Tensor, mask: Tensor, observed_std: float | None = None) -> Tensor:
        """Return the latent [B, L] that decodes to windows as `encode` takes them: where a fit starts.

        The posterior's mean; of a prior with a latent path and known frames that are not said to be off, the path's
        own latent, which doubts none of them.
        """
        if isinstance(self.encoder, PathEncoder) and observed_std is None:
            return self.encoder.latent(
                self.pose_vectors(self._nothing_unknown(hand_R, mask)), mask, self._frame_waves()
            )
        return self.encode(hand_R, mask, observed_std)[0]

    def points(self, hand_R: Tensor) -> Tensor:
        """Pose the prior's own hand: hand_R [..., 15, 3, 3] -> [..., 21, 3] MANO-21 order, meters from the wrist."""
        return features.points(hand_R, self.skeleton, self.tips)[0]

    @staticmethod
    def _nothing_unknown(hand_R: Tensor, mask: Tensor) -> Tensor:
        """Put the identity where a frame is unknown, so that nothing there is ever read."""
        return torch.where(mask[..., None, None, None], hand_R, torch.eye(3, dtype=hand_R.dtype, device=hand_R.device))

    def _frame_waves(self) -> Tensor:
        return self.decoder.waves(self._to_field(self.frame_times))

    def _to_field(self, t: Tensor) -> Tensor:
        return t * (2 * self.fps / self.window_frames) - 1


class MotionPrior(MotionEncoder):
    """NeMF-based VAE over windows of hand motion (Kocabas et al. 2024 on He et al. 2022), docs/method.md section 5.

    Rotations are right-hand, local, [.., 15, 3, 3] in MANO_HAND_JOINTS order. `skeleton` [16, 3] and `tips` [5, 3] are
    the prior's own rest hand in meters, whatever hand is being fitted.
    """

    def complete(self, hand_R: Tensor, mask: Tensor) -> Tensor:
        """Return windows [B, N, 15, 3, 3] with their unknown frames filled; known ones, mask [B, N], stay as they are.

        A prior without a latent path decodes its posterior's mean there.
        """
        if isinstance(self.encoder, PathEncoder):
            numbers = self.pose_vectors(self._nothing_unknown(hand_R, mask))
            filled = self.encoder.complete(numbers, mask, self.decoder.by_path())
            filled = filled.unflatten(-1, (JOINTS, -1))
            found = rotations.exp(filled) if self.sizes.angles else rotations.from_6d(filled)
        else:
            found = rotations.from_6d(self.decode(self.encode(hand_R, mask)[0], self.frame_times))
        return torch.where(mask[..., None, None, None], hand_R, found)

    def decode(self, z: Tensor, t: Tensor) -> Tensor:
        """Return the 6D rotations [B, T, 15, 6] of latents z [B, L] at any times t [T], seconds from its start."""
        return self.decoder(z, self._to_field(t))

    def prepare(self, t: Tensor) -> Prepared:
        """Precompute what decoding at times t [T] (seconds) needs of them; make it anew when weights change."""
        return self.decoder.prepare(self._to_field(t))

    def decode_prepared(self, z: Tensor, prepared: Prepared) -> Tensor:
        """Do what `decode` does, cheaper: [B, T, 15, 6]."""
        return self.decoder.decode_prepared(z, prepared)

    @torch.no_grad()
    def decode_jacobian(
        self, z: Tensor, prepared: Prepared, rows: Tensor | slice | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (rot6d [B, T, 15, 6], d rot6d / d z [B, T', 90, L]), exact; `rows` picks the Jacobian's frames T'."""
        if rows is None:
            return self.decoder.jacobian(z, prepared)
        return self.decode_prepared(z, prepared), self.decoder.jacobian(z, prepared.subset(rows))[1]

    @torch.no_grad()
    def decode_path_jacobian(self, z: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """Return (rot6d [B, T, 15, 6], d rot6d / d c [B, T, 90, C]) of a prior with a latent path c(t).

        d rot6d / d z = this @ prepared.path [T, C, L]. Only for `has_path` priors.
        """
        return self.decoder.path_jacobian(z, prepared)

    def truncated(self, latent_dim: int) -> "MotionPrior":
        """Return this prior with the first `latent_dim` of its latent only, in which motion varies most.

        For priors with a latent path, whose latent_dim are in that order; others, and 0, give the prior itself.
        """
        if not self.has_path or not 0 < latent_dim < self.latent_dim:
            return self
        assert isinstance(self.encoder, PathEncoder)
        short = MotionPrior(replace(self.sizes, latent=latent_dim), self.name, self.fingerprint).to(self.skeleton)
        own = self.state_dict()
        for key in ("decoder.path_basis", "encoder.to_latent.weight"):
            own[key] = own[key][:latent_dim]
        short.load_state_dict(own)
        return short.train(self.training).requires_grad_(False)

    @property
    def has_path(self) -> bool:
        """Whether z acts through a latent path alone, so that `decode_path_jacobian` applies."""
        return bool(self.sizes.path_channels) and not self.sizes.latent_in_layers


def round_hand() -> tuple[Tensor, Tensor]:
    """Return a rest hand of round numbers: (joints [16, 3], tips [5, 3]), meters, wrist at the origin."""
    at: dict[str, tuple[float, float, float]] = {"wrist": (0.0, 0.0, 0.0)}
    for finger, (x, y, z, lengths) in _ROUND_HAND.items():
        at[f"{finger}1"] = (x, y, z)
        for part, length in zip(("2", "3", "_tip"), lengths):
            x -= length
            at[finger + part] = (x, y, z)
    at.update(zip(("thumb1", "thumb2", "thumb3", "thumb_tip"), _ROUND_THUMB))
    return torch.tensor([at[name] for name in MANO_JOINTS]), torch.tensor([at[name] for name in MANO_TIPS])
