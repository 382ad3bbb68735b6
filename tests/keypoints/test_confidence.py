import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.keypoints.confidence import (
    LEAST_TURN,
    MOST_TURN,
    confidence,
    drop_low_confidence_frames,
    is_zero_confidence,
    sample_views,
)
from hmpfit.records import KeypointTracks


def made_hand() -> np.ndarray:
    hand = np.random.default_rng(3).uniform(20, 60, (21, 2))
    hand[0], hand[1] = (0, 0), (60, 80)  # the box's diagonal is 100 px
    return hand


def test_poster_formula_by_hand() -> None:
    base = made_hand()
    views = np.stack([base, base, base, base])
    views[0, 5] += (3, 0)
    views[1, 5] += (0, 4)  # sigma^2 = (9 + 16) / 4 = 6.25, sigma = 2.5 px
    alpha = confidence(base, views, gamma=0.05)  # gamma = 5 px
    assert alpha[5] == pytest.approx(0.5)
    assert np.delete(alpha, 5) == pytest.approx(1.0)


def test_confidence_ends_at_gamma() -> None:
    base = made_hand()
    assert confidence(base, base[None] + (5.1, 0), gamma=0.05) == pytest.approx(0.0)
    assert (confidence(base, base[None] + (4.9, 0), gamma=0.05) > 0).all()


@pytest.mark.parametrize(("found", "expected"), [(4, 1.0), (3, 0.5), (0, 0.0)])
def test_views_without_a_hand_lower_confidence(found: int, expected: float) -> None:
    base = made_hand()
    views = np.repeat(base[None], 4, axis=0)
    views[found:] = np.nan
    assert confidence(base, views) == pytest.approx(expected)


def test_no_views_at_all_is_no_confidence() -> None:
    assert (confidence(made_hand(), np.zeros((0, 21, 2))) == 0).all()


def test_frames_broadcast_and_scale_cancels() -> None:
    generator = np.random.default_rng(0)
    base = np.stack([made_hand(), made_hand() + 40])
    views = base[:, None] + generator.normal(0, 1, (2, 4, 21, 2))
    whole = confidence(base, views)
    assert whole.shape == (2, 21)
    assert confidence(base[1], views[1]) == pytest.approx(whole[1])
    assert confidence(3 * base, 3 * views) == pytest.approx(whole)


def test_views_are_a_function_of_seed_and_frame() -> None:
    first, again, other = sample_views(11, 0, 7), sample_views(11, 0, 7), sample_views(11, 0, 8)
    assert (first.angle == again.angle).all() and (first.scale == again.scale).all()
    assert (first.angle != other.angle).any()
    assert (np.abs(first.angle) >= LEAST_TURN).all() and (np.abs(first.angle) <= MOST_TURN).all()
    assert (first.scale >= 0.9).all() and (first.scale <= 1.1).all()
    assert (first.angle > 0).any() and (first.angle < 0).any()


def test_no_view_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        sample_views(0, 0, 0)


@pytest.mark.parametrize("shift", [3.0, 5.2, 8.0, 11.0])
def test_the_shortcut_never_contradicts_the_whole_sum(shift: float) -> None:
    base = made_hand()
    views = np.stack([base + np.array([shift, 0.0]), base, base, base])  # the least that they can add
    settled = is_zero_confidence(base, views[:1], 4, gamma=0.05)
    assert settled == (confidence(base, views, gamma=0.05) <= 1e-12).all()
    assert not is_zero_confidence(base, views[:0], 4)


def test_doubtful_frames_are_unseen_and_a_hand_of_only_such_keeps_them() -> None:
    shape = (2, 4, 21)
    trust = np.zeros(shape)
    trust[0, :, :7] = np.array([0.9, 0.3, 0.06, 0.0])[:, None]  # means 0.3, 0.1, 0.02, 0
    tracks = KeypointTracks(
        xy_px=np.ones((*shape, 2)), confidence=trust, seen=np.ones((2, 4), dtype=bool),
        is_right=np.array([True, False]), times_s=np.arange(4) / 30, world_m=np.ones((*shape, 3)),
    )  # fmt: skip
    kept = drop_low_confidence_frames(tracks, 0.05)
    assert kept.seen.tolist() == [[True, True, False, False], [True] * 4]
    assert kept.world_m is not None
    for values in (kept.xy_px, kept.world_m):
        assert np.isnan(values[0, 2:]).all() and np.isfinite(values[0, :2]).all() and np.isfinite(values[1]).all()
    assert (kept.confidence[0, 2:] == 0).all() and (kept.confidence[0, :2] == trust[0, :2]).all()
    assert drop_low_confidence_frames(tracks, 0.0) is tracks


def test_gamma_in_pixels_knows_nothing_of_the_hand_s_size() -> None:
    for side in (50.0, 500.0):
        base = np.zeros((21, 2))
        base[1] = side
        alpha = confidence(base, base[None] + (3.0, 0), gamma_px=4.0)
        assert alpha == pytest.approx(0.25)  # 1 - 3 px / 4 px
        assert not is_zero_confidence(base, base[None] + (3.9, 0), 1, gamma_px=4.0)
        assert is_zero_confidence(base, base[None] + (4.1, 0), 1, gamma_px=4.0)
