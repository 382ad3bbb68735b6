"""Landmarks followed by optical flow through frames in which the detector saw nothing."""

from dataclasses import replace

import numpy as np
import pytest

from hmpfit.keypoints import followed
from hmpfit.keypoints.followed import Followed, follow_gaps, with_followed
from hmpfit.progress import Silent
from hmpfit.records import KeypointTracks
from hmpfit.skeleton import OPENPOSE_PALM
from hmpfit.video.clip import Clip

FRAMES, FPS, WIDTH, HEIGHT = 24, 30.0, 320, 240
GAP = slice(6, 16)


class Pictures:
    """A patch of texture that swings over a plain wall; `cover` lays a board over it in the gap."""

    width, height, fps, still, focal_px, stored_size = WIDTH, HEIGHT, FPS, False, None, (WIDTH, HEIGHT)
    times_s = np.arange(FRAMES) / FPS

    def __init__(self, cover: bool = False) -> None:
        self.patch = np.random.default_rng(3).uniform(40, 255, (20, 20)).repeat(5, 0).repeat(5, 1).astype(np.uint8)
        self.cover = cover

    @staticmethod
    def corner(frame: int) -> np.ndarray:
        """Where the patch's upper left corner is: a swing of 40 px, which a straight line between its ends misses."""
        return np.array([80 + 2 * frame, 70 + 40 * np.sin(np.pi * (frame - 5) / 11)]).round()

    def image(self, frame: int) -> np.ndarray:
        out = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        x, y = self.corner(frame).astype(int)
        out[y : y + 100, x : x + 100] = self.patch[..., None]
        if self.cover and GAP.start <= frame < GAP.stop:
            out[:, 15 * frame - 60 : 15 * frame + 120] = np.linspace(0, 255, HEIGHT, dtype=np.uint8)[:, None, None]
        return out

    def decoded(self, start, stop, only=None):
        return ((lambda frame=frame: self.image(frame)) for frame in (range(start, stop) if only is None else only))

    def hash_into(self, digest) -> None: ...


def scene(cover: bool = False) -> tuple[Clip, KeypointTracks, np.ndarray]:
    """A clip, tracks without the gap, and where the landmarks [T, 21, 2] are."""
    pictures = Pictures(cover)
    spots = np.random.default_rng(4).uniform(15, 85, (21, 2))
    true = np.stack([Pictures.corner(frame) + spots for frame in range(FRAMES)])
    seen = np.ones(FRAMES, bool)
    seen[GAP] = False
    tracks = KeypointTracks(
        np.where(seen[:, None, None], true, np.nan)[None], np.ones((1, FRAMES, 21)) * seen[:, None], seen[None],
        np.array([True]), Pictures.times_s,
    )  # fmt: skip
    return Clip("swing", 0, Pictures.times_s, FPS, pictures), tracks, true


def test_landmarks_are_followed_where_a_straight_line_is_far_off():
    clip, tracks, true = scene()
    found = follow_gaps(clip, tracks, Silent())
    off = np.linalg.norm(found.xy_px[0, GAP] - true[GAP], axis=-1)
    ends = true[[GAP.start - 1, GAP.stop]]
    share = np.linspace(0, 1, GAP.stop - GAP.start + 2)[1:-1, None, None]
    line = np.linalg.norm((1 - share) * ends[0] + share * ends[1] - true[GAP], axis=-1)
    assert line.mean() > 15 and off.mean() < 2
    assert np.median(found.confidence[0, GAP]) > 0.3
    assert np.isnan(found.xy_px[0, : GAP.start]).all() and (found.confidence[0, GAP.stop :] == 0).all()


def test_what_a_board_hides_counts_little():
    clip, tracks, _ = scene()
    covered, _, _ = scene(cover=True)
    in_sight, behind = (follow_gaps(one, tracks, Silent()).confidence[0, GAP] for one in (clip, covered))
    assert np.median(behind) < 0.25 * np.median(in_sight)


def test_the_same_pictures_give_the_same_bytes():
    clip, tracks, _ = scene()
    one, other = (follow_gaps(clip, tracks, Silent()) for _ in range(2))
    assert one.xy_px.tobytes() == other.xy_px.tobytes() and one.confidence.tobytes() == other.confidence.tobytes()


