"""Resolve options, of `hmpfit run` or of `hmpfit.fit_video`, into `RunSettings`, before anything slow."""

from collections.abc import Sequence
from pathlib import Path

from hmpfit import registry
from hmpfit.errors import UnknownNameError
from hmpfit.recipes.loading import apply_overrides, load_recipe
from hmpfit.recipes.settings import RunSettings

OUTSIDE_THE_REGISTRY = {"solvers": ("none",), "priors": ("none",)}


def resolve_settings(
    recipe: str = "default",
    assignments: Sequence[str] = (),
    solver: str | None = None,
    views: int | None = None,
    with_options: bool = True,
    **choices: object,
) -> RunSettings:
    """Return the settings that the options mean; the fields of `RunSettings` not named here pass through.

    `recipe` is a name or a TOML file, `assignments` are texts such as "stages.1.weights.prior=200". `with_options` is
    as in `load_recipe`. Raises UnknownNameError, listing the known names, for a plug-in, recipe, recipe key or setting
    that does not exist.
    """
    wrong = [name for name in choices if name not in RunSettings.__dataclass_fields__ or name == "recipe"]
    if wrong:
        known = (*RunSettings.__dataclass_fields__, "assignments", "solver", "views")
        raise UnknownNameError("setting", wrong[0], known)
    said = [*assignments]
    if solver is not None:
        said.append(f'solver="{solver}"')
    if views is not None:
        said.append(f"keypoints.views={views}")
    resolved = apply_overrides(load_recipe(recipe, with_options), said)
    settings = RunSettings(recipe=resolved, **choices)  # type: ignore[arg-type]
    _check_name("solvers", settings.solver)
    _check_name("initializers", settings.init)
    _check_name("keypoints", settings.keypoints)
    _check_name("priors", settings.prior)
    return settings


def known_names(family: str) -> tuple[str, ...]:
    """List what an option accepts by name: the registry's plug-ins and the few words that stand outside it."""
    return tuple(sorted({*registry.names(family), *OUTSIDE_THE_REGISTRY.get(family, ())}))


def _check_name(family: str, text: str) -> None:
    name, _, argument = text.partition(":")
    looks_like_a_path = family == "priors" and ("/" in text or Path(text).suffix != "" or Path(text).exists())
    if looks_like_a_path:
        return
    shown = ["file:PATH" if known == "file" else known for known in known_names(family)]
    if name not in known_names(family) or (name == "file") != bool(argument):
        raise UnknownNameError(family.rstrip("s").replace("keypoint", "keypoint source"), text, shown)
