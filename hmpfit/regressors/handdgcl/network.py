"""HandDGCL's inference path: one picture -> the meshes of both hands, and how a weak camera sees them.

Source: Han et al. 2023, sections 3.1 and 3.2; widths in `switches`. What is needed for training only lies in
`disturbance` and `contrast`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hmpfit.geometry import rotations
from hmpfit.hands.model import HandModel, HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.backbone.named import NormalizedBackbone
from hmpfit.regressors.handdgcl.branch import DisturbingBranch
from hmpfit.regressors.handdgcl.chebyshev import GraphDecoder, spread
from hmpfit.regressors.handdgcl.hierarchy import Hierarchy, build_hierarchy
from hmpfit.regressors.handdgcl.switches import HandDgclSwitches
from hmpfit.regressors.two_hands.points import CODES, PointReader, codes
from hmpfit.skeleton import MANO21_TO_OPENPOSE, MANO_JOINTS


@dataclass(frozen=True)
class Meshes:
    """Both hands (right, left) as they are, camera axes, about the left hand's middle knuckle.

    The unit is a meter of a hand whose middle metacarpal measures `METACARPAL_M`.
    """

    vertices: Tensor  # [B, 2, V, 3]
    camera: Tensor  # [B, 2, 3] scale and shift: (u, v) / picture = scale (x, y) + shift / 2 + 1 / 2
    graph: Tensor  # [B, 2, n, C] each hand's graph features, the input of the disturbance
    decoded: Tensor  # [B, 2, 4 n, C'] what the GCN makes of them
    turn_R: Tensor | None = None  # [B, 2, 3, 3] of each hand as a whole, where it has one
    points: Tensor | None = None  # [B, 2, 21, 2] in the picture, 0..1, where the network reads them
    camera_R: Tensor | None = None  # [B, 2, 3, 3] of the hands before they are projected, where it is learned


METACARPAL_M = 0.095
# Units of the last layers' outputs: weights of unit size, and steps of an optimizer to match, give meters.
NODE_M, SHIFT_M = 0.005, 0.1


class HandGraph(nn.Module):
    """What belongs to one hand: features onto its graph, the GCN, and the way to its mesh."""

    def __init__(self, features: int, switches: HandDgclSwitches, hierarchy: Hierarchy, flat: Tensor) -> None:
        """`flat` [4 n, 3] are the third level's nodes of the hand at rest, in the unit of `Meshes`."""
        super().__init__()
        first, *_, last = switches.dims
        self.rigid: nn.Sequential | None = None
        if switches.rigid_first:
            turn = nn.Linear(switches.hidden, 9)
            nn.init.normal_(turn.weight, std=0.01)
            with torch.no_grad():
                turn.bias.copy_(torch.cat((rotations.to_6d(torch.eye(3)), torch.zeros(3))))
            self.rigid = nn.Sequential(_rectified(features, switches.hidden), nn.ReLU(), turn)
            self.register_buffer("flat", flat, persistent=False)
            self.flat: Tensor
        self.mlp = nn.Sequential(
            _rectified(features, switches.hidden), nn.ReLU(), _rectified(switches.hidden, first - 3),
            nn.LayerNorm(first - 3, eps=1e-6),
        )  # fmt: skip
        self.gcn = GraphDecoder(switches, hierarchy)
        self.to_xyz = nn.Linear(last, 3)
        nn.init.normal_(self.to_xyz.weight, std=0.1)
        nn.init.zeros_(self.to_xyz.bias)
        self.to_rotation: nn.Linear | None = None
        if switches.camera_rotation:
            self.to_rotation = nn.Linear(last, 6)
            nn.init.normal_(self.to_rotation.weight, std=0.01)
            with torch.no_grad():
                self.to_rotation.bias.copy_(rotations.to_6d(torch.eye(3)))
        self.over_nodes, self.to_camera = nn.Linear(4 * len(hierarchy.positions), 1), nn.Linear(last, 3)
        self.register_buffer("positions", _float32(hierarchy.positions), persistent=False)
        self.register_buffer("upsample", _float32(hierarchy.upsample), persistent=False)
        self.positions: Tensor
        self.upsample: Tensor

    def graph(self, features: Tensor) -> Tensor:
        """Spread a picture's features [B, F] over the coarsest nodes, each with its place: [B, n, C]."""
        spread = self.mlp(features)[:, None].expand(-1, len(self.positions), -1)
        return torch.cat((spread, self.positions.expand(len(features), -1, -1)), dim=-1)

    def forward(self, features: Tensor, graph: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return the mesh [B, V, 3], the weak camera [B, 3], the decoded nodes [B, 4 n, C'] and two turns [B, 3, 3].

        The first turn is that of a hand that is bent at rest, the second that before projection; None without.
        """
        decoded = self.gcn(graph)
        pooled = self.over_nodes(decoded.mT)[..., 0]
        camera: Tensor = self.to_camera(pooled)
        camera_R = None if self.to_rotation is None else rotations.from_6d(self.to_rotation(pooled))
        nodes, turn_R = NODE_M * self.to_xyz(decoded), None
        if self.rigid is not None:
            six, shift = self.rigid(features).split((6, 3), dim=-1)
            turn_R = rotations.from_6d(six)
            nodes = (self.flat + nodes) @ turn_R.mT + SHIFT_M * shift[:, None]
        return spread(self.upsample, nodes), camera, decoded, turn_R, camera_R


class HandDgcl(nn.Module):
    """The backbone's last level, two hands' graphs, GCNs, meshes; with a disturbance, the branch that trains them."""

    def __init__(self, switches: HandDgclSwitches, models: HandModels | None = None) -> None:
        """Build the network on the meshes of `models`, by default those that the switches name."""
        super().__init__()
        self.switches, self.image_encoder = switches, NormalizedBackbone(switches.backbone)
        models = models or load_hand_models(switches.hand)
        self.regress = MeshJoints(models)
        sides = (models.right, models.left)
        self.hierarchies = tuple(_hierarchy_of(model) for model in sides)
        self.vertices = len(models.right.v_template)
        width = self.image_encoder.channels[-1] + (CODES if switches.points else 0)
        self.points = PointReader(self.image_encoder.channels) if switches.points else None
        flat = [_at_rest(model, hierarchy) for model, hierarchy in zip(sides, self.hierarchies)]
        flat[1] = flat[1] * flat[1].new_tensor([-1.0, 1.0, 1.0])
        self.hands = nn.ModuleList([HandGraph(width, switches, *one) for one in zip(self.hierarchies, flat)])
        trains = switches.disturbance != "none"
        self.branch = DisturbingBranch(switches, self.gcns, self.hierarchies) if trains else None

    def forward(self, images: Tensor) -> Meshes:
        """Reconstruct pictures [B, 3, S, S] in 0..1."""
        levels = self.image_encoder(images)
        pooled, points = levels[-1].mean((-1, -2)), None
        features = [pooled, pooled]
        if self.points is not None:
            points = self.points(levels)
            features = [torch.cat((pooled, code), dim=-1) for code in codes(points).unbind(1)]
        graphs = [hand.graph(seen) for hand, seen in zip(self._hands, features)]
        done = [hand(seen, graph) for hand, seen, graph in zip(self._hands, features, graphs)]
        vertices, cameras, decoded, *turns = zip(*done)
        mesh, camera, graph, nodes = (torch.stack(list(part), dim=1) for part in (vertices, cameras, graphs, decoded))
        turn_R, camera_R = (None if sides[0] is None else torch.stack(list(sides), dim=1) for sides in turns)
        return Meshes(mesh, camera, graph, nodes, turn_R, points, camera_R)

    @property
    def gcns(self) -> list[GraphDecoder]:
        """The main GCN of the right and of the left hand."""
        return [hand.gcn for hand in self._hands]

    @property
    def _hands(self) -> Sequence[HandGraph]:
        return [hand for hand in self.hands if isinstance(hand, HandGraph)]


class MeshJoints:
    """The 21 points of meshes by a model's joint regressor and its fingertip vertices, as the benchmark takes them."""

    def __init__(self, models: HandModels) -> None:
        self.rows = [_joint_rows(model) for model in (models.right, models.left)]

    def __call__(self, vertices: Tensor) -> Tensor:
        """Return [..., 2, 21, 3] in OpenPose order of vertices [..., 2, V, 3]."""
        sides = [rows.to(vertices) @ vertices[..., side, :, :] for side, rows in enumerate(self.rows)]
        return torch.stack(sides, dim=-3)


def _rectified(into: int, out: int) -> nn.Linear:
    layer = nn.Linear(into, out)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


_hierarchies: dict[str, Hierarchy] = {}  # by the model's fingerprint: a second or two each


def _hierarchy_of(model: HandModel) -> Hierarchy:
    if model.fingerprint not in _hierarchies:
        _hierarchies[model.fingerprint] = build_hierarchy(model.faces, model.v_template)
    return _hierarchies[model.fingerprint]


def _at_rest(model: HandModel, hierarchy: Hierarchy) -> Tensor:
    """Return the third level's nodes [4 n, 3] of a hand at rest, about the middle knuckle, at the unit of `Meshes`."""
    joints = model.rest_joints
    knuckle, wrist = (joints[MANO_JOINTS.index(name)] for name in ("middle1", "wrist"))
    nodes = hierarchy.members @ (model.v_template - knuckle)
    return _float32(nodes * METACARPAL_M / np.linalg.norm(knuckle - wrist))


def _joint_rows(model: HandModel) -> Tensor:
    tips = torch.zeros(len(model.tip_vertices), len(model.v_template))
    tips[torch.arange(len(tips)), torch.as_tensor(model.tip_vertices)] = 1
    return torch.cat((_float32(model.J_regressor), tips))[list(MANO21_TO_OPENPOSE)]


def project_weakly(points: Tensor, camera: Tensor, picture_px: float) -> Tensor:
    """Return pixels [B, 2, N, 2] of points [B, 2, N, 3] through the weak cameras [B, 2, 3] of a square picture."""
    return picture_px * (camera[..., None, :1] * points[..., :2] + camera[..., None, 1:] / 2 + 0.5)


def _float32(array: object) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
