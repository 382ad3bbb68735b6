"""Metrics: zero at the truth, blind to what alignment removes, and equal to hand-computed values elsewhere."""

import numpy as np
import pytest
import roma
import torch

from hmpfit.evaluation.alignments import root_aligned, scale_and_translation_aligned
from hmpfit.evaluation.measures import area_under_curve, distances
from hmpfit.evaluation.metrics import pa_mpjpe_mm, ra_acc_mm, ra_mpjpe_mm
from hmpfit.geometry.alignment import similarity_aligned
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST

GENERATOR = np.random.default_rng(5)
TRUE = GENERATOR.normal(scale=0.05, size=(7, 21, 3)) + np.array([0.1, 0.0, 0.6])


def moved(points: np.ndarray) -> np.ndarray:
    rotations = roma.random_rotmat(len(points), dtype=torch.float64, generator=torch.Generator().manual_seed(1)).numpy()
    return 1.3 * np.einsum("tij,tnj->tni", rotations, points) + GENERATOR.normal(size=(len(points), 1, 3))


def test_pa_is_blind_to_rotation_scale_and_translation_but_not_to_mirroring() -> None:
    assert pa_mpjpe_mm(moved(TRUE), TRUE) == pytest.approx(0.0, abs=1e-9)
    assert pa_mpjpe_mm(TRUE * [-1, 1, 1], TRUE) > 10


def test_alignment_is_the_least_squares_optimum() -> None:
    noisy = moved(TRUE) + GENERATOR.normal(scale=0.01, size=TRUE.shape)
    best = ((similarity_aligned(noisy, TRUE) - TRUE) ** 2).sum()
    for seed in range(20):
        turn = roma.rotvec_to_rotmat(
            0.02 * torch.randn(3, generator=torch.Generator().manual_seed(seed)).double()
        ).numpy()
        other = similarity_aligned(noisy, TRUE) @ turn.T * GENERATOR.uniform(0.98, 1.02)
        assert ((other + (TRUE.mean(1) - other.mean(1))[:, None] - TRUE) ** 2).sum() > best


def test_ra_moves_the_wrists_together_and_nothing_else() -> None:
    assert ra_mpjpe_mm(TRUE + np.array([0.0, 0.2, 0.1]), TRUE) == pytest.approx(0.0, abs=1e-9)
    off = TRUE.copy()
    off[:, 1, 0] += 0.021
    assert ra_mpjpe_mm(off, TRUE) == pytest.approx(1.0)


def test_acceleration_error_has_the_papers_unit_and_drops_missing_frames() -> None:
    still, fast = np.zeros((9, 21, 3)), np.zeros((9, 21, 3))
    fast[:, 1:, 0] = (np.arange(9) ** 2 * 0.001)[:, None]  # 2 mm per frame squared in 20 of 21 joints
    assert ra_acc_mm(fast, still, fps=30) == pytest.approx(2.0 * 20 / 21)
    assert ra_acc_mm(fast, still, fps=60) == pytest.approx(8.0 * 20 / 21)
    fast[8] = np.nan
    fast[0] += 5.0
    assert ra_acc_mm(fast, still, fps=30) == pytest.approx(2.0 * 20 / 21)


def test_missing_frames_are_left_out_and_none_at_all_is_nan() -> None:
    found = TRUE + 0.0
    found[3] = np.nan
    assert ra_mpjpe_mm(found, TRUE) == 0.0
    assert np.isnan(pa_mpjpe_mm(np.full_like(TRUE, np.nan), TRUE))


@pytest.mark.parametrize("align", ["root", "scaled"])
def test_an_aligned_root_is_exact_so_that_it_is_within_a_threshold_of_zero(align: str) -> None:
    found = TRUE + GENERATOR.normal(scale=0.01, size=TRUE.shape)
    moved_there = (
        root_aligned(found, TRUE, OPENPOSE_WRIST)
        if align == "root"
        else scale_and_translation_aligned(found, TRUE, OPENPOSE_WRIST, OPENPOSE_MIDDLE_MCP)
    )
    errors = distances(moved_there, TRUE)[:, [OPENPOSE_WRIST]]
    assert errors.max() == 0.0 and area_under_curve(errors, 0.0, 0.05, 100) == 1.0
    assert area_under_curve(np.full((4, 1), 1.0), 0.0, 0.05, 100) == 0.0
