"""Batches side by side on a CPU: results in order, the same fits, the first failure tells and stops the rest."""

import time
from collections.abc import Iterator

import pytest
import torch

from hmpfit.fitting.batching.parallel import OnStep, run_parallel
from hmpfit.fitting.stages import fit, fit_batch
from hmpfit.hands.model_files import load_hand_models
from hmpfit.priors.motion_field.loading import load_default
from tests.fitting.test_fit_batch import moved_mm, recipe, sequences


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_are_in_order_and_steps_are_told() -> None:
    told: list[tuple[int, int]] = []

    def work(part: int, on_step: OnStep | None) -> tuple[int, int]:
        time.sleep(0.02 * (3 - part))
        assert on_step is not None
        on_step(part, 3)
        return part, torch.get_num_threads()

    before = torch.get_num_threads()
    found = run_parallel(work, [0, 1, 2], 2, lambda done, total: told.append((done, total)))
    assert found == [(0, 1), (1, 1), (2, 1)]
    assert sorted(told) == [(0, 3), (1, 3), (2, 3)]
    assert torch.get_num_threads() == before


def test_a_failure_stops_the_others_and_is_the_one_that_is_raised() -> None:
    steps = [0]

    def work(part: int, on_step: OnStep | None) -> int:
        if part == 1:
            raise ValueError("part 1 is bad")
        assert on_step is not None
        for step in range(2000):
            steps[0] = step
            time.sleep(0.005)
            on_step(step, 2000)
        return part

    with pytest.raises(ValueError, match="part 1 is bad"):
        run_parallel(work, [0, 1, 2, 3], 2)
    assert steps[0] < 1000


def test_fits_of_several_threads_end_where_each_ends_alone(two_threads: None) -> None:
    models, prior, clips, how = load_hand_models(), load_default(), sequences(20, 16, 12), recipe(steps=5)
    together = fit_batch(clips, prior, how, most_frames=16)
    assert torch.get_num_threads() == 2 and not torch.is_inference_mode_enabled()
    for clip, fitted in zip(clips, together):
        alone = fit(clip.initial, clip.tracks, clip.camera, models, prior, how)
        assert moved_mm(fitted, alone) < 0.1
        assert [report.steps for report in fitted.reports] == [report.steps for report in alone.reports]
