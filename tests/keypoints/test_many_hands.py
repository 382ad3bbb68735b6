"""Any number of hands: the cases of the shared inputs that went wrong, and what each result has to say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import NoHandError
from hmpfit.evaluation.identities import idf1
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.keypoints.appearance import split_by_color
from hmpfit.keypoints.arms import ArmVotes
from hmpfit.keypoints.assignment import Hand, assign
from hmpfit.keypoints.extend_tracklets import TrackletExtension
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.mediapipe import MediaPipeOptions, find_tracks
from hmpfit.keypoints.merge_tracklets import merge_tracklets
from hmpfit.keypoints.minimum_cost_paths import PathEdge, PathNode, PathPiece, minimum_cost_paths
from hmpfit.keypoints.persons import group_hands, sides_of_pairs
from hmpfit.keypoints.tracking import HandTracks, track, with_sides
from hmpfit.keypoints.tracklet_evidence import rejection_reason, tracklet_evidence
from hmpfit.keypoints.tracklets import Tracklet, gather, link, split_by_vote
from hmpfit.records import HandDetections
from hmpfit.synthesis.several_people import sample_people
from hmpfit.video.clip import open_clip
from tests.keypoints.test_tracking import FPS, SHAPE, scene, still

SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])


def found_in(inputs: Path, name: str) -> HandTracks:
    return find_tracks(open_clip(inputs / "cases" / name), load_landmarker(), MediaPipeOptions(workers=1))


def of_side(tracks: HandTracks, right: bool) -> np.ndarray:
    return tracks.seen[tracks.is_right == right]


LONG_GAP = pytest.param("right_then_left_4s", 150, marks=pytest.mark.slow)


@pytest.mark.parametrize("name, start", [("right_then_left", 50), ("reenter", 50), LONG_GAP])
def test_a_right_hand_and_then_a_left_one_are_two_hands(inputs: Path, name: str, start: int) -> None:
    tracks = found_in(inputs, f"{name}.mp4")
    assert list(tracks.is_right) == [True, False]
    assert np.flatnonzero(tracks.seen[0]).tolist() == list(range(30))
    assert np.flatnonzero(tracks.seen[1]).tolist() == list(range(start, start + 30))


def test_two_right_hands_are_two_right_hands_of_two_persons(inputs: Path) -> None:
    tracks = found_in(inputs, "two_right_hands.mp4")
    assert list(tracks.is_right) == [True, True]
    assert tracks.seen.all()
    assert sorted(tracks.person_id) == [0, 1]


def test_four_hands_are_of_two_persons_who_have_one_of_each_side(inputs: Path) -> None:
    tracks = found_in(inputs, "four_hands.mp4")
    assert len(tracks.is_right) == 4 and tracks.seen.all()
    place = np.nanmean(tracks.xy_px, axis=(1, 2))[:, 0]
    order = np.argsort(place)
    assert tracks.is_right[order].tolist() == [True, False, True, False]
    assert tracks.person_id[order].tolist() == [0, 0, 1, 1]
    assert tracks.hand_id[order].tolist() == [0, 1, 2, 3]


def test_control_is_one_right_hand(inputs: Path) -> None:
    tracks = found_in(inputs, "base.mp4")
    assert list(tracks.is_right) == [True]
    assert tracks.seen.all()


def test_flow_takes_the_cheapest_paths() -> None:
    sides = (0.0, 1.0), (np.inf, 0.0), (0.0, 3.0)
    stretches = [PathNode(first, first + 9, 20.0, cost) for first, cost in zip((0, 5, 20), sides, strict=True)]
    parts = minimum_cost_paths(stretches, [PathEdge(0, 2, 2.0)], start=5.0, jump=4.0)
    assert parts == [PathPiece(0, True, (0, 2)), PathPiece(1, True, (1,))]
    assert minimum_cost_paths(stretches, [PathEdge(0, 2, 2.0)], start=5.0, jump=4.0, most=1) == [
        PathPiece(0, True, (0, 2))
    ]
    assert minimum_cost_paths(stretches, [], start=50.0, jump=40.0) == []
    apart = minimum_cost_paths(stretches, [], start=5.0, jump=4.0)
    assert apart == [PathPiece(0, True, (0,)), PathPiece(1, True, (1,)), PathPiece(0, False, (2,))]


def test_consistent_vote_is_never_outbid_by_a_move_that_costs_nothing() -> None:
    path = {frame: (300.0 + 10 * frame, 300.0) for frame in range(60) if not 28 <= frame < 36}
    told = {frame: 0.95 if frame < 30 else 0.05 for frame in path}
    detections = scene((path, told), frames=60)
    assert [hand.is_right for hand in assign(detections, link(detections))] == [True, False]


def linked(detections: HandDetections) -> tuple[HandDetections, list[Tracklet]]:
    return detections, link(detections)


def test_tracklet_whose_votes_turn_for_good_is_split() -> None:
    told = {frame: 0.95 if frame < 24 else 0.05 for frame in range(60)}
    moved = {frame: (300.0 if frame < 24 else 320.0, 300.0) for frame in range(60)}
    assert len(split_by_vote(*linked(scene((still(300, range(60)), told), frames=60)))) == 1
    detections = scene((moved, told), frames=60)
    assert [piece.frames[0] for piece in split_by_vote(detections, link(detections))] == [0, 24]
    tracks = track(detections)
    assert sorted(tracks.is_right) == [False, True]
    assert (tracks.seen.sum(0) == 1).all()


@pytest.mark.parametrize("frames", [0, 4])
def test_short_tracklets_between_join_no_right_hand_to_a_left_one(frames: int) -> None:
    starts = (0, 30 + frames, 33 + 2 * frames)  # of a right hand, three frames that say little, and a left hand
    paths = [{frame: (300.0 + 4 * frame, 300.0) for frame in range(starts[0], 30)}]
    paths += [{frame: (300.0 + 4 * frame, 300.0) for frame in range(starts[1], starts[1] + 3)}]
    paths += [{frame: (300.0 + 4 * frame, 300.0) for frame in range(starts[2], 80)}]
    detections = scene(*zip(paths, (0.95, 0.4, 0.05), strict=True), frames=80)
    pieces = split_by_vote(*jumping(detections, (starts[1], starts[2])))
    assert [int(one.frames[0]) for one in pieces] == list(starts)
    between = [TrackletExtension(0, True, [], [], [], arrived=1), TrackletExtension(1, False, [], [], [], arrived=0)]
    followed = list(range(starts[1] + 3, starts[2]))
    shapes = [SHAPE + np.array((300.0 + 4 * frame, 300.0)) for frame in followed]
    between.append(TrackletExtension(1, True, followed, shapes, [0.9] * frames, arrived=2))
    between.append(TrackletExtension(2, False, followed[::-1], shapes[::-1], [0.9] * frames, arrived=1))
    merged, _ = merge_tracklets(detections, pieces, between)
    own = [one for one in merged if one.frames[0] == 0]
    assert own[0].consistent and own[0].frames[-1] < starts[2]
    assert [hand.is_right for hand in assign(detections, merged)] == [True, False]


@pytest.mark.parametrize("rival", [True, False])
def test_hand_in_front_is_not_joined_to_the_covered_one_against_the_votes(rival: bool) -> None:
    covered, front = still(300, range(30)), still(500, range(26)) | still(320, range(36, 70))
    detections = scene((covered, 0.05), (front, 0.95), frames=70)
    pieces = link(detections)
    assert [(one.frames[0], one.right_log_odds > 0) for one in pieces] == [(0, False), (0, True), (36, True)]
    between = [SHAPE + np.array((300.0 + 3 * k, 300.0)) for k in range(6)]
    ways = [TrackletExtension(0, True, list(range(30, 36)), between, [0.9] * 6, arrived=2)]
    ways.append(TrackletExtension(2, False, list(range(35, 29, -1)), between[::-1], [0.9] * 6, arrived=0))
    if rival:
        own = [SHAPE + np.array((500.0 - 18 * k, 300.0)) for k in range(10)]
        ways.append(TrackletExtension(1, True, list(range(26, 36)), own, [0.9] * 10, arrived=2))
    merged, kept = merge_tracklets(detections, pieces, ways)
    assert len(merged) == 2 and [extension.arrived is None for extension in kept][:2] == [rival, rival]
    joined = next(one for one in merged if one.frames[-1] == 69)
    assert (joined.right_log_odds > 0 and joined.agreement == 1) == rival


def jumping(detections: HandDetections, starts: tuple[int, ...]) -> tuple[HandDetections, list[Tracklet]]:
    """Cut the one tracklet of detections, whose hands meet, at the given frames."""
    rows = np.split(np.arange(len(detections.frame)), np.searchsorted(detections.frame, starts))
    return detections, [gather(detections, part) for part in rows]


@pytest.mark.parametrize("at_start", [False, True])
def test_end_that_lies_on_the_other_hand_is_cut_off(at_start: bool) -> None:
    path = {frame: (300.0 if frame < 30 else 330.0, 300.0) for frame in range(32)}
    told = {frame: 0.97 if frame < 30 else 0.15 for frame in range(32)}
    other = {frame: (355.0, 300.0) for frame in range(32, 40)}
    if at_start:
        path, told, other = ({39 - frame: value for frame, value in one.items()} for one in (path, told, other))

    def lengths(*hands: tuple[dict[int, tuple[float, float]], float | dict[int, float]]) -> list[int]:
        detections = scene(*hands, frames=40)
        pieces = jumping(detections, (8 if at_start else 32,))[1] if len(hands) > 1 else link(detections)
        return sorted(len(part.rows) for part in split_by_vote(detections, pieces))

    assert lengths((path, told), (other, 0.1)) == [2, 8, 30]
    assert lengths((path, told)) == [32], "no other hand is near"
    assert lengths((path, 0.97), (other, 0.1)) == [8, 32], "a leap alone cuts nothing"
    assert lengths((dict.fromkeys(path, (300.0, 300.0)), told), (other, 0.1)) == [8, 32], "votes alone cut nothing"


def test_same_sided_hands_keep_their_identity_through_a_crossing() -> None:
    one = {frame: (200 + 12.0 * frame, 300.0) for frame in range(60) if not 24 <= frame < 36}
    other = {frame: (908 - 12.0 * frame, 305.0) for frame in range(60) if not 24 <= frame < 36}
    tracks = track(scene((one, 0.9), (other, 0.9), frames=60))
    assert list(tracks.is_right) == [True, True]
    centers = tracks.xy_px.mean(axis=2)[..., 0] - SHAPE[:, 0].mean()
    way = centers[:, 50] - centers[:, 10]
    assert sorted(way) == pytest.approx([-480, 480])


def test_a_picture_of_two_hands_called_left_has_both() -> None:
    """What a second hand of a side costs is no more than a short clip can pay (`inputs/stills/two_hands.jpg`)."""
    tracks = track(scene((still(300, range(1)), 0.05), (still(800, range(1)), 0.05), frames=1))
    assert list(tracks.is_right) == [False, False]


def test_hand_that_leaves_and_comes_back_is_the_same_hand() -> None:
    path = {frame: (200.0, 300.0) if frame < 40 else (1000.0, 500.0) for frame in range(160) if not 40 <= frame < 120}
    tracks = track(scene((path, 0.9), frames=160))
    assert list(tracks.is_right) == [True]
    assert tracks.seen[0].sum() == 80


@pytest.mark.parametrize("hands, most, sides", [
    ("auto", None, [True, True, False]), ("right", None, [True, True]), ("left", None, [False]),
    ("both", None, [True, False]), ("auto", 1, [True]), ("right", 1, [True]),
])  # fmt: skip
def test_choice_of_hands_among_several(hands: str, most: int | None, sides: list[bool]) -> None:
    seen = (still(300, range(90)), 0.9), (still(700, range(80)), 0.9), (still(1100, range(70)), 0.1)
    tracks = track(scene(*seen, frames=90), hands=hands, max_hands=most)
    assert list(tracks.is_right) == sides
    if most == 1 and hands == "auto":
        assert [one.reason for one in tracks.dropped] == 2 * ["more than --max-hands 1, and seen less than the others"]


def test_persons_are_paired_by_nearness_and_size() -> None:
    shape = SHAPE[None] + np.zeros((5, 1, 1))
    places = ((1, 200), (1, 500), (2, 650), (2, 1100))
    hands = np.stack([scale * shape + np.array([x, 300.0]) for scale, x in places])
    right = np.array([True, False, True, False])
    assert group_hands(hands, right, np.arange(4)).tolist() == [0, 0, 1, 1]
    assert group_hands(hands[:3], right[:3], np.arange(3)).tolist() == [0, 0, 1]
    assert group_hands(hands[[0, 3]], right[[0, 3]], np.arange(2)).tolist() == [0, 0]


def test_persons_who_changed_places_are_paired_by_their_skin() -> None:
    hands = np.stack([np.tile(SHAPE + np.array([x, 300.0]), (5, 1, 1)) for x in (200, 500, 650, 950)])
    right, color = np.array([True, False, True, False]), np.array([[30.0, 16.0, 20.0], [24.0, 12.0, 14.0]])
    assert group_hands(hands, right, np.arange(4), color=color[[0, 0, 1, 1]]).tolist() == [0, 0, 1, 1]
    assert group_hands(hands, right, np.arange(4), color=color[[0, 1, 1, 0]]).tolist() == [0, 1, 1, 0]
    lit_apart = np.array([[60.0, 16.0, 20.0], [10.0, 12.0, 14.0]])
    assert group_hands(hands[:2], right[:2], np.arange(2), color=lit_apart).tolist() == [0, 0]


def test_two_hands_called_the_same_side_are_one_persons_where_colors_or_arms_say_so() -> None:
    hands = np.stack([np.tile(SHAPE + np.array([x, 300.0]), (5, 1, 1)) for x in (200, 500, 650, 950)])
    right, color = np.array([True, False, True, True]), np.array([[30.0, 16.0, 20.0], [44.0, 12.0, 14.0]])
    own = color[[0, 0, 1, 1]]
    assert group_hands(hands, right, np.arange(4), color=own).tolist() == [0, 0, 1, 1]
    assert group_hands(hands, right, np.arange(4), color=color[[0, 0, 0, 0]]).tolist() == [0, 1, 1, 2]
    assert group_hands(hands, right, np.arange(4)).tolist() == [0, 1, 1, 2]
    none = np.zeros(4, np.int64)
    for together, apart, expected in (((2, 3), (0, 0), [0, 0, 1, 1]), ((0, 0), (2, 3), [0, 0, 1, 2])):
        votes = ArmVotes(none, none, np.zeros((4, 4), np.int64), np.zeros((4, 4), np.int64))
        for table, (one, other) in ((votes.together, together), (votes.apart, apart)):
            table[one, other] = table[other, one] = 3 if one != other else 0
        votes.together[0, 1] = votes.together[1, 0] = 3
        assert group_hands(hands, right, np.arange(4), votes, own).tolist() == expected


def test_of_two_hands_called_the_same_side_the_weaker_vote_or_the_arm_is_turned_round() -> None:
    right, person = np.array([True, False, True, True, True]), np.array([0, 0, 1, 1, 2])
    odds = np.array([2.5, -1.1, 3.0, 1.1, 0.2])
    assert sides_of_pairs(right, person, odds).tolist() == [True, False, True, False, True]
    assert sides_of_pairs(right, person, np.array([2.5, -1.1, 3.0, 2.0, 0.2])).tolist() == right.tolist()
    none, table = np.zeros(5, np.int64), np.zeros((5, 5), np.int64)
    at_left_arm = np.array([0, 0, 4, 0, 4])
    votes = ArmVotes(none, at_left_arm, table, table)
    assert sides_of_pairs(right, person, odds, votes).tolist() == [True, False, False, True, True]
    at_both = ArmVotes(none, np.array([0, 0, 4, 4, 0]), table, table)
    assert sides_of_pairs(right, person, np.full(5, 2.0), at_both).tolist() == right.tolist()


def test_hands_whose_side_is_turned_round_keep_their_votes() -> None:
    tracks = track(scene((still(300, range(40)), 0.9), (still(900, range(40)), 0.8), frames=40))
    turned = with_sides(tracks, np.array([True, False]))
    assert turned.agreement.tolist() == [1.0, 0.0] and turned.is_right.tolist() == [True, False]
    np.testing.assert_array_equal(turned.right_log_odds, tracks.right_log_odds)


def test_hands_are_matched_by_side_and_place() -> None:
    points = np.stack([SQUARE[None] + shift for shift in (0.0, 100.0, 200.0)])
    right = np.array([True, True, False])
    order = np.array([2, 0, 1])
    assert match_hands(points, right, points[order] + 3.0, right[order]).tolist() == order.tolist()
    assert match_hands(points, right, points[:1] + 1e4, np.array([False])).tolist() == [2]
    assert match_hands(points[:1], right[:1], points[2:], right[2:]).tolist() == [-1]
    picked = pick_hands(points, np.array([-1, 2]))
    assert np.isnan(picked[0]).all() and (picked[1] == points[2]).all()


def test_hands_without_a_common_frame_are_matched_by_their_side() -> None:
    points = np.full((2, 6, 4, 2), np.nan)
    points[0, :3], points[1, 3:] = SQUARE, SQUARE
    assert match_hands(points[:1], np.array([True]), points[1:], np.array([True])).tolist() == [0]


def test_assign_without_tracklets_finds_no_hand() -> None:
    assert assign(scene(frames=3), []) == []
    assert Hand((0,), True).is_right


def test_hand_at_the_border_is_found_by_a_look_with_a_margin(inputs: Path) -> None:
    tracks = found_in(inputs, "blocks_left_missed.mp4")
    assert list(tracks.is_right) == [True, False]
    assert tracks.seen[1].sum() >= 33


def test_tiny_hand_is_found(inputs: Path) -> None:
    tracks = found_in(inputs, "tiny_hand.mp4")
    assert list(tracks.is_right) == [True]
    assert tracks.seen[0].mean() > 0.9
    assert np.nanmedian(np.ptp(tracks.xy_px[0], axis=1).max(axis=-1)) < 50


@pytest.mark.parametrize("score, frames, reason", [(0.4, 60, "too weak"), (0.7, 5, "too short"), (0.8, 5, None)])
def test_hand_is_earned_by_time_or_by_strength(score: float, frames: int, reason: str | None) -> None:
    detections = scene((still(300, range(60)), 0.9), (still(900, range(10, 10 + frames)), 0.1), frames=90)
    detections = replace(detections, score=np.where(detections.right_probability < 0.5, score, 0.9))
    own = np.full(90, -1)
    own[10 : 10 + frames] = np.flatnonzero(detections.right_probability < 0.5)
    none = np.zeros(90)
    said = rejection_reason(tracklet_evidence(detections, own), none, detections.times_s, expected=False)
    assert (said is None) if reason is None else reason in (said or "")
    assert rejection_reason(tracklet_evidence(detections, own), none, detections.times_s, expected=True) is None
    if frames == 60:
        tracks = track(detections)
        assert list(tracks.is_right) == [True]
        assert [one.is_right for one in tracks.dropped] == [False]
        assert "too weak" in tracks.dropped[0].reason


def test_pictures_without_a_hand_hold_none() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    clip = Pictures([noise] * 3)
    with pytest.raises(NoHandError, match="No hand was found"):
        find_tracks(clip, load_landmarker(), MediaPipeOptions(workers=1))


class Pictures:
    """A clip of pictures in memory."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self._images = images
        self.height, self.width = images[0].shape[:2]
        self.times_s = np.arange(len(images)) / FPS

    def images(self, start: int = 0, stop: int | None = None):
        yield from [(n, image) for n, image in enumerate(self._images)][start:stop]


