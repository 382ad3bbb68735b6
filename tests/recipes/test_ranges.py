"""Numbers that cannot be meant are refused with the allowed range, by recipes, --set, and the settings of scripts."""

import pytest

from hmpfit.errors import InputError
from hmpfit.recipes import RunSettings, recipe_names
from hmpfit.recipes.loading import apply_overrides, load_recipe
from hmpfit.recipes.resolving import resolve_settings


@pytest.mark.parametrize(
    "assignment",
    ["keypoints.gamma=-1", "keypoints.views=-3", "keypoints.views=1000000", "stages.1.weights.prior=-5",
     "solvers.gauss_newton.damping=-1", "solvers.gauss_newton.steps=-1", "camera.focal_per_longer_side=0"],
)  # fmt: skip
def test_a_number_outside_its_range_is_refused(assignment: str) -> None:
    with pytest.raises(InputError, match=r"must lie between|known:"):
        apply_overrides(load_recipe("default"), [assignment])


def test_the_shipped_recipes_lie_inside() -> None:
    for name in recipe_names():
        load_recipe(name)


def test_a_seed_has_a_range() -> None:
    for seed in (-1, 2**40):
        with pytest.raises(InputError, match="--seed must be a whole number from 0"):
            RunSettings(seed=seed)
    assert resolve_settings(seed=3, wait=True).comparable() == resolve_settings(seed=3).comparable()
