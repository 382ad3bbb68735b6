from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from hmpfit.errors import NoHandError, UnknownNameError
from hmpfit.keypoints.extend_tracklets import TrackletExtension
from hmpfit.keypoints.tracking import HandTracks, track
from hmpfit.keypoints.tracklets import link
from hmpfit.records import HandDetections

FPS, WIDTH = 30.0, 1280
SHAPE = np.random.default_rng(5).uniform(-50, 50, (21, 2))


def scene(*hands: tuple[dict[int, tuple[float, float]], float | dict[int, float]], frames: int) -> HandDetections:
    """Detections of hands given as ({frame: center}, probability of being a right hand, or that by frame)."""
    rows = []
    for centers, right in hands:
        for frame, center in centers.items():
            probability = right.get(frame, 0.5) if isinstance(right, dict) else right
            rows.append((frame, SHAPE + np.array(center), probability))
    rows.sort(key=lambda row: row[0])
    return HandDetections(
        frame=np.array([row[0] for row in rows], dtype=np.int64),
        xy_px=np.array([row[1] for row in rows]).reshape(-1, 21, 2),
        world_m=np.zeros((len(rows), 21, 3)),
        right_probability=np.array([row[2] for row in rows]),
        score=np.full(len(rows), 0.8),
        times_s=np.arange(frames) / FPS,
        width=WIDTH,
        height=720,
    )


def still(x: float, frames: Iterable[int], y: float = 300.0) -> dict[int, tuple[float, float]]:
    return {frame: (x, y) for frame in frames}


def centers(tracks: HandTracks, right: bool) -> np.ndarray:
    row = list(tracks.is_right).index(right)
    return tracks.xy_px[row].mean(axis=1) - SHAPE.mean(axis=0)


def test_two_hands_are_two_tracks() -> None:
    tracks = track(scene((still(300, range(40)), 0.9), (still(900, range(40)), 0.1), frames=40))
    assert sorted(tracks.is_right) == [False, True]
    assert tracks.seen.all()
    assert centers(tracks, True)[:, 0] == pytest.approx(300)


def test_handedness_flicker_is_outvoted() -> None:
    flicker = {frame: 0.05 if frame % 3 == 0 else 0.9 for frame in range(60)}
    tracks = track(scene((still(300, range(60)), flicker), frames=60))
    assert list(tracks.is_right) == [True]
    assert tracks.seen.all()


def test_long_wrong_spell_does_not_make_a_second_hand() -> None:
    spell = {frame: 0.02 if 40 <= frame < 60 else 0.95 for frame in range(100)}
    tracks = track(scene((still(300, range(100)), spell), frames=100))
    assert list(tracks.is_right) == [True]
    assert tracks.seen.all()


def test_gap_keeps_the_hand() -> None:
    seen = [frame for frame in range(90) if not 30 <= frame < 55]
    path = {frame: (200 + 3.0 * frame, 300.0) for frame in seen}
    tracks = track(scene((path, 0.9), frames=90))
    assert list(tracks.is_right) == [True]
    assert list(np.flatnonzero(tracks.seen[0])) == seen


def test_box_jump_keeps_the_hand() -> None:
    path = {frame: (200.0 if frame < 40 else 1000.0, 300.0) for frame in range(80)}
    tracks = track(scene((path, 0.9), frames=80))
    assert list(tracks.is_right) == [True]
    assert tracks.seen.all()


@pytest.mark.parametrize("told", [True, False])
def test_crossing_hands_keep_their_sides(told: bool) -> None:
    left = {frame: (200 + 12.0 * frame, 300.0) for frame in range(60)}
    right = {frame: (908 - 12.0 * frame, 310.0) for frame in range(60)}
    unsure = {frame: 0.5 if 20 <= frame < 40 and not told else 0.85 for frame in range(60)}
    other = {frame: 1 - p for frame, p in unsure.items()}
    tracks = track(scene((right, unsure), (left, other), frames=60))
    assert tracks.seen.all()
    assert centers(tracks, True)[:, 0] == pytest.approx([right[frame][0] for frame in range(60)])


def test_crossing_with_one_hand_hidden() -> None:
    left = {frame: (200 + 12.0 * frame, 300.0) for frame in range(60) if not 25 <= frame < 35}
    right = {frame: (908 - 12.0 * frame, 310.0) for frame in range(60)}
    tracks = track(scene((right, 0.6), (left, 0.4), frames=60))
    assert centers(tracks, True)[:, 0] == pytest.approx([right[frame][0] for frame in range(60)])
    assert np.isnan(centers(tracks, False)[25:35]).all()


def test_spurious_detection_is_dropped() -> None:
    tracks = track(scene((still(300, range(60)), 0.9), (still(1000, range(20, 23)), 0.1), frames=60))
    assert list(tracks.is_right) == [True]


def test_third_hand_is_a_hand_unless_two_were_asked_for() -> None:
    hands = (still(300, range(60)), 0.9), (still(900, range(60)), 0.1), (still(600, range(10, 40), 600), 0.6)
    assert list(track(scene(*hands, frames=60)).is_right) == [True, False, True]
    tracks = track(scene(*hands, frames=60), max_hands=2)
    assert sorted(tracks.is_right) == [False, True]
    assert centers(tracks, True)[:, 0] == pytest.approx(300)
    assert centers(tracks, False)[:, 0] == pytest.approx(900)


