"""Hands that the landmark network doubts over turned and scaled views: dropped with a reason, others kept."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import NoHandError
from hmpfit.keypoints import doubtful_hands
from hmpfit.keypoints.close_up import palm_scores
from hmpfit.keypoints.doubtful_hands import doubts, drop_doubtful, sureness, unconfirmed, wide_views
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.mediapipe import MediaPipeOptions, extract, find_tracks
from hmpfit.keypoints.regions import Regions
from hmpfit.keypoints.tracking import track
from hmpfit.records import Camera, KeypointTracks
from hmpfit.video.clip import open_clip
from tests.keypoints.test_tracking import scene, still


def views(*rows: list[float], frames: int = 60) -> np.ndarray:
    """Return view presences [H, T]: those of each row in its first frames, NaN after."""
    return np.array([row + [np.nan] * (frames - len(row)) for row in rows])


def confirm_all(hands: Sequence[int]) -> dict[int, float]:
    return dict.fromkeys(hands, 1.0)


def test_a_quarter_of_the_frames_decides() -> None:
    covered_half_the_time, paw, never_viewed = [0.3] * 10 + [0.99] * 10, [0.86] * 17 + [0.99] * 3, []
    sure, least = sureness(views(covered_half_the_time, paw, never_viewed, [0.89]))
    assert (sure >= least).tolist() == [True, False, False, True]
    assert sure[:2] == pytest.approx([0.99, 0.86]) and np.isnan(sure[2])
    assert least[3] < least[0], "a photo has one frame, and its hands are less sure"


def test_views_that_agree_on_no_landmark_must_be_surer() -> None:
    presence = views([0.94] * 20, [0.94] * 20, [0.98] * 20, [0.94])
    confidence, seen = np.zeros((4, 60, 21)), np.isfinite(presence)
    confidence[1, :4] = 0.1
    said = doubts(presence, confidence, seen)
    assert said[0] is not None and "agree on no landmark" in said[0]
    assert said[1:] == [None, None, None], "some frames, a surer hand, a photo"


def test_an_unsure_hand_of_a_video_needs_a_palm_close_up() -> None:
    sure, least = sureness(views([0.95] * 20, [0.95] * 20, [0.99] * 20, [0.9] * 20, [0.95]))
    asked: list[int] = []

    def score(hands: Sequence[int]) -> dict[int, float]:
        asked.extend(hands)
        return {0: 0.48, 1: 0.71}

    said = unconfirmed(sure, least, [None, None, None, "doubtful", None], score)
    assert asked == [0, 1], "neither a sure hand, nor one that is dropped anyway, nor a photo's"
    assert said[0] is not None and "scores it 0.48 close up" in said[0]
    assert said[1:] == [None, None, "doubtful", None]


def test_an_unsure_hand_that_looks_covered_needs_a_clearer_palm() -> None:
    sure, least = sureness(views([0.975] * 20, [0.975] * 20, [0.975] * 20, [0.99] * 20))
    palms = {0: 0.7, 1: 0.7, 2: 0.85, 3: 0.1}
    covered = np.array([0.3, 0.1, 0.3, 0.3])
    said = unconfirmed(sure, least, [None] * 4, lambda hands: {hand: palms[hand] for hand in hands}, covered)
    assert said[0] is not None and "scores it 0.70 close up (such hands: 0.8 or more)" in said[0]
    assert said[1:] == [None, None, None], "clear landmarks, a clear palm, a sure hand"


def test_a_hand_looks_covered_only_where_it_never_is_clear() -> None:
    presence, seen = np.full((2, 60), 0.975), np.ones((2, 60), dtype=bool)
    tracks = track(scene((still(300, range(60)), 0.9), (still(700, range(60)), 0.1), frames=60))
    covered = np.full((2, 60, 21), 0.5)
    covered[0, :10] = 0.0
    measured = KeypointTracks(
        tracks.xy_px, np.ones((2, 60, 21)), seen, tracks.is_right, tracks.times_s,
        hand_id=tracks.hand_id, person_id=tracks.person_id, covered=covered,
    )  # fmt: skip
    kept = drop_doubtful(measured, tracks, presence, lambda hands: dict.fromkeys(hands, 0.7))
    assert kept.is_right.tolist() == [tracks.is_right[0]] and len(kept.dropped) == 1


def test_the_palm_of_a_hand_is_confirmed_close_up_and_a_wall_has_none(inputs: Path) -> None:
    clip = open_clip(inputs / "cases" / "base.mp4", (0, 8))
    files = load_landmarker()
    tracks = find_tracks(clip, files, MediaPipeOptions(workers=1))
    elsewhere = tracks.xy_px + np.array([200.0 if np.nanmean(tracks.xy_px[..., 0]) < 320 else -200.0, 0.0])
    shown = KeypointTracks(
        np.concatenate((tracks.xy_px, elsewhere)), np.ones((2, 8, 21)), np.tile(tracks.seen, (2, 1)),
        np.tile(tracks.is_right, 2), tracks.times_s,
    )  # fmt: skip
    scores = palm_scores(clip, shown, [0, 1], files=files, workers=1)
    assert scores[0] > 0.8 and scores[1] < 0.2
    assert palm_scores(clip, shown, [], files=files, workers=1) == {}


def test_doubtful_hands_are_listed_and_the_others_numbered_anew() -> None:
    seen = (still(300, range(10, 60)), 0.9), (still(700, range(60)), 0.9), (still(1100, range(60)), 0.1)
    tracks = track(scene(*seen, frames=60))
    measured = KeypointTracks(
        tracks.xy_px, np.ones((3, 60, 21)), tracks.seen, tracks.is_right, tracks.times_s,
        hand_id=tracks.hand_id, person_id=tracks.person_id,
    )  # fmt: skip
    presence = np.full((3, 60), 0.99)
    first = int(np.argmin(tracks.hand_id))
    presence[first] = 0.8
    kept = drop_doubtful(measured, tracks, presence, confirm_all)
    rows = [hand for hand in range(3) if hand != first]
    np.testing.assert_array_equal(kept.xy_px, measured.xy_px[rows])
    assert sorted(kept.hand_id) == [0, 1] and kept.person_id.min() == 0
    (one,) = kept.dropped
    assert "doubtful: its presence is 0.80" in one.reason and one.is_right == tracks.is_right[first]
    assert one.detections == tracks.seen[first].sum() and one.center_px[0] == pytest.approx(
        tracks.xy_px[first, 30, :, 0].mean()
    )
    presence[first] = np.nan
    assert drop_doubtful(measured, tracks, presence, confirm_all) is measured


def test_wide_views_keep_the_hand_inside() -> None:
    region = Regions(np.array([100.0, 50.0]), np.float64(40.0), np.float64(0.3))
    wide = wide_views(region)
    assert (wide.center_px[0] == region.center_px).all() and wide.side_px[0] == 40.0 and wide.angle[0] == 0.3
    rows = np.concatenate((wide.center_px, wide.side_px[:, None], wide.angle[:, None]), axis=1)
    assert len(np.unique(rows, axis=0)) == len(rows) == 12
    assert np.abs(wide.center_px - region.center_px).max() < 0.2 * 40.0
    assert wide.side_px.min() >= 0.75 * 40.0


@pytest.mark.parametrize("frames", [(0, 30), (0, 1)])
def test_a_hand_is_kept_and_what_must_be_surer_is_none(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, frames: tuple[int, int]
) -> None:
    clip = open_clip(inputs / "cases" / "base.mp4", frames)
    K = np.array([[[640.0, 0, 320], [0, 640, 180], [0, 0, 1]]])
    camera = Camera(K, clip.width, clip.height, None, "given")
    options = MediaPipeOptions(workers=1, views_every_s=0.1)
    found = extract(clip, camera, options)
    assert found.seen.all() and not found.dropped
    monkeypatch.setattr(doubtful_hands, "_LEAST", 1.01)
    monkeypatch.setattr(doubtful_hands, "_LEAST_OF_FEW", 1.01)
    with pytest.raises(NoHandError, match=r"none on a closer look \(doubtful: its presence is (0.9|1.0)"):
        extract(clip, camera, options)
    assert extract(clip, camera, MediaPipeOptions("right", workers=1, views_every_s=0.1)).seen.all()
