"""IFVONet's modules against their formulas written as plain loops; counts of parameters; every switch both ways."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hmpfit.errors import InputError
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.ifvonet import attention
from hmpfit.regressors.ifvonet.fusion import Fusion
from hmpfit.regressors.ifvonet.head import HandHead
from hmpfit.regressors.ifvonet.losses import frame_losses, losses, scores
from hmpfit.regressors.ifvonet.network import IFVONet, SpatialGate
from hmpfit.regressors.ifvonet.recovery import RecoveryBlock
from hmpfit.regressors.ifvonet.switches import GOR, PDV, SINGLE_FRAME_BASELINE, SIZES, VOF, IfvonetSwitches
from hmpfit.regressors.ifvonet.variation import PixelVariation
from hmpfit.regressors.samples import NOTHING, View, sample_crop
from hmpfit.training.regressors.batches import stack
from tests.made_clips import Dots

TINY = IfvonetSwitches(image=64, backbone="light", width=16, heads=2, tiny_start=False)


def count(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def test_paper_size_has_61_3_million_parameters_and_36_2_million_with_one_backbone() -> None:
    paper = IFVONet(SIZES["paper"])
    assert count(paper) == pytest.approx(61.3, abs=0.05)
    assert count(IFVONet(replace(SIZES["paper"], two_backbones=False))) == pytest.approx(36.2, abs=0.05)


def test_parts_have_the_specification_s_sizes() -> None:
    paper = IFVONet(SIZES["paper"])
    assert count(paper.head) == pytest.approx(6.8, rel=0.03)
    assert count(paper.variation) == pytest.approx(1.25, rel=0.03)
    assert count(paper.recovery.blocks[0]) == pytest.approx(1.38, rel=0.03)
    assert count(paper.fusion) == pytest.approx(0.33, rel=0.03)
    assert count(IFVONet(SIZES["small"])) * 2 < 25  # MB in half precision


def shake(module: nn.Module) -> nn.Module:
    """Give every parameter and statistic a value of its own, so that none is zero or one by chance."""
    generator = torch.Generator().manual_seed(0)
    for value in (*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())):
        value.data.add_(0.2 * torch.rand(value.shape, generator=generator))
    return module.double().eval()


def by_pixel(convolution: nn.Conv2d, x: Tensor) -> list[Tensor]:
    """Apply a 1x1 convolution to a map [C, h, w], pixel by pixel, row by row."""
    weight, bias = convolution.weight[:, :, 0, 0], convolution.bias
    _, height, width = x.shape
    return [weight @ x[:, i, j] + (0 if bias is None else bias) for i in range(height) for j in range(width)]


def head_of(vectors: list[Tensor], head: int, heads: int) -> list[Tensor]:
    size = len(vectors[0]) // heads
    return [vector[head * size : (head + 1) * size] for vector in vectors]


def mlp(module: attention.PointMlp, x: Tensor) -> Tensor:
    mean, var = x.mean(), x.var(unbiased=False)
    x = (x - mean) / torch.sqrt(var + module.norm.eps) * module.norm.weight + module.norm.bias
    first, last = module.layers[0], module.layers[2]
    hidden = first.weight @ x + first.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return last.weight @ hidden + last.bias


def test_pixel_variation_is_its_formula() -> None:
    module = shake(PixelVariation(TINY))
    a, b = torch.randn(2, 1, 16, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        got = module(a, b)[1][0]  # F'_b from F_a->b: a asks, b answers
        q = by_pixel(module.query, a[0] + module.positions.query[0])
        k = by_pixel(module.key, b[0] + module.positions.key[0])
        v = by_pixel(module.value, b[0])
        for pixel in (0, 13, 63):
            parts = []
            for head in range(2):
                qs, ks, vs = (head_of(list_, head, 2) for list_ in (q, k, v))
                total = torch.zeros(8, dtype=torch.float64)
                for other in range(64):
                    logit = (qs[pixel] @ ks[other]) / math.sqrt(8) + module.sigmoid.bias
                    total += vs[other] / (1 + torch.exp(-logit))
                parts.append(total)
            wanted = mlp(module.mlp, torch.cat(parts))
            assert torch.allclose(got[:, pixel // 8, pixel % 8], wanted)


def test_pixel_variation_is_symmetric_and_literal_drops_the_bias() -> None:
    module = PixelVariation(TINY).eval()
    a, b = torch.randn(2, 1, 16, 8, 8)
    with torch.no_grad():
        one, other = module(a, b), module(b, a)
        assert torch.equal(one[0], other[1]) and torch.equal(one[1], other[0])
    assert PixelVariation(replace(TINY, literal=True)).sigmoid.bias is None
    bias = PixelVariation(TINY).sigmoid.bias
    assert bias is not None and bias.item() == pytest.approx(-math.log(64))


@pytest.mark.parametrize("kind", GOR)
def test_recovery_is_its_formula(kind: str) -> None:
    module = shake(RecoveryBlock(replace(TINY, gor=kind)))
    asking, hand = torch.randn(2, 1, 16, 8, 8, dtype=torch.float64)
    pixel = 21
    with torch.no_grad():
        got = module(asking, hand)[0]
        at_query, at_key = asking[0] + module.positions.query[0], hand[0] + module.positions.key[0]
        q, k, v = by_pixel(module.query, at_query), by_pixel(module.key, at_key), by_pixel(module.value, hand[0])
        logits = torch.zeros(2, 2, 64, dtype=torch.float64)  # which map, head, key
        for head in range(2):
            for other in range(64):
                logits[0, head, other] = head_of(q, head, 2)[pixel] @ head_of(k, head, 2)[other] / math.sqrt(8)
        if kind != "transformer":
            qn, kn = by_pixel(module.query_norm, at_query), by_pixel(module.key_norm, at_key)
            for head in range(2):
                for other in range(64):
                    logits[1, head, other] = head_of(qn, head, 2)[pixel] @ head_of(kn, head, 2)[other] / math.sqrt(8)
        weights = torch.zeros(2, 64, dtype=torch.float64)
        for head in range(2):
            if kind == "sigmoid_bn":
                weights[head] = 1 / (1 + torch.exp(-(logits[0, head] + module.sigmoid.bias)))
            else:
                weights[head] = torch.exp(logits[0, head]) / torch.exp(logits[0, head]).sum()
            if kind == "fit":
                weights[head] *= 1 / (1 + torch.exp(-logits[1, head].sum()))
            if kind.endswith("bn"):
                mixed = sum(module.mix.weight[head, h, 0, 0] * logits[1, h] for h in range(2)) + module.mix.bias[head]
                spread = torch.sqrt(module.norm.running_var[head] + module.norm.eps)
                weights[head] += (mixed - module.norm.running_mean[head]) / spread * module.norm.weight[
                    head
                ] + module.norm.bias[head]
        gathered = torch.cat(
            [sum(weights[head, other] * head_of(v, head, 2)[other] for other in range(64)) for head in range(2)]
        )
        wanted = (gathered if kind == "fit" else v[pixel]) + mlp(module.mlp, gathered)
        assert torch.allclose(got[:, pixel // 8, pixel % 8], wanted)


@pytest.mark.parametrize("kind", [kind for kind in VOF if kind != "off"])
@pytest.mark.parametrize("by_channel", [False, True])
def test_fusion_is_its_formula(kind: str, by_channel: bool) -> None:
    module = shake(Fusion(replace(TINY, vof=kind, vof_channels=by_channel)))
    recovery, variation = torch.randn(1, 16, 8, 8).double(), torch.randn(1, 32, 8, 8).double()

    def normalized(part: nn.Module, x: Tensor, i: int, j: int) -> Tensor:
        y = part[0].weight[:, :, 0, 0] @ x[:, i, j]
        norm = part[1]
        return (y - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps) * norm.weight + norm.bias

    with torch.no_grad():
        got = module(recovery, variation)[0]
        for i, j in ((0, 0), (3, 5)):
            own, other = recovery[0, :, i, j], variation[0, :, i, j]
            weight, bias = module.variation.weight[:, :, 0, 0], module.variation.bias
            if kind == "concat":
                wanted = weight @ torch.cat((own, other)) + bias
            else:
                other = weight @ other + bias
                wanted = own + other if kind == "add" else own * other
            if kind == "dynamic":
                product = normalized(module.from_recovery, recovery[0], i, j) * normalized(
                    module.from_variation, variation[0], i, j
                )
                p = 1 / (1 + torch.exp(-(product if by_channel else product.sum())))
                wanted = p * own + (1 - p) * other
            assert torch.allclose(got[:, i, j], wanted)


def test_without_fusion_recovery_passes() -> None:
    recovery = torch.randn(1, 16, 8, 8)
    assert Fusion(replace(TINY, vof="off"))(recovery, torch.randn(1, 32, 8, 8)) is recovery


def test_the_gate_splits_what_it_is_given() -> None:
    x = torch.randn(2, 8, 16, 16)
    hand, hiding = SpatialGate().eval()(x)
    assert torch.allclose(hand + hiding, x, atol=1e-6)
    share = (hand / x)[:, :1]
    assert torch.allclose(hand, share * x, atol=1e-5) and share.min() > 0 and share.max() < 1


def test_heatmaps_are_read_out_at_pixel_centers() -> None:
    head = HandHead(TINY).eval()
    with torch.no_grad():
        head.to_heatmaps.weight.zero_()
        head.to_heatmaps.bias.zero_()
        flat = head(torch.randn(1, 16, 8, 8))
        assert torch.allclose(flat.joints_2d, torch.full((1, 21, 2), 0.5), atol=1e-6)
        head.sharpness.fill_(200.0)
        head.to_heatmaps.register_forward_hook(lambda *_: _spot(21, 8, row=2, column=6))
        spot = head(torch.randn(1, 16, 8, 8))
    assert torch.allclose(spot.joints_2d, torch.tensor([6.5 / 8, 2.5 / 8]).expand(1, 21, 2), atol=1e-4)
    R = spot.rotations
    assert torch.allclose(R @ R.transpose(-1, -2), torch.eye(3).expand_as(R), atol=1e-5)


def _spot(maps: int, side: int, row: int, column: int) -> Tensor:
    out = torch.zeros(1, maps, side, side)
    out[:, :, row, column] = 1
    return out


VARIANTS = [
    *({"pdv": kind} for kind in PDV),
    *({"gor": kind} for kind in GOR),
    *({"vof": kind} for kind in VOF),
    {"two_backbones": False}, {"gor_blocks": 2}, {"literal": True}, {"pdv_residual": True}, {"vof_channels": True},
    {"tiny_start": True}, {"pdv": "three", "vof": "concat", "two_backbones": False}, {"pdv": "off", "vof": "off"},
    SINGLE_FRAME_BASELINE,
]  # fmt: skip


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_switch_runs_forth_and_back(changes: dict) -> None:
    torch.manual_seed(0)
    switches = replace(TINY, **changes)
    network, hand = IFVONet(switches), ManoHand(load_hand_models("open").right)
    source = Dots(2, frames=switches.frames)
    view = View(64, switches.frames)
    batch = stack([sample_crop(source[i], view, NOTHING, np.random.default_rng(0)) for i in range(2)])
    parts = losses(network, batch, hand)
    parts["total"].backward()
    gradients = {n: p.grad for n, p in network.named_parameters()}
    assert torch.isfinite(parts["total"])
    without = [name for name, gradient in gradients.items() if gradient is None]
    unused = "variation" if switches.vof == "off" else "nothing"
    assert all(unused in name or name.startswith(("image_encoder.", "frame_gate")) for name in without), without
    assert all(torch.isfinite(g).all() for g in gradients.values() if g is not None)


def test_the_single_frame_baseline_sees_one_picture_and_no_variation() -> None:
    network = IFVONet(replace(TINY, **SINGLE_FRAME_BASELINE)).eval()
    assert network.switches.frames == 1
    parts = {name.partition(".")[0] for name, _ in network.named_parameters()}
    assert not parts & {"variation", "fusion"} and "recovery" in parts
    one = network(torch.rand(2, 1, 3, 64, 64))[0]
    assert len(one.rotations) == 2 and torch.isfinite(one.rotations).all()


def test_attention_by_rows_is_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = IFVONet(TINY).eval()
    image = torch.rand(1, 2, 3, 64, 64)
    whole = network(image)[0]
    monkeypatch.setattr(attention, "ROWS", 10)
    rows = network(image)[0]
    assert torch.allclose(whole.rotations, rows.rotations, atol=1e-5)
    rows.betas.sum().backward()
    by_rows = network.variation.query.weight.grad.clone()
    network.zero_grad()
    monkeypatch.setattr(attention, "ROWS", 4096)
    network(image)[0].betas.sum().backward()
    assert torch.allclose(by_rows, network.variation.query.weight.grad, atol=1e-6)


def test_the_frame_before_is_what_swapped_frames_give_the_heads() -> None:
    """Only the stacked branch knows the order; with it held still, both=True equals the swapped pair."""
    torch.manual_seed(0)
    network = IFVONet(TINY).eval()
    image = torch.rand(1, 2, 3, 64, 64)
    with torch.no_grad():
        still = network.pair_encoder(image.flatten(1, 2))
        network.pair_encoder.forward = lambda stacked: still  # type: ignore[method-assign]
        _, before = network(image, both=True)
        (swapped,) = network(image.flip(1))
    assert torch.allclose(before.joints_2d, swapped.joints_2d, atol=1e-6)
    assert torch.allclose(before.rotations, swapped.rotations, atol=1e-6)


def test_losses_are_zero_at_the_truth_and_ignore_what_is_unknown() -> None:
    from hmpfit.geometry.rotations import exp
    from hmpfit.regressors.ifvonet.head import HeadOutput

    hand = ManoHand(load_hand_models("open").right)
    batch = stack([sample_crop(Dots(4)[i], View(64), NOTHING, np.random.default_rng(0)) for i in range(3)])
    angles = torch.cat((batch["global_orient"][:, 0, 1, None], batch["hand_pose"][:, 0, 1]), 1)
    truth = HeadOutput(
        exp(angles), batch["betas"][:, 0], batch["joints_2d"][:, 0, 1], torch.full((3, 21, 8, 8), 1 / 64)
    )
    parts = frame_losses(truth, batch, -1, hand)
    assert all(parts[name] < 2e-4 for name in ("mesh", "pose_2d", "pose_3d", "mano_pose", "mano_shape"))
    assert parts["heatmap"] > 0
    shifted = HeadOutput(truth.rotations, truth.betas, truth.joints_2d + 0.1, truth.heatmaps)
    assert frame_losses(shifted, batch, -1, hand)["pose_2d"].item() == pytest.approx(21 * 2 * 0.1, rel=1e-4)  # a sum
    unknown = {**batch, "hand_pose": torch.full_like(batch["hand_pose"], torch.nan)}
    parts = frame_losses(shifted, unknown, -1, hand)
    assert all(torch.isfinite(value) for value in parts.values()) and parts["mesh"] == 0


def test_scores_are_errors_in_mm() -> None:
    hand = ManoHand(load_hand_models("open").right)
    batch = stack([sample_crop(Dots(4)[i], View(64), NOTHING, np.random.default_rng(0)) for i in range(3)])
    found = scores(IFVONet(TINY).eval(), batch, hand)
    assert found["j_pe_mm"].shape == (3,) and (found["pa_mpjpe_mm"] <= found["j_pe_mm"]).all()
    assert 1 < found["v_pe_mm"].mean() < 300


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gor": "linear"}, "known: transformer, fit"),
        ({"image": 100}, "must be 64, 128"),
        ({"heads": 3}, "multiple of"),
    ],
)
def test_switches_that_do_not_exist_are_refused(changes: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        replace(TINY, **changes)


@pytest.mark.parametrize("start", [True, False])
def test_loss_weights_follow_their_switch_alone(start: bool) -> None:
    from hmpfit.regressors.ifvonet.losses import WEIGHTS, IfvonetLossWeights

    assert WEIGHTS[IfvonetSwitches(tiny_start=start).loss_weights] == IfvonetLossWeights()
    assert WEIGHTS[IfvonetSwitches(tiny_start=start, loss_weights="small").loss_weights].pose_3d == 20
    with pytest.raises(InputError, match="loss_weights = 'mine' does not exist; known: paper, small, frozen"):
        IfvonetSwitches(loss_weights="mine")
