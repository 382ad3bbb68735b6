"""IFVONet `small` learns 32 rendered pairs by heart: what it computes can be learned (minutes; run with -m slow)."""

from pathlib import Path

import pytest
import torch

from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.ifvonet.losses import losses, scores
from hmpfit.regressors.ifvonet.network import IFVONet
from hmpfit.regressors.ifvonet.plan import view
from hmpfit.regressors.ifvonet.switches import SIZES
from hmpfit.synthesis.crop_folder import crop_folder
from hmpfit.synthesis.crops import CloseUpOptions
from hmpfit.training.regressors.batches import ClipMixture, HeldOutBatches

STEPS = 300


@pytest.mark.slow
def test_32_pairs_are_learned_to_2_mm(tmp_path: Path) -> None:
    torch.manual_seed(0)
    models, switches = load_hand_models("open"), SIZES["tiny"]
    clips = ClipMixture([crop_folder(tmp_path, models, CloseUpOptions(size=80), 32, seed=9)])
    batch, hand, network = HeldOutBatches(clips, view(switches), 32)[0], ManoHand(models.right), IFVONet(switches)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        losses(network, batch, hand)["total"].backward()
        optimizer.step()
        schedule.step()
    found = scores(network.eval(), batch, hand)
    assert found["j_pe_mm"].mean() < 2 and found["joints_2d_percent"].mean() < 1
