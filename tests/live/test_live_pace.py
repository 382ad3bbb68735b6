"""Keeping pace, reckoned with made-up costs: what is dropped and how late answers are is known beforehand."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hmpfit.bench.live_pace import distances_mm, smooth_on_one_core, track_on_one_core
from hmpfit.command_line.main import commands
from hmpfit.live.records import LiveCounts, LiveEstimate, LiveFrame, LiveHand, SeenFrame
from hmpfit.video.live_source import LivePicture
from tests.live.made_stream import MODELS
from tests.made_result import two_hands


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class _Still:
    fps = 10.0

    def pictures(self):  # type: ignore[no-untyped-def]
        for n in range(20):
            yield LivePicture(n / 10, np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(("cost_s", "dropped"), [(0.05, 0), (0.2, 6)])
def test_a_slow_tracker_drops_frames_and_a_quick_one_none(cost_s: float, dropped: int) -> None:
    clock, counts = _Clock(), LiveCounts()

    def track(frame: LiveFrame) -> SeenFrame:
        clock.now += cost_s
        return SeenFrame(frame.number, frame.time_s, frame.arrived_s)

    tracked, done, spent = track_on_one_core(_Still(), track, counts, clock)  # type: ignore[arg-type]
    assert (counts.arrived, counts.dropped, len(tracked)) == (20, dropped, 20 - dropped)
    assert spent["track"] == pytest.approx(cost_s * len(tracked))
    assert all(b - a >= cost_s - 1e-9 for a, b in pairwise(done))


class _Smoother:
    """Tells everything at once, for 30 ms of work."""

    def __init__(self, clock: _Clock) -> None:
        self.clock = clock

    def update(self, new, last=False):  # type: ignore[no-untyped-def]
        self.clock.now += 0.03
        return [(seen, ()) for seen in new]


def test_lag_is_what_waiting_and_work_take() -> None:
    clock, counts = _Clock(), LiveCounts()
    tracked = [SeenFrame(n, n / 10, n / 10) for n in range(9)]
    done = [n / 10 + 0.01 for n in range(9)]
    out, spent = smooth_on_one_core(tracked, done, _Smoother(clock), counts, clock)  # type: ignore[arg-type]
    assert [one.number for one in out] == list(range(9))
    lags = [round(one.lag_s, 3) for one in out]
    assert max(lags) == pytest.approx(0.24) and min(lags) >= 0.04  # two frames' wait, tracking, smoothing
    assert spent == pytest.approx(0.03 * 3) and counts.known == 9


def test_a_hand_is_compared_with_the_one_in_its_place() -> None:
    offline = two_hands(MODELS, 5)
    moved = offline.joints[1, 2] + [0.1, 0.0, 0.0]  # elsewhere, the same as seen from the wrist
    hand = LiveHand(
        0, bool(offline.motion.is_right[1]), 2, np.zeros(3), np.zeros((15, 3)), np.zeros(3), np.zeros(10), moved,
        offline.landmarks_px[1, 2],
    )  # fmt: skip
    assert distances_mm([LiveEstimate(2, 0.1, 0.1, (hand,))], offline) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.slow
def test_bench_live_reckons_a_clip(inputs: Path) -> None:
    clip, options = str(inputs / "clips" / "pinches.mp4"), ["--views", "0", "--reckoned", "--no-offline", "--json"]
    said = CliRunner().invoke(commands, ["bench", "live", clip, *options])
    assert said.exit_code == 0, said.output
    content = json.loads(said.stdout)
    assert content["frames"] == 621 and 0 < content["kept"] <= 1 and content["lag_s"]["median"] > 0
