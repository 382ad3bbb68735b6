"""STC's entry in the table of networks: sizes, recipes, view, losses, scores."""

import torch
from torch import Tensor, nn

from hmpfit.hands.collision import interpenetration
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.watertight import HandSurface
from hmpfit.regressors.plan import Batch, NetworkPlan, TrainingRecipe
from hmpfit.regressors.samples import Augmentation
from hmpfit.regressors.stc.estimation import estimate, view
from hmpfit.regressors.stc.losses import Predicted, StcLabels, stc_loss
from hmpfit.regressors.stc.network import Stc
from hmpfit.regressors.stc.switches import SECOND_STAGE_SWITCHES, SIZES
from hmpfit.regressors.two_hands import scoring
from hmpfit.regressors.two_hands.hand_pair import HandPair, training_pair
from hmpfit.regressors.two_hands.labels import PairLabels, pair_labels, with_vertices


def losses(network: nn.Module, batch: Batch, hand: ManoHand) -> dict[str, Tensor]:
    """Return "total" and its parts (equation 10) for a batch of windows."""
    assert isinstance(network, Stc)
    labels = pair_labels(batch)
    switches = network.switches
    pair = training_pair(network.switches.hand, hand)
    predicted = _predicted(network, batch, pair, every=switches.inter_every if switches.inter else 0)
    surface, left_surface = _surface(pair.right), _surface(pair.left)

    def depth(right: Tensor, left: Tensor) -> Tensor:
        return interpenetration(right, left, surface, left_surface)

    wanted = StcLabels(
        labels.joints, labels.valid, labels.betas, labels.betas_valid, labels.xy, labels.orient_R, labels.posed_valid
    )
    return stc_loss(predicted, wanted, switches, depth)


@torch.no_grad()
def scores(network: nn.Module, batch: Batch, hand: ManoHand) -> dict[str, Tensor]:
    """Return errors in mm over both hands and all frames, and of the acceleration in mm a frame squared."""
    assert isinstance(network, Stc)
    pair = training_pair(network.switches.hand, hand)
    labels = with_vertices(pair_labels(batch), pair)
    predicted = _predicted(network, batch, pair, every=1)
    found = scoring.joint_errors(predicted.joints, labels.joints, labels.valid)
    assert predicted.vertices is not None and labels.vertices is not None
    mine = scoring.about_knuckle(predicted.vertices, predicted.joints)
    apart = (mine - scoring.about_knuckle(labels.vertices, labels.joints)).norm(dim=-1).mean(-1)
    found["mpvpe_mm"] = scoring.mean_mm(apart, labels.posed_valid)
    if labels.joints.shape[1] > 2:
        found["accel_mm"] = _acceleration_error(predicted.joints, labels)
    return found


def _predicted(network: Stc, batch: Batch, pair: HandPair, every: int) -> Predicted:
    """Return what the network predicts, with the meshes of every so many frames (0: of none)."""
    parameters = network(batch["image"])
    means = [torch.as_tensor(side.model.hands_mean).reshape(15, 3) for side in (pair.right, pair.left)]
    fingers = parameters.fingers + torch.stack(means).to(parameters.fingers)
    fields = (parameters.orient_R, fingers, parameters.betas)
    if every == 1:
        posed = pair.pose(*fields)
        return Predicted(parameters, posed.joints, posed.vertices)
    joints = pair.pose(*fields, vertices=False).joints
    if every == 0:
        return Predicted(parameters, joints, None)
    return Predicted(parameters, joints, pair.pose(*(field[:, ::every] for field in fields)).vertices)


def _acceleration_error(joints: Tensor, labels: PairLabels) -> Tensor:
    mine, true = scoring.about_knuckle(joints, joints), scoring.about_knuckle(labels.joints, labels.joints)
    apart = (mine - true).diff(n=2, dim=1).norm(dim=-1).mean(-1)
    return scoring.mean_mm(apart, labels.valid[:, :-2] * labels.valid[:, 1:-1] * labels.valid[:, 2:])


_surfaces: dict[tuple[str, torch.device], HandSurface] = {}


def _surface(hand: ManoHand) -> HandSurface:
    key = (hand.model.fingerprint, hand.v_template.device)
    if key not in _surfaces:
        _surfaces[key] = HandSurface.of(hand.model, hand.v_template.device)
    return _surfaces[key]


PLAN = NetworkPlan(
    name="stc",
    sizes=SIZES,
    recipes={
        # Stated: Adam, 1e-3 divided by 10 every 10 epochs, 30 epochs, batch 32, weight decay 1e-4. Rotation, scale,
        # shift, flip and colors are ITH-3D's.
        "paper": TrainingRecipe(
            epochs=30, batch=32, learning_rate=1e-3, decay_epochs=(10, 20), decay=0.1, weight_decay=1e-4,
            decoupled=False,
            augmentation=Augmentation(0.25, 45.0, 0.6, 0.2, shift=0.15, flip_share=0.5),
        ),
        "small": TrainingRecipe(
            epochs=20, batch=24, learning_rate=1.5e-3, decay_epochs=(), warm_up_steps=50, weight_decay=1e-4,
            average=0.99, clip=50.0, augmentation=Augmentation(0.15, 20.0, 0.8, 0.25, shift=0.06, flip_share=0.5),
        ),
    },
    build=Stc,
    view=view,
    losses=losses,
    scores=scores,
    best="mpjpe_mm",
    estimate=estimate,
    second_stage_switches=SECOND_STAGE_SWITCHES,
)  # fmt: skip
