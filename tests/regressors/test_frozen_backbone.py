"""IFVONet on the frozen landmark network: LiteRT and torch agree, the head starts there, clips are held out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hmpfit.errors import InputError
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.backbone.frozen import CHANNELS, SIDE, USED, Features, FrozenTower, features_of
from hmpfit.regressors.backbone.mediapipe import MediaPipeBackbone
from hmpfit.regressors.checkpoints import load_network, save_network
from hmpfit.regressors.ifvonet.losses import losses, scores
from hmpfit.regressors.ifvonet.network import IFVONet
from hmpfit.regressors.ifvonet.switches import SIZES, IfvonetSwitches
from hmpfit.training.regressors.feature_set import FeatureBatches, split_features
from hmpfit.training.regressors.features import CropSampling, feature_folder, read_features
from tests.made_clips import Dots


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place, models = tmp_path_factory.mktemp("features"), load_hand_models("open")
    out = []
    for count in (3, 2):
        source = Dots(count)
        out.append(feature_folder(source, [source[0]], models, place, CropSampling(rounds=1)))
    return out


def test_litert_and_torch_give_the_same_features() -> None:
    crops = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 3), dtype=np.uint8)
    fast = FrozenTower()(crops)
    with torch.no_grad():
        images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
        slow = features_of(MediaPipeBackbone()(images, USED))
    assert fast.maps.shape == (2, CHANNELS, SIDE, SIDE)
    for name in ("maps", "pooled", "numbers"):
        assert (getattr(fast, name) - getattr(slow, name)).abs().max() < 1e-3


def test_features_of_a_source_are_computed_once_and_learn(folders: list[Path]) -> None:
    before = {path: path.stat().st_mtime_ns for path in folders[0].iterdir()}
    again = feature_folder(Dots(3), [Dots(3)[0]], load_hand_models("open"), folders[0].parent, CropSampling(rounds=1))
    assert again == folders[0] and {path: path.stat().st_mtime_ns for path in again.iterdir()} == before
    batch = read_features(folders)
    assert len(batch["maps"]) == 5 and batch["landmarks_3d"].shape == (5, 1, 2, 21, 3)
    torch.manual_seed(0)
    network, hand = IFVONet(SIZES["small"]), ManoHand(load_hand_models("open").right, torch.float32)
    parts = losses(network, batch, hand)
    parts["total"].backward()
    assert torch.isfinite(parts["total"]) and {"presence", "scales"} <= set(parts)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters() if p.requires_grad)
    assert torch.isfinite(scores(network.eval(), batch, hand)["pa_mpjpe_mm"]).all()


def test_whole_sources_are_held_out(folders: list[Path]) -> None:
    kept, held = split_features(folders, ["a", "b"], [])
    assert (len(kept), len(held), held.name) == (3, 2, "b")
    kept, held = split_features(folders, ["a", "b"], ["a"])
    assert (len(kept), len(held), kept.name) == (2, 3, "b")
    with pytest.raises(InputError, match="no such clip; there are a, b"):
        split_features(folders, ["a", "b"], ["c"])
    batches = FeatureBatches(kept.arrays, 2, 4, seed=1)
    assert torch.equal(list(batches)[3]["betas"], batches.at(3)["betas"])


def test_pictures_and_their_features_give_the_same_hand_and_no_weight_of_the_tower_is_stored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = IFVONet(SIZES["small"]).eval()
    images = torch.rand(1, 2, 3, 224, 224)
    with torch.no_grad():
        seen = features_of(MediaPipeBackbone()(images[0], USED)).map(lambda x: x[None])
        assert isinstance(seen, Features)
        a, b = network(images)[0], network(seen)[0]
    assert torch.allclose(a.joints_2d, b.joints_2d, atol=1e-5) and torch.allclose(a.rotations, b.rotations, atol=1e-5)
    assert (b.joints_2d - seen.numbers[:, 1, :63].unflatten(-1, (21, 3))[..., :2]).abs().max() < 0.15
    save_network(network, "ifvonet", SIZES["small"], tmp_path / "x.safetensors")
    assert (tmp_path / "x.safetensors").stat().st_size < 4_000_000
    loaded, switches = load_network(tmp_path / "x.safetensors", "ifvonet")
    assert switches == SIZES["small"]
    with torch.no_grad():
        assert torch.allclose(loaded(seen)[0].joints_2d, b.joints_2d, atol=1e-2)


def test_the_frozen_backbone_needs_its_own_view() -> None:
    with pytest.raises(InputError, match="image=224"):
        IfvonetSwitches(backbone="mediapipe")


def test_without_its_modules_the_head_stands_on_the_pooled_vector_alone(folders: list[Path]) -> None:
    switches = replace(SIZES["small"], spatial=False)
    torch.manual_seed(0)
    network, batch = IFVONet(switches).eval(), read_features(folders)
    seen = Features(batch["maps"].float(), batch["pooled"].float(), batch["numbers"])
    with torch.no_grad():
        last, before = network(seen, both=True)
        # as many frames as before: a batch of another size is summed in another order
        blind, _ = network(replace(seen, maps=torch.zeros_like(seen.maps)), both=True)
    assert torch.equal(last.joints_2d, blind.joints_2d) and not torch.equal(last.joints_2d, before.joints_2d)
    with pytest.raises(InputError, match="spatial = false is for backbone = 'mediapipe'"):
        IfvonetSwitches(spatial=False)
