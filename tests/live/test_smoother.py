"""The fixed-lag smoother on streams whose hands are known."""

import numpy as np
import pytest

from hmpfit import registry
from hmpfit.hands.mano import pose_hands
from hmpfit.live.records import SeenFrame
from hmpfit.live.smoother import FixedLagSmoother, SmootherOptions, Told
from hmpfit.recipes import load_recipe
from hmpfit.records import DETECTED, INTERPOLATED
from tests.live.made_stream import CAMERA, MODELS, from_wrist_mm, made_motion, seen_frames


def _smoother(prior: str | None = "default", options: SmootherOptions | None = None) -> FixedLagSmoother:
    loaded = None if prior is None else registry.load("priors", prior)()
    return FixedLagSmoother(MODELS, CAMERA, load_recipe("default"), loaded, options or SmootherOptions())


def _run(smoother: FixedLagSmoother, frames: list[SeenFrame], every: int = 5) -> list[Told]:
    out = []
    for first in range(0, len(frames), every):
        out += smoother.update(frames[first : first + every], last=first + every >= len(frames))
    return out


@pytest.mark.parametrize("prior", ["default", None])
def test_two_hands_are_found_where_they_are(prior: str | None) -> None:
    motion = made_motion(40, (True, False))
    told = _run(_smoother(prior), seen_frames(motion))
    assert [seen.number for seen, _ in told] == list(range(40))
    joints = pose_hands(MODELS, motion).joints
    off = [
        from_wrist_mm(hand.joints, joints[hand.hand_id, seen.number])
        for seen, hands in told[8:]
        for hand in hands
    ]  # fmt: skip
    assert len(off) == 64
    assert np.mean(off) < 4.0
    assert {hand.is_right for _, hands in told for hand in hands} == {True, False}


def test_frames_are_told_once_they_are_old_enough() -> None:
    frames = seen_frames(made_motion(30))
    smoother = _smoother(None, SmootherOptions(lookahead_s=0.3))
    told = smoother.update(frames[:10])
    assert [seen.number for seen, _ in told] == [0]  # frame 9 is 0.3 s later
    told = smoother.update(frames[10:20])
    assert [seen.number for seen, _ in told] == list(range(1, 11))
    assert smoother.waiting == 9


def test_the_same_stream_gives_the_same_answers() -> None:
    frames = seen_frames(made_motion(15))
    one, other = (_run(_smoother(), frames) for _ in range(2))
    for (_, a), (_, b) in zip(one, other, strict=True):
        assert all((x.joints == y.joints).all() for x, y in zip(a, b, strict=True))


def test_a_hand_that_is_covered_for_a_moment_is_carried_over() -> None:
    motion = made_motion(36)
    frames = seen_frames(motion)
    frames[15:19] = [SeenFrame(f.number, f.time_s, f.arrived_s, ()) for f in frames[15:19]]
    told = dict((seen.number, hands) for seen, hands in _run(_smoother(), frames))
    joints = pose_hands(MODELS, motion).joints[0]
    assert [told[n][0].status for n in (14, 16, 20)] == [DETECTED, INTERPOLATED, DETECTED]
    assert from_wrist_mm(told[17][0].joints, joints[17]) < 8.0


def test_a_window_without_hands_tells_its_frames_all_the_same() -> None:
    frames = [SeenFrame(n, n / 30, n / 30, ()) for n in range(20)]
    assert [hands for _, hands in _run(_smoother(None), frames)] == [()] * 20


def test_after_a_pause_hands_are_found_anew() -> None:
    before, after = seen_frames(made_motion(12)), seen_frames(made_motion(12), first=300)
    told = _run(_smoother(), before + after, every=8)
    assert [seen.number for seen, _ in told] == [*range(12), *range(300, 312)]
    assert told[-1][1]


@pytest.mark.slow
def test_a_long_stream_keeps_its_window_short() -> None:
    smoother, frames = _smoother(), seen_frames(made_motion(300))
    told = []
    for first in range(0, 300, 6):
        told += smoother.update(frames[first : first + 6], last=first == 294)
        assert len(smoother._hands.frames) < 80
    assert len(told) == 300
