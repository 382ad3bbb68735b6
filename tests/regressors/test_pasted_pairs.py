"""One-hand clips pasted into two-hand ones: pixels, joints and orientations stay true to each other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.training_data import open_sources
from hmpfit.datasets.shards import write_index, write_shard
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.samples import NOTHING, View, sample_crop
from hmpfit.regressors.two_hands.hand_pair import HandPair
from hmpfit.regressors.two_hands.labels import pair_labels
from hmpfit.regressors.two_hands.pasted import PastedPairs, paste
from hmpfit.training.regressors.batches import stack
from tests.made_clips import Dots

DOTS = Dots(4)


@pytest.mark.parametrize("quarters", [(0, 0), (1, 2), (3, 0)])
@pytest.mark.parametrize("swapped", [False, True])
def test_what_is_pasted_is_seen_by_one_camera(quarters: tuple[int, int], swapped: bool) -> None:
    right, left = DOTS[0], DOTS[1].mirrored()
    both = paste(right, left, swapped, quarters)
    assert both.is_right.tolist() == [True, False] and both.images.shape == (2, 96, 130, 3)
    seen = both.joints_m @ both.K.T
    apart = seen[..., :2] / seen[..., 2:] - both.joints_px
    assert np.abs(apart).max() < 6  # of 96: a tile is flat, the rays of one camera spread
    knuckles = both.joints_px[:, 0, 9, 0]
    assert (knuckles[0] < knuckles[1]) != swapped
    for hand, clip in enumerate((right, left)):
        before = clip.joints_px[0, 0] - clip.joints_px[0, 0, :1]
        spread = np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), quarters[hand])
        assert np.allclose(both.joints_px[hand, 0] - both.joints_px[hand, 0, :1], before @ spread.T)
        kept = np.abs(both.joints_px[hand, 0] - (32.5 if (hand == 1) == swapped else 97.5, 48)).max(-1) < 32
        assert kept.sum() > 5
        for old, new in zip(clip.joints_px[0, 0, kept].astype(int), both.joints_px[hand, 0, kept].astype(int)):
            assert np.array_equal(both.images[0, new[1], new[0]], clip.images[0, old[1], old[0]])


def test_parameters_of_pasted_hands_pose_their_joints() -> None:
    models, pairs = load_hand_models("open"), PastedPairs(DOTS)
    labels = pair_labels(
        stack([sample_crop(pairs[i], View(64, 2, 2), NOTHING, np.random.default_rng(0)) for i in range(4)])
    )
    posed = HandPair.of(models, torch.zeros(1)).pose(
        labels.orient_R, labels.hand_pose, labels.betas[:, None].expand(-1, 2, -1, -1), vertices=False
    )
    apart = (posed.joints - posed.joints[..., :1, :]) - (labels.joints - labels.joints[..., :1, :])
    assert float(apart.abs().max()) < 1e-6 and bool(labels.posed_valid.all())


def test_two_hand_networks_get_one_hand_shards_in_pairs(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.npz", [DOTS[number] for number in range(4)])
    write_index(tmp_path, [("a.npz", 4)], {})
    models = load_hand_models("open")

    def hands_of(hands: int) -> int:
        with TerminalProgress(quiet=True) as progress:
            view = View(64, 2, hands)
            source = open_sources([f"synthetic:{tmp_path}"], view, models, "open", tmp_path / "cache", 0, progress)[0]
        assert len(source) == 4
        return len(source[3].is_right)

    assert hands_of(1) == 1 and hands_of(2) == 2
