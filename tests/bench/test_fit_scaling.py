"""The scaling benchmark: every size is measured against the same clips one by one; table and picture are written."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hmpfit.bench.fit_scaling import Point, measure_scaling, write_curve
from hmpfit.command_line.bench import bench
from hmpfit.errors import InputError
from hmpfit.hands.model_files import load_hand_models
from hmpfit.priors.motion_field.loading import load_default
from hmpfit.progress import Silent
from hmpfit.recipes import load_recipe


def test_batches_are_measured_beside_single_fits() -> None:
    recipe = load_recipe("default")
    recipe = replace(recipe, stages=[replace(recipe.stages[0], steps=1)])
    points = measure_scaling(load_hand_models(), load_default(), recipe, (1, 2), "cpu", 0, Silent())
    assert [point.windows for point in points] == [1, 2]
    for point in points:
        assert point.windows_per_s == pytest.approx(point.windows / point.seconds)
        assert point.frames_per_s == pytest.approx(128 * point.windows_per_s)
        assert 0 < point.share_of_single < 20 and point.peak_device_mb is None
        assert point.share_of_single_one_thread is not None and 0 < point.share_of_single_one_thread < 20


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    points = [Point(1, 2.0, 0.5, 64.0, 1.0, 1.0, None), Point(4, 4.0, 1.0, 128.0, 0.5, None, 2.0)]
    for name in ("a.png", "b.png"):
        write_curve(points, tmp_path / name, "a machine")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_sizes_that_are_no_numbers_are_a_sentence() -> None:
    with pytest.raises(InputError, match="no list of whole numbers"):
        CliRunner().invoke(bench, ["scaling", "--sizes", "1,x"], catch_exceptions=False)