def test_idf1_counts_frames_of_exchanged_identities_as_lost() -> None:
    true = np.stack([np.tile(SHAPE + shift, (10, 1, 1)) for shift in (0.0, 400.0)])
    in_sight = np.ones((2, 10), dtype=bool)
    assert idf1(true, true, in_sight) == 1.0
    exchanged = true.copy()
    exchanged[:, 7:] = true[::-1, 7:]
    assert idf1(exchanged, true, in_sight) == pytest.approx(0.7)
    half = true.copy()
    half[1] = np.nan
    assert idf1(half, true, in_sight) == pytest.approx(2 * 10 / (10 + 20))
    hidden = in_sight.copy()
    hidden[1] = False
    assert idf1(true, true, hidden) == 1.0
    behind = np.stack([true[0], true[0] + 10.0])
    only_front = behind.copy()
    only_front[1] = np.nan
    assert idf1(only_front, behind, hidden) == 1.0, "a hand in sight counts, also before one that is out of sight"


def test_hands_of_two_people_change_places_and_stay_apart() -> None:
    models = load_hand_models("open")
    motion = sample_people(models, 2, 4.0, FPS, np.random.default_rng(3))
    assert motion.is_right.tolist() == [True, False, True, False]
    assert motion.person_id.tolist() == [0, 0, 1, 1]
    wrists = pose_hands(models, motion).joints[:, :, 0]
    assert (wrists[..., 2] > 0.8).all()
    before, after = wrists[:, 0, 0].argsort(), wrists[:, -1, 0].argsort()
    assert (before != after).any()
    distances = np.linalg.norm(wrists[:, None] - wrists[None], axis=-1) + 10 * np.eye(4)[..., None]
    assert distances.min() > 0.05


