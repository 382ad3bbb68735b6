"""The family `terms`: what a loss term is, and the tensors it sees.

A term returns raw residuals in physical units. Its weight and kernel live in the recipe, its derivatives are taken by
reverse mode over the small local state that it says it reads, so a new term is one function and one table line.
Inside the fit every hand is a right hand: left hands arrive mirrored. B problems (hands), T frames, W windows.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor

DependsOn = Literal["point", "points", "contact", "frame", "step", "betas", "latent", "overlap"]


@dataclass(frozen=True)
class Motion:
    """The unknowns and what follows from them."""

    global_R: Tensor  # [B, T, 3, 3]
    transl: Tensor  # [B, T, 3] meters
    betas: Tensor  # [B, 10]
    hand_R: Tensor  # [B, T, 15, 3, 3]
    latent: Tensor | None = None  # [B, W, L]
    rot6d: Tensor | None = None  # [B, T, 2, 90] decoded by the frame's own and by the previous window, before blending


@dataclass(frozen=True)
class Evidence:
    """What the motion is compared with. Hats of the method are the fields `initial_*`."""

    times_s: Tensor  # [T]
    xy_px: Tensor  # [B, T, 21, 2], 0 where unseen
    seen: Tensor  # [B, T, 21] 1 where the landmark has pixels, less where it is covered, else 0
    confidence: Tensor  # [B, T, 21], 0 where unseen
    box_px: Tensor  # [B, T] diagonal of the hand's box, 1 where unseen
    world_m: Tensor  # [B, T, 21, 3] hand-centered, camera axes; 0 where unknown
    world_confidence: Tensor  # [B, T, 21]
    world_seen: Tensor  # [B, T, 21] 1 where the landmark has a place in 3D, less where it is covered, else 0
    K: Tensor  # [B, 1 | T, 3, 3] of the image in which the hand is a right hand
    distortion: Tensor | None  # [B, 1, 1, 4 | 5 | 8], mirrored for left hands (geometry.lenses)
    initial_R: Tensor  # [B, T, 3, 3]
    initial_transl: Tensor  # [B, T, 3]
    initial_betas: Tensor  # [B, 10]
    initial_hand_R: Tensor  # [B, T, 15, 3, 3]
    initial_confidence: Tensor  # [B, T] 1 where the initializer saw the hand, else 0
    frames_known: Tensor  # [B] in how many frames of the clip the initializer saw the hand
    latent_mean: Tensor | None = None  # [B, W, L]
    latent_std: Tensor | None = None  # [B, W, L]
    overlap: Tensor | None = None  # [B, T] 1 where two windows cover the frame
    # From the camera's axes to the world's, of right hands; None where the camera is still. See `batching.world`.
    world_turn: Tensor | None = None  # [B, T, 3, 3]
    world_shift: Tensor | None = None  # [B, T, 3] the wrist in the world is world_turn transl + world_shift, meters
    exists: Tensor | None = None  # [B, T] 0 in frames that pad a clip in a batch; None where there are none
    counted: Tensor | None = None  # [B, T] 0 in frames that another part of the clip counts; None where there are none
    # The other hand of the clip, as a term sees it (two_hands.HandPairs); None where there is none.
    contact_joint: Tensor | None = None  # [B, T, K] the joint that a vertex near the other hand is fixed to, MANO order
    contact_offset: Tensor | None = None  # [B, T, K, 3] of the vertex from the joint's landmark, in the joint's frame
    contact_plane: Tensor | None = None  # [B, T, K, 3] a point, from the wrist, of the plane it must get behind
    contact_normal: Tensor | None = None  # [B, T, K, 3] the way that the vertex has to go
    contact_weight: Tensor | None = None  # [B, T, K] 0 where there is no such vertex

    def steps_exist(self) -> Tensor | float:
        """Return [B, T - 1] 1 where both frames of a step exist."""
        return 1.0 if self.exists is None else self.exists[:, 1:] * self.exists[:, :-1]


@dataclass(frozen=True)
class Residual:
    """Residual vectors: `values` [B, N, G, D], D numbers under one kernel; `confidence` [B, N, G] multiplies the cost.

    N is the axis of frames (steps: T - 1; windows: W; shape: 1) and G of what is compared in each.
    """

    values: Tensor
    confidence: Tensor


class Residuals(Protocol):
    """The function of a term: pure, differentiable, without weights and reductions."""

    def __call__(self, motion: Motion, points: Tensor, evidence: Evidence, options: Any) -> Residual:
        """Compare the motion, or its landmark points [B, T, 21, 3], with the evidence.

        `options` is the record that the term declares."""


class Slopes(Protocol):
    """The derivatives of a `frame` term's residuals, for terms that many numbers make slow to differentiate."""

    def __call__(self, motion: Motion, evidence: Evidence, options: Any) -> Tensor:
        """Return [B, T, G x D, 51]: by the turn R <- exp(d) R, the translation, the fingers' turns R <- R exp(d)."""


@dataclass(frozen=True)
class NoOptions:
    """The options of a term that has none."""


@dataclass(frozen=True)
class Term:
    """A named loss term and the local state that its residuals read.

    `point`: residual g of frame t reads point g of frame t alone. `points`: all 21 points of frame t.
    `contact`: like `points`, and the joints' rotations of frame t.
    `frame`: rotation, translation and pose of frame t. `step`: rotation, translation and pose of frames t and t + 1.
    `betas`: the shape. `latent`: residual l of window w reads latent number l of window w alone.
    `overlap`: residual d of frame t reads number d of the frame's two decodings.
    """

    name: str
    depends_on: DependsOn
    residuals: Residuals
    options: type[Any] = NoOptions  # a frozen dataclass: the keys that a recipe may set, with types and defaults
    slopes: Slopes | None = None  # of a `frame` term; None: reverse mode


Tensors = TypeVar("Tensors", Motion, Evidence)


def cast(record: Tensors, dtype: torch.dtype) -> Tensors:
    """Return the record in another dtype; times stay as they are, because their differences matter."""
    parts = {name: value for name, value in vars(record).items() if isinstance(value, Tensor) and name != "times_s"}
    return replace(record, **{name: value.to(dtype) for name, value in parts.items() if value.is_floating_point()})


def take_evidence(evidence: Evidence, rows: Tensor) -> Evidence:
    """Keep some problems of a batch."""
    shared = ("times_s",) if evidence.distortion is None or evidence.distortion.ndim > 1 else ("times_s", "distortion")
    parts = {name: value for name, value in vars(evidence).items() if isinstance(value, Tensor) and name not in shared}
    return replace(evidence, **{name: value[rows] for name, value in parts.items()})


def take_frames(record: Tensors, first: int, last: int) -> Tensors:
    """Keep the frames first..last of a clip as views; what does not go by frames (shape, latents, lens) stays."""
    kept = ("betas", "latent", "distortion", "initial_betas", "frames_known", "latent_mean", "latent_std")
    parts = {name: value for name, value in vars(record).items() if isinstance(value, Tensor) and name not in kept}
    if "K" in parts and parts["K"].shape[1] == 1:
        del parts["K"]  # a camera that does not move
    cut = {name: value[first:last] if name == "times_s" else value[:, first:last] for name, value in parts.items()}
    return replace(record, **cut)
