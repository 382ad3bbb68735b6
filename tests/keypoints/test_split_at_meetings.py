"""Two hands of one side that meet: the detection that is left changes hands, and the motion tells."""

from dataclasses import replace

import numpy as np
import pytest

from hmpfit.keypoints.extend_tracklets import TrackletExtension
from hmpfit.keypoints.merge_tracklets import contested, merge_tracklets
from hmpfit.keypoints.moving_cost import BREAK, break_cost
from hmpfit.keypoints.split_at_meetings import split_at_meetings
from hmpfit.keypoints.tracking import track
from hmpfit.keypoints.tracklets import gather, link
from hmpfit.records import HandDetections
from tests.keypoints.test_tracking import scene

MET, FRAMES = 30, 60


def front(frame: int) -> tuple[float, float]:
    return 720.0 - 12 * frame, 300.0


def behind(frame: int) -> tuple[float, float]:
    return 24.0 + 12 * frame, 300.0


def meeting(side_after: float = 0.9) -> HandDetections:
    """Hands that cross at frame 30: the one is found from there on where the other was, 6 frames before the other."""
    first = {f: front(f) for f in range(MET)} | {f: behind(f) for f in range(MET, FRAMES)}
    told = {f: 0.9 if f < MET else side_after for f in first}
    second = {f: behind(f) for f in range(20)} | {f: front(f) for f in range(MET + 6, FRAMES)}
    found = scene((first, told), (second, 0.9), frames=FRAMES)
    return replace(found, color=np.tile([20.0, 12.0, 12.0], (len(found.frame), 1)))


def test_a_tracklet_that_breaks_off_its_motion_beside_a_lost_hand_is_cut() -> None:
    detections = meeting()
    pieces = link(detections)
    assert [(int(one.frames[0]), int(one.frames[-1])) for one in pieces] == [(0, 19), (0, 59), (36, 59)]
    cut = split_at_meetings(detections, pieces)
    assert sorted((int(one.frames[0]), int(one.frames[-1])) for one in cut) == [(0, 19), (0, 29), (30, 59), (36, 59)]
    way = track(detections, cut).xy_px.mean(axis=2)[..., 0]
    for hand in way:
        seen = np.flatnonzero(np.isfinite(hand))
        assert seen[0] == 0 and seen[-1] == FRAMES - 1
        assert len({bool(step > 0) for step in np.diff(hand[seen])}) == 1, "a hand goes on as it went"


def test_a_hand_that_turns_back_alone_is_not_cut() -> None:
    path = {f: front(f) if f < MET else front(2 * MET - f) for f in range(FRAMES)}
    detections = scene((path, 0.9), frames=FRAMES)
    assert len(split_at_meetings(detections, link(detections))) == 1


def test_followed_over_no_frame_says_nothing_where_motion_breaks_off() -> None:
    detections = meeting()
    cut = split_at_meetings(detections, link(detections))
    before, after = (next(n for n, one in enumerate(cut) if one.frames[0 if first else -1] == at)
                     for first, at in ((False, MET - 1), (True, MET)))  # fmt: skip
    ways = [TrackletExtension(before, True, arrived=after), TrackletExtension(after, False, arrived=before)]
    assert contested(detections, cut, ways) == {(before, after)}
    assert len(merge_tracklets(detections, cut, ways)[0]) == len(cut)
    plain = replace(detections, color=None)
    assert contested(plain, cut, ways) == set() and len(merge_tracklets(plain, cut, ways)[0]) == len(cut) - 1


@pytest.mark.parametrize("side, at_least", [(0.9, 0.0), (0.1, 2.0)])
def test_votes_for_the_other_side_count_against_one_hand(side: float, at_least: float) -> None:
    detections = meeting(side)
    rows = link(detections)[1].rows
    parts = gather(detections, rows[:MET]), gather(detections, rows[MET:])
    same = replace(detections, right_probability=np.full(len(detections.frame), 0.9))
    cost, alone = break_cost(detections, *parts), break_cost(same, *(gather(same, one.rows) for one in parts))
    assert cost >= BREAK and cost - alone >= at_least
