"""The range of every number in a recipe or an option; a value outside is refused.

Separate from `loading`, which knows the keys' types by the shipped recipes; a range is more than an example can say.
"""

import math
from collections.abc import Iterator
from typing import Any

from hmpfit.errors import InputError

SEED_MOST = 2**31 - 1
VIEWS_MOST = 64
_WEIGHT = (0.0, 1e9)
# By the last part of a key; numbers of other keys are weights, scales or counts and lie within _WEIGHT.
RANGES: dict[str, tuple[float, float]] = {
    "views": (0, VIEWS_MOST), "gamma": (1e-4, 100.0), "gamma_px": (0.0, 1e4),
    "steps": (0, 100_000), "adam_steps": (0, 100_000),
    "iterations": (0, 1000), "scale": (1e-9, 1e9), "min_std": (1e-9, 1e3), "observed_std": (1e-9, 1e3),
    "depth_std": (1e-9, 1e3), "latent_dim": (1, 100_000), "overlap_frames": (0, 100_000), "confidence_power": (0, 10),
    "correlated_frames": (1e-3, 100_000), "damping": (0.0, 1e6), "views_every_s": (0.0, 3600.0),
    "search_every_s": (0.0, 3600.0),
    "least_frame_confidence": (0.0, 1.0), "focal_per_longer_side": (0.1, 10.0), "focal_px": (0.0, 1e6),
    "learning_rate": (1e-9, 1e3), "tolerance": (0.0, 1.0), "coarse_tolerance": (0.0, 1.0),
}  # fmt: skip


def check_ranges(recipe: dict[str, Any]) -> None:
    """Raise InputError, naming key and range, for a number in a recipe that cannot be meant."""
    for path, value in _numbers(recipe, ""):
        low, high = RANGES.get(path.rpartition(".")[2], _WEIGHT)
        if not (math.isfinite(value) and low <= value <= high):
            raise InputError(f"Recipe key '{path}' must lie between {low:g} and {high:g}, not {value}.")


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _numbers(item, f"{path}.{place}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value
