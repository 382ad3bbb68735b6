"""What networks cost: parameters as the papers say, operations that grow as they must."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from hmpfit.bench.network_cost import measure_cost
from hmpfit.command_line.bench import bench
from hmpfit.regressors.checkpoints import load_plan


def test_a_resnet_of_256_pixels_takes_what_it_is_known_to_take() -> None:
    cost = measure_cost(load_plan("handdgcl"), "paper", calls=1)
    assert cost.parameters == pytest.approx(32.9e6, rel=0.01)
    assert 10.7 < cost.gflop < 12.5  # ResNet-50 alone: 5.34 billion multiplications and as many additions
    assert cost.frames == 1 and cost.frames_per_second > 0


def test_a_window_costs_by_its_frames() -> None:
    plan = load_plan("stc")
    longer = replace(plan, sizes={"two": plan.sizes["small"], "four": replace(plan.sizes["small"], window=4)})
    two, four = measure_cost(longer, "two", calls=1), measure_cost(longer, "four", calls=1)
    assert four.frames == 2 * two.frames and four.gflop == pytest.approx(2 * two.gflop, rel=0.02)
    assert four.parameters == two.parameters


def test_the_command_prints_each_network() -> None:
    arguments = ["networks", "stc", "handdgcl", "--size", "small", "--calls", "1", "--json", "--quiet"]
    rows = json.loads(CliRunner().invoke(bench, arguments, catch_exceptions=False).stdout)["networks"]
    assert [(row["network"], row["size"]) for row in rows] == [("stc", "small"), ("handdgcl", "small")]
    assert all(0 < row["gflop_per_frame"] <= row["gflop"] for row in rows)
