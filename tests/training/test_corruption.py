"""Corrupted crops: labels stay, what is covered is said to be, and a draw is a function of its generator."""

import numpy as np

from hmpfit.training.regressors.corruption import CorruptionOptions, Donor, corrupt

SIZE = 64
PLAIN = np.full((2, SIZE, SIZE, 3), 128, np.uint8)
JOINTS = np.random.default_rng(1).uniform(0.25, 0.75, (2, 21, 2))
DONORS = [Donor(np.random.default_rng(2).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8), JOINTS[0])]
COVERS = CorruptionOptions(covered=1.0, one_frame=0.0, blur=0.0, dark=0.0, small=0.0, compressed=0.0)


def test_nothing_asked_for_changes_nothing() -> None:
    nothing = CorruptionOptions(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    made = corrupt(PLAIN, JOINTS, DONORS, np.random.default_rng(0), nothing)
    assert np.array_equal(made.images, PLAIN) and not made.covered.any()


def test_covered_joints_are_those_whose_pixels_changed() -> None:
    some = 0
    for seed in range(30):
        made = corrupt(PLAIN, JOINTS, DONORS, np.random.default_rng(seed), COVERS)
        changed = (made.images != PLAIN).any(-1)
        for frame in range(2):
            x, y = (JOINTS[frame] * SIZE).astype(int).T
            assert not made.covered[frame][~changed[frame, y, x]].any()
            some += int(made.covered[frame].sum())
    assert some > 100


def test_the_same_generator_draws_the_same() -> None:
    first, again = (corrupt(PLAIN, JOINTS, DONORS, np.random.default_rng(5)) for _ in range(2))
    other = corrupt(PLAIN, JOINTS, DONORS, np.random.default_rng(6))
    assert np.array_equal(first.images, again.images) and not np.array_equal(first.images, other.images)


def test_pictures_without_a_hand_are_corrupted_too() -> None:
    made = corrupt(PLAIN, np.full((2, 21, 2), np.nan), [], np.random.default_rng(0), COVERS)
    assert (made.images != PLAIN).any() and not made.covered.any()
