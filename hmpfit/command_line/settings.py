"""From the options of `hmpfit run` to `RunSettings`: names are checked here, before anything slow is imported."""

from pathlib import Path

from hmpfit import registry
from hmpfit.errors import UnknownNameError
from hmpfit.recipes import RunSettings, apply_overrides, load_recipe

OUTSIDE_THE_REGISTRY = {"solvers": ("none",), "priors": ("none",)}


def resolve_settings(
    recipe: str, assignments: tuple[str, ...], solver: str | None, views: int | None, **choices: object
) -> RunSettings:
    """Return the settings that the options mean; the fields of `RunSettings` not named here pass through.

    Raises UnknownNameError, listing the known names, for a plug-in, recipe or recipe key that does not exist.
    """
    said = [*assignments]
    if solver is not None:
        said.append(f'solver="{solver}"')
    if views is not None:
        said.append(f"keypoints.views={views}")
    resolved = apply_overrides(load_recipe(recipe), said)
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
