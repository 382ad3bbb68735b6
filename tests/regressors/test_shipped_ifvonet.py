"""The IFVONet that ships: loads, is what its card says, is quick enough, and ends well on a real clip."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hmpfit.cards import read_card
from hmpfit.regressors.backbone.frozen import FrozenTower
from hmpfit.regressors.checkpoints import find, load_network
from hmpfit.regressors.ifvonet.switches import SIZES
from hmpfit.regressors.learned import Learned


def test_the_shipped_weights_are_small_and_what_their_card_says() -> None:
    path = find("ifvonet")
    _, switches = load_network(path, "ifvonet")  # compares the checksum with the card's
    card = read_card(path)
    # written before the switch of its losses, on which no weight depends
    assert replace(switches, loss_weights="frozen") == replace(SIZES["small"], spatial=False)
    assert path.stat().st_size < 10e6
    assert card["name"] == "ifvonet_small" and card["figures"]["held_out_crops"]["pa_mpjpe_mm"] > 0
    assert Learned.load("ifvonet").fingerprint == card["sha256"][:16]


def test_the_head_on_the_frozen_network_costs_little() -> None:
    """About a million operations a crop, beside the landmark network's pass, which tracking needs anyway."""
    network, _ = load_network(find("ifvonet"), "ifvonet")
    crops = np.random.default_rng(0).integers(0, 255, (4, 224, 224, 3), dtype=np.uint8)
    pairs = FrozenTower()(crops).map(lambda x: x[:, None].expand(-1, 2, *x.shape[1:]))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(pairs)
    assert counter.get_total_flops() / len(crops) < 2e6


@pytest.mark.slow
def test_a_real_clip_ends_well(inputs: Path, tmp_path: Path) -> None:
    from hmpfit import fit_video

    clip = inputs / "clips" / "fingerspelling.mp4"
    choices = {"frames": (40, 100), "hide_keypoints": ((60, 75),)}
    learned = fit_video(clip, out=tmp_path / "a", init="ifvonet", **choices)
    assert np.isfinite(learned.joints).all() and (learned.motion.status[0, 20:35] == 1).all()
    own = fit_video(clip, out=tmp_path / "b", init="ifvonet", keypoints="initializer", **choices)
    assert np.isfinite(own.joints).all()