@pytest.mark.parametrize("presence, hand", [(0.7, False), (0.98, True)])
def test_hand_that_is_found_once_must_be_sure_where_it_is_followed(presence: float, hand: bool) -> None:
    detections = scene(({30: (300.0, 300.0)}, 0.9), frames=60)
    followed = np.zeros(60)
    followed[20:30] = followed[31:41] = presence
    own = np.full(60, -1)
    own[30] = 0
    said = rejection_reason(tracklet_evidence(detections, own), followed, detections.times_s, expected=False)
    assert (said is None) == hand


def test_mirror_image_is_turned_back(inputs: Path) -> None:
    plain = open_clip(inputs / "cases" / "base.mp4", (0, 3))
    turned = open_clip(inputs / "cases" / "base.mp4", (0, 3), mirrored=True)
    assert turned.fingerprint() != plain.fingerprint()
    for (_, image), (_, other) in zip(plain.images(), turned.images(), strict=True):
        assert (other == image[:, ::-1]).all()
    assert list(find_tracks(turned, load_landmarker(), MediaPipeOptions(workers=1)).is_right) == [False]


def test_colors_tell_two_people_apart_where_one_hand_is_taken_for_the_other() -> None:
    path = {frame: (300.0, 300.0) for frame in range(40)}
    detections = scene((path, 0.9), frames=40)
    colors = np.where(np.arange(40)[:, None] < 36, [20.0, 16.0, 11.0], [9.0, 8.0, 12.0])
    colors[10] = [50.0, 0.0, 0.0]
    detections = replace(detections, color=colors + np.random.default_rng(0).normal(0, 0.5, (40, 3)))
    parts = split_by_color(detections, link(detections))
    assert [(int(one.frames[0]), int(one.frames[-1])) for one in parts] == [(0, 35), (36, 39)]
    same = replace(detections, color=colors[:1] + np.random.default_rng(0).normal(0, 3, (40, 3)))
    assert len(split_by_color(same, link(same))) == 1


@pytest.mark.slow
def test_hands_that_hold_cups_stay_one_right_and_one_left(inputs: Path) -> None:
    tracks = find_tracks(open_clip(inputs / "clips" / "cups.mp4"), load_landmarker(), MediaPipeOptions())
    assert sorted(tracks.is_right) == [False, True]
    assert tracks.seen.sum() > 400