def test_gaps_followed_apart_give_the_same_bytes(monkeypatch):
    clip, tracks, _ = scene()
    kept = np.ones(FRAMES, dtype=bool)
    kept[GAP.start - 5 : GAP.start - 2] = False
    tracks = tracks.keep_frames(kept)
    whole = follow_gaps(clip, tracks, Silent())
    cuts = []

    def one_each(numbers):
        cuts.extend(np.unique(numbers))
        return [numbers[numbers == n] for n in cuts]

    monkeypatch.setattr(followed, "stretches", one_each)
    apart = follow_gaps(clip, tracks, Silent())
    assert len(cuts) == 2 and (whole.confidence[0, GAP.start - 5 : GAP.start - 2] > 0).any()
    assert whole.xy_px.tobytes() == apart.xy_px.tobytes() and whole.confidence.tobytes() == apart.confidence.tobytes()


def test_longer_gaps_and_hands_at_the_ends_are_left_alone():
    clip, tracks, _ = scene()
    slow = replace(tracks, times_s=10 * tracks.times_s)
    assert (follow_gaps(clip, slow, Silent()).confidence == 0).all()
    ends = tracks.keep_frames(np.arange(FRAMES) < GAP.start)
    assert (follow_gaps(clip, ends, Silent()).confidence == 0).all()


def test_landmarks_that_lack_at_one_end_stay_unknown():
    clip, tracks, _ = scene()
    xy = tracks.xy_px.copy()
    xy[0, GAP.start - 1, 4] = np.nan
    found = follow_gaps(clip, replace(tracks, xy_px=xy), Silent())
    assert (found.confidence[0, :, 4] == 0).all() and (found.confidence[0, GAP, 5] > 0).all()


def test_what_a_still_thing_of_another_color_hides_counts_little():
    clip, tracks, true = scene()
    plain = clip.store.image

    def with_thing(frame):
        out = plain(frame)
        if GAP.start <= frame < GAP.stop:
            out[:, 150:] = (30, 90, 180)  # as bright as the patch, and still: flows there and back agree
        return out

    clip.store.image = with_thing
    confidence = follow_gaps(clip, tracks, Silent()).confidence[0, GAP]
    behind, beside = true[GAP, :, 0] > 165, true[GAP, :, 0] < 135
    assert behind.any() and (confidence[behind] < followed.LEAST).all() and np.median(confidence[beside]) > 0.3


def test_landmarks_are_not_followed_from_frames_in_which_a_thing_covers_them():
    clip, tracks, true = scene()
    weight, ends = np.ones((1, FRAMES, 21)), [GAP.start - 1, GAP.stop]
    weight[0, ends, 3] = weight[0, GAP.stop, 4] = 0.1
    wrong = tracks.xy_px.copy()
    wrong[0, GAP.stop, 4] += 30
    found = follow_gaps(clip, replace(tracks, xy_px=wrong, weight=weight), Silent())
    assert (found.confidence[0, GAP, 3] < followed.LEAST).all()
    assert np.linalg.norm(found.xy_px[0, GAP, 4] - true[GAP, 4], axis=-1).max() < 6


def test_fingers_without_a_palm_are_not_followed():
    _, tracks, _ = scene()
    confidence = np.full((1, FRAMES, 21), 0.8)
    confidence[..., OPENPOSE_PALM] = 0
    given = with_followed(tracks, Followed(np.full(tracks.xy_px.shape, 7.0), confidence), 0.5)
    assert not given.seen[0, GAP].any()


@pytest.mark.parametrize("sure", [7, 8])
def test_followed_landmarks_fill_unseen_frames_only_and_count_in_part(sure):
    _, tracks, _ = scene()
    tracks = replace(tracks, world_m=np.zeros((1, FRAMES, 21, 3)), weight=np.full((1, FRAMES, 21), 0.1))
    confidence = np.zeros((1, FRAMES, 21))
    confidence[..., :sure] = 0.8
    given = with_followed(tracks, Followed(np.full(tracks.xy_px.shape, 7.0), confidence), 0.5)
    enough = sure == 8
    assert given.seen[0, GAP].all() == enough and given.seen[0, : GAP.start].all()
    assert np.array_equal(given.xy_px[0, : GAP.start], tracks.xy_px[0, : GAP.start])
    if enough:
        assert (given.xy_px[0, GAP, :sure] == 7.0).all() and np.isnan(given.xy_px[0, GAP, sure:]).all()
        assert np.allclose(given.confidence[0, GAP, :sure], 0.4) and (given.confidence[0, GAP, sure:] == 0).all()
        assert given.weight is not None and (given.weight[0, GAP, :sure] == 1).all()
