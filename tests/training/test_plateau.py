"""The learning rate on a plateau: halved after four epochs that gain too little, never below its floor, resumable."""

import pytest

from hmpfit.regressors.plan import Plateau
from hmpfit.training.plateau import PlateauRate


def followed(means: list[float], rate: PlateauRate) -> list[float]:
    shares = []
    for mean in means:
        for step in range(rate.steps_per_epoch):
            rate.follow(mean + 0.1 * (step - (rate.steps_per_epoch - 1) / 2))  # the epoch's mean is what counts
        shares.append(rate.share)
    return shares


def test_four_epochs_of_too_little_gain_halve_the_rate() -> None:
    rate = PlateauRate(Plateau(), 5, 1e-4)
    falling = [1.0, 0.9, 0.8, 0.79995, 0.79993, 0.79992]  # three epochs in a row gain less than 1e-4
    assert followed(falling, rate) == [1.0] * 6
    assert followed([0.7, 0.7, 0.7, 0.7], rate) == [1.0] * 4  # a gain between begins the count anew
    assert followed([0.7], rate) == [0.5]
    assert followed([0.7] * 3, rate) == [0.5] * 3 and followed([0.7], rate) == [0.25]


def test_the_rate_has_a_floor() -> None:
    rate = PlateauRate(Plateau(), 1, 1e-4)
    shares = followed([1.0] * 60, rate)
    assert min(shares) * 1e-4 == pytest.approx(1e-6) and shares[-1] == min(shares)


def test_a_resumed_training_goes_on_in_the_middle_of_an_epoch() -> None:
    losses = [1.0 - 0.00001 * step for step in range(57)]
    whole, first = PlateauRate(Plateau(), 5, 1e-4), PlateauRate(Plateau(), 5, 1e-4)
    for loss in losses:
        whole.follow(loss)
    for loss in losses[:33]:
        first.follow(loss)
    second = PlateauRate(Plateau(), 5, 1e-4)
    second.resume(first.state())
    for loss in losses[33:]:
        second.follow(loss)
    assert second.state() == whole.state() and whole.share < 1
