"""STC: parameter count, shapes, what attends to what, and every loss against a plain loop over the printed formula."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import HandMotion
from hmpfit.regressors.stc import losses
from hmpfit.regressors.stc.network import HandParameters, Stc
from hmpfit.regressors.stc.switches import ABLATIONS, SIZES
from hmpfit.regressors.stc.temporal import Attention
from hmpfit.regressors.two_hands.hand_pair import HandPair
from hmpfit.regressors.two_hands.points import CODES, PointReader, codes
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP

SMALL = SIZES["small"]


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.fixture(scope="module")
def labels() -> losses.StcLabels:
    valid = torch.tensor([[[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]])
    betas_valid = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    return losses.StcLabels(
        draw(2, 3, 2, 21, 3, scale=0.05), valid, draw(2, 2, 10, seed=1), betas_valid,
        xy=draw(2, 3, 2, 21, 2, seed=6).sigmoid(), orient_R=rotations.exp(draw(2, 3, 2, 3, seed=7)),
        posed_valid=valid * betas_valid[:, None],
    )  # fmt: skip


def test_paper_size_has_55_7_million_parameters_beside_the_papers_55_4() -> None:
    network = Stc(SIZES["paper"])
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(55.7e6, abs=5e4)


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_decodes_windows_of_any_length(name: str) -> None:
    switches = replace(SMALL, **ABLATIONS[name])
    network = Stc(switches).eval()
    with torch.no_grad():
        for frames in (1, 4):
            out = network(torch.rand(2, frames, 3, 64, 64))
            assert out.fingers.shape == (2, frames, 2, 15, 3) and out.betas.shape == (2, frames, 2, 10)
            assert torch.allclose(torch.linalg.det(out.orient_R), torch.ones(2, frames, 2), atol=1e-5)
    assert switches.joint == 100
    assert (switches.mano == switches.reg == 0) == (name == "no_mano")


def test_only_the_temporal_encoder_lets_frames_see_each_other() -> None:
    images = torch.rand(1, 3, 3, 64, 64)
    other = images.clone()
    other[:, 2] = torch.rand(3, 64, 64)
    for name, sees in (("full", True), ("baseline", False)):
        network = Stc(replace(SMALL, **ABLATIONS[name])).eval()
        with torch.no_grad():
            apart = (network(images).fingers - network(other).fingers)[:, 0].abs().max()
        assert (apart > 0) == sees, name


def test_attention_is_that_of_a_plain_loop() -> None:
    layer = Attention(width=6, heads=2, head_width=5)
    tokens, context = draw(1, 3, 6), draw(1, 4, 6, seed=1)
    rows = []
    for n in range(3):
        heads = []
        for h in range(2):
            part = slice(5 * h, 5 * h + 5)
            query = layer.query(tokens[0, n])[part]
            scores = torch.stack([query @ layer.key(context[0, m])[part] / math.sqrt(5) for m in range(4)])
            share = scores.exp() / scores.exp().sum()
            heads.append(sum(share[m] * layer.value(context[0, m])[part] for m in range(4)))
        rows.append(layer.out(torch.cat(heads)))
    assert torch.allclose(layer(tokens, context)[0], torch.stack(rows), atol=1e-6)


def test_joint_and_smooth_loss(labels: losses.StcLabels) -> None:
    joints = draw(2, 3, 2, 21, 3, seed=5, scale=0.05)
    joint = smooth = 0.0
    for b in range(2):
        for h in range(2):
            mine = [joints[b, t, h] - joints[b, t, h, OPENPOSE_MIDDLE_MCP] for t in range(3)]
            true = [labels.joints[b, t, h] - labels.joints[b, t, h, OPENPOSE_MIDDLE_MCP] for t in range(3)]
            joint += sum(float(labels.valid[b, t, h]) * float((mine[t] - true[t]).norm()) for t in range(3)) / 3 / 2
            smooth += sum(float((mine[t] - mine[t - 1]).norm()) for t in range(1, 3)) / 2
    assert float(losses.joint_loss(joints, labels)) == pytest.approx(joint, rel=1e-4)
    assert float(losses.smooth_loss(joints)) == pytest.approx(smooth, rel=1e-4)
    assert float(losses.joint_loss(labels.joints + 0.3, labels)) < 1e-5  # where the hand is does not matter


def test_mano_loss_and_regularization_over_all_of_theta(labels: losses.StcLabels) -> None:
    betas, fingers = draw(2, 3, 2, 10, seed=6), draw(2, 3, 2, 15, 3, seed=7)
    mano = reg = 0.0
    for b in range(2):
        for t in range(3):
            mano += 0.5 * float((betas[b, t, 0] - betas[b, t, 1]).pow(2).sum()) / 2
            for h in range(2):
                if labels.valid[b, t, h] and labels.betas_valid[b, h]:
                    mano += float((betas[b, t, h] - labels.betas[b, h]).norm()) / 2
                reg += (float(fingers[b, t, h].pow(2).sum()) + 0.1 * float(betas[b, t, h].pow(2).sum())) / 2
    orient = draw(2, 3, 2, 3, seed=8, scale=0.5)
    parameters = HandParameters(rotations.exp(orient), fingers, betas)
    assert float(losses.mano_loss(betas, labels, 0.5)) == pytest.approx(mano, rel=1e-5)
    assert float(losses.regularization_loss(parameters, 0.1, orient=False)) == pytest.approx(reg, rel=1e-5)
    reg += float(orient.pow(2).sum()) / 2  # all of theta, as printed
    assert float(losses.regularization_loss(parameters, 0.1)) == pytest.approx(reg, rel=1e-5)
    assert float(losses.regularization_loss(replace(parameters, orient=orient), 0.1)) == pytest.approx(reg, rel=1e-5)


def test_penetration_sees_hands_placed_by_the_label_and_skips_frames_without_one(labels: losses.StcLabels) -> None:
    seen = []

    def depth(right: Tensor, left: Tensor) -> Tensor:
        seen.append((right, left))
        return torch.arange(1.0, len(right) + 1)

    vertices = draw(2, 3, 2, 7, 3, seed=8)
    roots = draw(2, 3, 2, 1, 3, seed=9)
    goal = labels.joints[..., OPENPOSE_MIDDLE_MCP, None, :]
    value = losses.penetration_loss(losses.placed(vertices, roots, goal), labels.valid, depth)
    both = [(0, 0), (0, 2), (1, 1), (1, 2)]
    assert float(value) == pytest.approx(sum(range(1, 5)) / 2)
    for row, (b, t) in enumerate(both):
        for hand, side in zip(seen[0], (0, 1)):
            expected = vertices[b, t, side] - roots[b, t, side] + labels.joints[b, t, side, OPENPOSE_MIDDLE_MCP]
            assert torch.allclose(hand[row], expected)


def test_total_is_the_weighted_sum_of_the_parts_that_have_a_weight(labels: losses.StcLabels) -> None:
    parameters = HandParameters(torch.eye(3).expand(2, 3, 2, 3, 3), draw(2, 3, 2, 15, 3), draw(2, 3, 2, 10))
    predicted = losses.Predicted(parameters, draw(2, 3, 2, 21, 3, seed=3), draw(2, 3, 2, 7, 3, seed=4))

    def depth(right: Tensor, left: Tensor) -> Tensor:
        return (right - left).square().sum((1, 2))

    parts = losses.stc_loss(predicted, labels, SIZES["paper"], depth)
    weights = {"smooth": 1, "joint": 100, "inter": 10, "mano": 1, "reg": 0.1}  # equation 10
    assert set(parts) == {*weights, "total"}
    assert float(parts["total"]) == pytest.approx(sum(w * float(parts[name]) for name, w in weights.items()), rel=1e-5)
    assert set(losses.stc_loss(predicted, labels, replace(SMALL, **ABLATIONS["baseline"]), depth)) == {
        "joint", "mano", "reg", "total", "turn", "bend",
    }  # fmt: skip
    read = replace(predicted, parameters=replace(parameters, points=draw(2, 3, 2, 21, 2, seed=5)))
    parts = losses.stc_loss(read, labels, replace(SMALL, inter=0.0), depth)
    assert labels.xy is not None and read.parameters.points is not None
    apart = (read.parameters.points - labels.xy).abs().mean((-1, -2))
    assert float(parts["points_2d"]) == pytest.approx(float(apart[labels.valid > 0].mean()), rel=1e-5)


def test_turn_and_bend_tell_the_orientation_from_the_fingers(labels: losses.StcLabels) -> None:
    assert labels.orient_R is not None and labels.posed_valid is not None
    off = rotations.exp(torch.tensor([0.0, 0.0, 0.5]))
    flip = torch.tensor([[[1.0, 1, 1]], [[-1.0, 1, 1]]])  # a left hand's joints are those of the mirrored right one
    own = (labels.joints * flip) @ labels.orient_R
    turned_R = labels.orient_R @ off
    parameters = HandParameters(turned_R, draw(2, 3, 2, 15, 3), draw(2, 3, 2, 10))
    predicted = losses.Predicted(parameters, (own @ turned_R.mT) * flip, None)  # fingers as they are, turned by `off`
    assert float(losses.bend_loss(predicted, labels)) < 1e-4
    by_hand = float((off - torch.eye(3)).norm()) * float(labels.posed_valid.sum()) / 6
    assert float(losses.turn_loss(turned_R, labels)) == pytest.approx(by_hand, rel=1e-4)
    moved = replace(predicted, joints=((own + draw(21, 3, scale=0.01)) @ turned_R.mT) * flip)
    shift = draw(21, 3, scale=0.01)
    by_hand = float((shift - shift[OPENPOSE_MIDDLE_MCP]).norm()) * float(labels.posed_valid.sum()) / 6
    assert float(losses.bend_loss(moved, labels)) == pytest.approx(by_hand, rel=1e-3)


def test_points_are_the_centers_of_their_maps() -> None:
    torch.manual_seed(0)
    reader = PointReader((4, 5, 6, 7), hidden=8).eval()
    levels = [draw(3, width, 24 // 2**i, 24 // 2**i, seed=i) for i, width in enumerate((4, 5, 6, 7))]
    maps: list[Tensor] = []
    reader.mix.register_forward_hook(lambda *said: maps.append(said[2]))
    points = reader(levels)
    share = maps[0].flatten(2).softmax(-1).reshape(3, 2, 21, 12, 12)
    x = sum(float(share[1, 1, 4, row, column]) * (column + 0.5) / 12 for row in range(12) for column in range(12))
    y = sum(float(share[1, 1, 4, row, column]) * (row + 0.5) / 12 for row in range(12) for column in range(12))
    assert points.shape == (3, 2, 21, 2) and points[1, 1, 4].tolist() == pytest.approx([x, y], rel=1e-4)
    coded = codes(points)
    assert coded.shape == (3, 2, CODES)
    bigger = codes(0.5 + 2 * (points - 0.5))
    assert torch.allclose(bigger[..., :84], 2 * coded[..., :84], atol=1e-5)
    assert torch.allclose(bigger[..., 84:], coded[..., 84:], rtol=0.1)  # at their own size
    assert torch.equal(coded[:, 0, 42:84], coded[:, 1, :42])


def test_hand_pair_is_the_hand_model_with_a_left_hand() -> None:
    rng = np.random.default_rng(0)
    models = load_hand_models("open")
    motion = HandMotion(
        rng.normal(size=(2, 3, 3)), rng.normal(scale=0.3, size=(2, 3, 15, 3)), rng.normal(size=(2, 3, 3)),
        rng.normal(size=(2, 10)), np.array([True, False]), np.full((2, 3), 2, np.uint8),
    )  # fmt: skip
    right = motion.mirrored(~motion.is_right)
    orient, pose, transl = (
        torch.as_tensor(field).swapaxes(0, 1) for field in (right.global_orient, right.hand_pose, right.transl)
    )
    posed = HandPair.of(models, pose).pose(rotations.exp(orient), pose, torch.as_tensor(right.betas), transl)
    expected = pose_hands(models, motion, vertices=True)
    assert expected.vertices is not None and posed.vertices is not None
    assert np.allclose(posed.joints.numpy().swapaxes(0, 1), expected.joints, atol=1e-9)
    assert np.allclose(posed.vertices.numpy().swapaxes(0, 1), expected.vertices, atol=1e-9)