def test_mirrored_detections_give_mirrored_tracks() -> None:
    left = {frame: (200 + 12.0 * frame, 300.0) for frame in range(60)}
    right = {frame: (908 - 12.0 * frame, 310.0) for frame in range(60) if frame % 7}
    plain = scene((right, 0.7), (left, 0.45), frames=60)
    turned = HandDetections(
        **{
            **vars(plain),
            "xy_px": plain.xy_px * (-1, 1) + (WIDTH, 0),
            "right_probability": 1 - plain.right_probability,
        }
    )
    one, two = track(plain), track(turned)
    assert (two.is_right == ~one.is_right).all()
    assert two.xy_px * (-1, 1) + (WIDTH, 0) == pytest.approx(one.xy_px, nan_ok=True)


def test_trails_fill_the_gap_but_never_with_the_other_hand() -> None:
    path = {frame: (300.0, 300.0) for frame in range(60) if not 20 <= frame < 30}
    detections = scene((path, 0.9), (still(900, range(60)), 0.1), frames=60)
    pieces = link(detections)
    start = next(n for n, p in enumerate(pieces) if p.frames[-1] == 19)
    extension = TrackletExtension(
        start, True, list(range(20, 25)), [SHAPE + np.array((300, 300))] * 4 + [SHAPE + np.array((895, 300))], [0.9] * 5
    )
    tracks = track(detections, pieces, [extension])
    row = list(tracks.is_right).index(True)
    assert list(np.flatnonzero(~tracks.seen[row])) == [24, *range(25, 30)]


@pytest.mark.parametrize("gap", [1, 4])
def test_short_gaps_of_a_moving_hand_are_filled(gap: int) -> None:
    seen = [frame for frame in range(60) if not 20 <= frame < 20 + gap]
    tracks = track(scene(({frame: (100 + 10.0 * frame, 300.0) for frame in seen}, 0.9), frames=60))
    assert tracks.seen.all()
    assert centers(tracks, True)[:, 0] == pytest.approx([100 + 10.0 * frame for frame in range(60)])


def test_a_short_gap_is_not_filled_in_hidden_frames() -> None:
    hidden = np.zeros(60, dtype=bool)
    hidden[30:33] = True
    detections = scene((still(300, [*range(30), *range(33, 60)]), 0.9), frames=60)
    assert (track(detections, frames_hidden=hidden).seen == ~hidden).all()


def test_a_short_gap_is_not_filled_where_another_hand_lies() -> None:
    moving = {frame: (100 + 10.0 * frame, 300.0) for frame in range(60) if not 30 <= frame < 33}
    still_there = still(410, range(60))
    tracks = track(scene((moving, 0.9), (still_there, 0.1), frames=60))
    assert tracks.seen.sum(1).tolist() == [60, 57]


def test_arrivals_decide_against_handedness() -> None:
    first, second = still(300, range(30)), {frame: (700.0, 300.0) for frame in range(36, 60)}
    detections = scene((first, 0.95), (second, 0.1), frames=60)
    pieces = link(detections)
    walked = [SHAPE + np.array((300 + 400 * k / 7, 300)) for k in range(1, 7)]
    onward = TrackletExtension(0, True, list(range(30, 36)), walked, [0.9] * 6, arrived=1)
    back = TrackletExtension(1, False, list(range(35, 29, -1)), walked[::-1], [0.9] * 6, arrived=0)
    tracks = track(detections, pieces, [onward, back])
    assert list(tracks.is_right) == [True]
    assert tracks.seen.all()


def test_the_user_chooses_hands() -> None:
    detections = scene((still(300, range(40)), 0.9), (still(900, range(30)), 0.1), frames=40)
    assert list(track(detections, hands="left").is_right) == [False]
    assert list(track(detections, hands="right").is_right) == [True]
    only = scene((still(300, range(40)), 0.9), frames=40)
    forced = track(only, hands="left")
    assert list(forced.is_right) == [False] and forced.seen.all()


@pytest.mark.parametrize("frames", [1, 3])
def test_a_photograph_has_hands_too(frames: int) -> None:
    tracks = track(scene((still(300, range(frames)), 0.9), (still(900, range(frames)), 0.1), frames=frames))
    assert sorted(tracks.is_right) == [False, True] and tracks.seen.all()


def test_a_hand_seen_briefly_is_still_found() -> None:
    tracks = track(scene((still(300, range(50, 53)), 0.9), frames=300))
    assert list(tracks.is_right) == [True] and tracks.seen.sum() == 3


def test_bad_requests() -> None:
    with pytest.raises(NoHandError, match="No hand was found in any frame"):
        track(scene(frames=10))
    with pytest.raises(NoHandError, match="No hand was found in the picture"):
        track(scene(frames=1))
    with pytest.raises(UnknownNameError, match="auto"):
        track(scene((still(300, range(4)), 0.9), frames=4), hands="feet")


@pytest.mark.parametrize(("score", "outbid"), [(0.6, True), (0.9, False)])
def test_a_vote_about_a_hand_that_is_hardly_seen_may_be_outbid(score: float, outbid: bool) -> None:
    """A right hand that comes back with a cup is called left at a low score, while the left hand is in sight."""
    found = scene(
        (still(300, range(40)), 0.95), (still(900, range(100)), 0.45), (still(310, range(60, 100)), 0.15), frames=100
    )
    back = (found.frame >= 60) & (found.xy_px.mean(axis=(1, 2)) < 500)
    tracks = track(replace(found, score=np.where(back, score, 0.9)))
    assert bool(np.isclose(centers(tracks, True)[80:, 0], 310).all()) is outbid


def test_two_hands_of_doubtful_sides_are_a_right_and_a_left_one() -> None:
    tracks = track(scene((still(300, range(40)), 0.65), (still(900, range(40)), 0.55), frames=40))
    assert sorted(tracks.is_right) == [False, True]
    assert centers(tracks, True)[0, 0] == pytest.approx(300)
