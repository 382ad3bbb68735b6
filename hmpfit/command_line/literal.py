"""A console that prints text without markup: `take[red].mp4` is a file name here, not a color."""

from typing import Any

from rich.console import Console


def literal_console(**options: Any) -> Console:
    """Return a rich console without markup and emoji codes; `options` are rich's."""
    return Console(markup=False, emoji=False, **options)
