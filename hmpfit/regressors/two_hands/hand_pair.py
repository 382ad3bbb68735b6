"""A right and a left hand posed in one call: the last layer of two-hand networks, and their losses' hands.

Separate from `hands.mano`, which knows one hand in right-hand form. The axis of hands is always right, left.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.skeleton import OPENPOSE_WRIST

SIDES = (True, False)  # is_right along the axis of hands


@dataclass(frozen=True)
class PosedPair:
    """Meters; hands as they are, the left one a left hand."""

    joints: Tensor  # [..., 2, 21, 3] OpenPose order
    vertices: Tensor | None  # [..., 2, V, 3]


@dataclass(frozen=True)
class HandPair:
    """Both hands in right-hand form; one model may serve both."""

    right: ManoHand
    left: ManoHand

    @classmethod
    def of(cls, models: HandModels, like: Tensor) -> "HandPair":
        """Build the hands with the dtype and device of a tensor."""
        right = ManoHand(models.right, like.dtype, like.device)
        if models.left is models.right:
            return cls(right, right)
        return cls(right, ManoHand(models.left, like.dtype, like.device))

    def pose(
        self, orient_R: Tensor, hand_pose: Tensor, betas: Tensor, transl: Tensor | None = None, vertices: bool = True
    ) -> PosedPair:
        """Pose both hands from parameters in right-hand form and mirror the left one in x.

        orient_R [..., 2, 3, 3] turns each hand about its wrist; hand_pose [..., 2, 15, 3] (absolute, radians), betas
        [..., 2, 10]. The wrist comes to J0(betas) + transl [..., 2, 3], or to the origin without transl.
        """
        joints, meshes = [], []
        for side, hand in enumerate((self.right, self.left)):
            shape = betas[..., side, :]
            none = shape.new_zeros(3)
            posed = hand.forward(none, hand_pose[..., side, :, :], shape, none, vertices)
            wrist = posed.joints[..., OPENPOSE_WRIST, None, :]
            place = 0.0 if transl is None else wrist + transl[..., side, None, :]
            turn = orient_R[..., side, :, :].mT
            joints.append((posed.joints - wrist) @ turn + place)
            if posed.vertices is not None:
                meshes.append((posed.vertices - wrist) @ turn + place)
        flip = mirror_left(hand_pose)
        return PosedPair(torch.stack(joints, -3) * flip, torch.stack(meshes, -3) * flip if meshes else None)


def training_pair(name: str, right: ManoHand) -> HandPair:
    """Return both hands for a network trained on the hand model `name`, whose right hand the layer `right` is.

    The left hand has the left model where there is one; a layer of another model serves both sides.
    """
    template = right.v_template
    key = (name, right.model.fingerprint, template.dtype, template.device)
    if key not in _training_pairs:
        models = load_hand_models(name)
        own = models.right.fingerprint == right.model.fingerprint and models.left is not models.right
        _training_pairs[key] = HandPair(right, ManoHand(models.left, template.dtype, template.device) if own else right)
    return _training_pairs[key]


_training_pairs: dict[tuple[str, str, torch.dtype, torch.device], HandPair] = {}


def mirror_left(like: Tensor) -> Tensor:
    """Return the factors [2, 1, 3] that mirror the positions of the second hand in x."""
    return like.new_tensor([[[1.0, 1.0, 1.0]], [[-1.0, 1.0, 1.0]]])


def mirror_left_angles(like: Tensor) -> Tensor:
    """Return the factors [2, 3] that turn the second hand's axis-angle into right-hand form and back."""
    return like.new_tensor([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0]])
