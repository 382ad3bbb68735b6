"""Recipes: every shipped one reads, overrides reach their place, and a misspelt key lists the known ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmpfit.errors import InputError, UnknownNameError
from hmpfit.fingerprints import file_fingerprint, fingerprint
from hmpfit.recipes import RunSettings, apply_overrides, load_recipe, recipe_names
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.recipes.schema import PenetrationSettings


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_complete(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.stages and all(stage.weights for stage in recipe.stages)
    assert RunSettings(recipe=recipe).views == recipe.keypoints.views


def test_overrides_change_a_copy_at_their_path() -> None:
    recipe = load_recipe("default")
    before = recipe.stages[1].weights["prior"]
    changed = apply_overrides(recipe, ["stages.1.weights.prior=217", "keypoints.views=11", "solver=adam"])
    assert changed.stages[1].weights["prior"] == 217
    assert (changed.keypoints.views, changed.solver) == (11, "adam")
    assert recipe.stages[1].weights["prior"] == before


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("stages.1.weights.priro=2", r"Unknown recipe key in \[stages.1.weights\] 'priro'; known: .*\bprior\b"),
        ("stagse.1.weights.prior=2", r"Unknown recipe key in \[top level\] 'stagse'; known: .*\bstages\b"),
        ("stages.9.weights.prior=2", r"'stages' '9'; known: 0, 1"),
        ("stages.1.steps=true", "must be a whole number, not true or false"),
        ("stages.1.weights.prior=heavy", "must be a number, not a text"),
        ("stages.1.weights.prior=nan", "must be a finite number"),
        ("keypoints=3", "holds a table there"),
        ("solver.name=3", "is a single value and has no key 'name'"),
        ("stages.1.weights.prior", "needs KEY=VALUE"),
    ],
)
def test_a_wrong_override_says_what_would_have_worked(assignment: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply_overrides(load_recipe("default"), [assignment])


def test_a_users_file_changes_what_it_says_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[keypoints]\nviews = 6\n")
    recipe, default = load_recipe(path), load_recipe("default")
    assert recipe.name == "mine" and recipe.keypoints.views == 6
    assert recipe.keypoints.gamma == default.keypoints.gamma
    assert recipe.stages == default.stages


def test_unknown_and_unreadable_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown recipe 'fast'; known: .*default"):
        load_recipe("fast")
    with pytest.raises(InputError, match="There is no recipe file"):
        load_recipe(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[keypoints\n")
    with pytest.raises(InputError, match="cannot be read as TOML"):
        load_recipe(broken)
    broken.write_text("[keypoints]\nveiws = 6\n")
    with pytest.raises(UnknownNameError, match=r"'veiws'; known: .*views"):
        load_recipe(broken)


def test_keypoints_from_the_initializer_need_an_initializer_of_their_own() -> None:
    with pytest.raises(InputError, match="--keypoints initializer"):
        RunSettings(keypoints="initializer")


def test_how_a_run_is_carried_out_is_no_setting_of_its_result() -> None:
    assert RunSettings(workers=1, overwrite=True).comparable() == RunSettings(workers=2).comparable()
    assert RunSettings(seed=1).comparable() != RunSettings().comparable()


def test_fingerprints_follow_values_alone(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert fingerprint({"a": 1, "b": array}) == fingerprint({"b": array.copy(), "a": 1})
    assert len({fingerprint(array), fingerprint(array.T), fingerprint(array.astype(np.float32)), fingerprint(6)}) == 4
    with pytest.raises(TypeError):
        fingerprint(object())
    first, second = tmp_path / "a.bin", tmp_path / "b.bin"
    first.write_bytes(b"x" * 3_000_000)
    second.write_bytes(b"x" * 3_000_000)
    assert file_fingerprint(first) == file_fingerprint(second)
    second.write_bytes(b"x" * 2_999_999 + b"y")
    assert file_fingerprint(first) != file_fingerprint(second)


def test_keys_of_earlier_versions_are_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = tmp_path / "old.toml"
    old.write_text(
        'set = ["stages.1.apart.looks=3", "stages.1.apart.skin_m=0.002", "stages.1.options.prior.numbers=64"]'
    )
    stage = load_recipe(str(old)).stages[1]
    assert stage.resolve_penetration == PenetrationSettings(iterations=3, clearance_m=0.002)
    assert stage.options["prior"].latent_dim == 64
    assert "'apart' is called 'resolve_penetration' now" in caplog.text


def test_gamma_is_4_pixels_in_the_papers_recipe_and_by_the_hands_size_elsewhere() -> None:
    assert load_recipe("paper").keypoints.gamma_px == 4.0
    assert load_recipe("default").keypoints.gamma_px == 0.0


@pytest.mark.parametrize("told", [{"hand_size_mm": 180.0}, {"shape_from": "earlier"}])
def test_a_size_that_the_user_told_is_not_fitted_again(told: dict[str, Any]) -> None:
    settings = resolve_settings(**told)
    assert all("betas" not in stage.free for stage in settings.fit_recipe.stages)
    assert all("betas" in stage.free for stage in settings.recipe.stages)
