"""Backbones: known parameter counts, torchvision's names, weight files, the inflated first convolution."""

from pathlib import Path

import pytest
import torch

from hmpfit.errors import InputError
from hmpfit.regressors.backbone.light import LightBackbone
from hmpfit.regressors.backbone.pyramid import Pyramid
from hmpfit.regressors.backbone.resnet import ResNet50
from hmpfit.regressors.backbone.weights import load_imagenet


def test_resnet50_has_torchvisions_size_and_names() -> None:
    network = ResNet50()
    # torchvision documents 25,557,032 parameters, of which the classifier's are 2048 * 1000 + 1000.
    assert sum(p.numel() for p in network.parameters()) == 25_557_032 - 2_049_000
    names = set(network.state_dict())
    for name in ("conv1.weight", "bn1.running_var", "layer1.0.downsample.1.bias", "layer4.2.conv3.weight"):
        assert name in names
    assert not any(name.startswith("layer2.1.downsample") for name in names)
    assert network.state_dict()["layer3.0.conv2.weight"].shape == (256, 256, 3, 3)


@pytest.mark.parametrize("network", [ResNet50(), LightBackbone(), ResNet50(in_channels=6, slope=0.01)])
def test_levels_halve_and_the_pyramid_gives_an_eighth(network: torch.nn.Module) -> None:
    first = next(network.parameters())
    with torch.no_grad():
        levels = network.eval()(torch.rand(1, first.shape[1], 64, 64))
        assert [level.shape[1] for level in levels] == list(network.channels)
        assert [level.shape[-1] for level in levels] == [16, 8, 4, 2]
        for from_quarter in (True, False):
            assert Pyramid(network.channels, 32, from_quarter)(levels).shape == (1, 32, 8, 8)


def test_weights_of_a_file_are_taken_and_two_equal_images_give_what_one_gives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    given = ResNet50().eval()
    torch.save({**given.state_dict(), "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "resnet50.pth")
    single, double = ResNet50().eval(), ResNet50(in_channels=6).eval()
    load_imagenet(single, tmp_path / "resnet50.pth")
    load_imagenet(double, tmp_path / "resnet50.pth")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        wanted = given(image)[-1]
        assert torch.equal(single(image)[-1], wanted)
        stacked = double(torch.cat((image, image), 1))[-1]
        assert torch.linalg.norm(stacked - wanted) < 1e-4 * torch.linalg.norm(wanted)


def test_wrong_weight_files_are_named(tmp_path: Path) -> None:
    network = ResNet50()
    with pytest.raises(InputError, match=r"no backbone weights at '.*none\.pth'"):
        load_imagenet(network, tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match="does not hold plain weights"):
        load_imagenet(network, tmp_path / "text.pth")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "part.pth")
    with pytest.raises(InputError, match=r"no tensor 'bn1\.weight'"):
        load_imagenet(network, tmp_path / "part.pth")
    torch.save({**network.state_dict(), "layer4.0.conv1.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"'layer4\.0\.conv1\.weight' is \[2\] instead of"):
        load_imagenet(network, tmp_path / "other.pth")
