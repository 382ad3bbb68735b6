"""Recipes are data: the weights, kernels and stages of a fit as TOML, and the settings of one run."""

from hmpfit.recipes.loading import apply_overrides, load_recipe, recipe_names
from hmpfit.recipes.schema import KernelSettings, Recipe, Stage
from hmpfit.recipes.settings import RunSettings

__all__ = ["KernelSettings", "Recipe", "RunSettings", "Stage", "apply_overrides", "load_recipe", "recipe_names"]
