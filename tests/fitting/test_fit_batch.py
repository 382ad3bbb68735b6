"""Several clips in one batch: the same results as one by one, padding and ended problems notwithstanding."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hmpfit.fitting.batching.gather import ClipToFit
from hmpfit.fitting.stages import Fitted, fit, fit_batch
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.priors.motion_field.loading import load_default
from hmpfit.recipes import Recipe, load_recipe
from hmpfit.recipes.schema import NumericsSettings
from hmpfit.synthesis.made_keypoints import make_keypoints

MODELS, PRIOR = load_hand_models(), load_default()


def sequences(*frames: int) -> list[ClipToFit]:
    """Made clips of these lengths; the second is a left hand seen through a lens of its own."""
    out = []
    for seed, count in enumerate(frames):
        made = make_keypoints(MODELS, count, 30.0, seed)
        generator = np.random.default_rng(seed)
        guess = {
            name: value + generator.normal(0, scale, value.shape)
            for name, scale in (("global_orient", 0.05), ("hand_pose", 0.1), ("transl", 0.01))
            for value in [getattr(made.truth, name)]
        }
        motion, tracks, camera = replace(made.truth, **guess), made.tracks, made.camera
        if seed == 1:
            x = np.array([-1.0, 1.0, 1.0])
            assert tracks.world_m is not None
            xy = tracks.xy_px * x[:2] + [camera.width, 0]
            tracks = replace(tracks, xy_px=xy, world_m=tracks.world_m * x, is_right=~tracks.is_right)
            motion = motion.mirrored(np.array([True]))
            camera = replace(camera, distortion=np.array([0.01, 0.0, 0.0, 0.0, 0.0]))
        out.append(ClipToFit(motion, tracks, camera, MODELS))
    return out


def moved_mm(one: Fitted, other: Fitted) -> float:
    first, second = (pose_hands(MODELS, fitted.motion).joints for fitted in (one, other))
    return float(1000 * np.linalg.norm(first - second, axis=-1).max())


def recipe(**changes: Any) -> Recipe:
    base = load_recipe("default")
    return replace(base, stages=[replace(stage, **changes) for stage in base.stages])


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_clips_of_a_batch_end_where_they_end_alone(reduction: str) -> None:
    clips, how = sequences(24, 16), recipe(reduction=reduction, steps=8 if reduction == "sum" else 1)
    together = fit_batch(clips, PRIOR, how)
    for clip, fitted in zip(clips, together):
        alone = fit(clip.initial, clip.tracks, clip.camera, MODELS, PRIOR, how)
        assert fitted.motion.status.shape == clip.initial.status.shape and fitted.windows == alone.windows
        np.testing.assert_array_equal(fitted.motion.is_right, clip.initial.is_right)
        assert moved_mm(fitted, alone) < 0.1
        assert np.abs(fitted.landmarks_px - alone.landmarks_px).max() < 0.1
        np.testing.assert_allclose(fitted.linear_std_mm, alone.linear_std_mm, rtol=0.01)
        for one, other in zip(fitted.reports, alone.reports):
            assert one.cost_end == pytest.approx(other.cost_end, rel=1e-4)


def test_clips_that_cannot_share_a_batch_are_fitted_all_the_same() -> None:
    slow, fast, long = *sequences(12, 12), sequences(130)[0]
    fast = replace(fast, tracks=replace(fast.tracks, times_s=fast.tracks.times_s / 2))
    fits = fit_batch([long, slow, fast], PRIOR, recipe(steps=1))
    assert [fitted.linear_std_mm.shape for fitted in fits] == [(1, 130, 21), (1, 12, 21), (1, 12, 21)]
    assert [len(fitted.windows) for fitted in fits] == [2, 1, 1]


@pytest.mark.parametrize("solver", ["adam", "lbfgs", "none"])
def test_other_solvers_take_batches_too(solver: str) -> None:
    clips = sequences(12, 8)
    how = recipe(adam_steps=2)
    for clip, fitted in zip(clips, fit_batch(clips, PRIOR, how, solver)):
        alone = fit(clip.initial, clip.tracks, clip.camera, MODELS, PRIOR, how, solver)
        assert moved_mm(fitted, alone) < 0.1


def test_precisions_agree() -> None:
    clip, fits = sequences(24)[0], {}
    for precision in ("mixed", "float64", "float32"):
        how = replace(recipe(steps=8), numerics=NumericsSettings(precision))
        fits[precision] = fit_batch([clip], PRIOR, how)[0]
    assert moved_mm(fits["mixed"], fits["float64"]) < 0.1
    assert moved_mm(fits["float32"], fits["float64"]) < 0.1
    np.testing.assert_allclose(fits["float32"].linear_std_mm, fits["float64"].linear_std_mm, rtol=0.01)
