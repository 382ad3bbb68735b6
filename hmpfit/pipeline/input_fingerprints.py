"""Fingerprints of everything that comes from outside into a run: contents, never paths.

The one place where files are turned into something that run identity and stage keys can compare.
"""

from collections.abc import Mapping
from pathlib import Path

from hmpfit.fingerprints import file_fingerprint
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.context import RunContext


def clip_fingerprint(context: RunContext) -> str:
    """Return the fingerprint of the clip's pixels and times."""
    return context.clip.fingerprint()[:16]


def hand_model_fingerprints(models: HandModels) -> list[str]:
    """Return the fingerprints of the right and the left hand model."""
    return [models.right.fingerprint, models.left.fingerprint]


def file_fingerprints(files: Mapping[str, str | None]) -> dict[str, str]:
    """Return the fingerprint of each file's content by option; a name that is no file stands for itself."""
    prints = {}
    for option, text in files.items():
        if text is not None:
            path = Path(text)
            prints[option] = file_fingerprint(path) if path.exists() else text
    return prints
