"""Hand size known from outside the picture: `--hand-size MM`, `--shape-from RUN`, or nothing."""

from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.schemas import Optional, mismatch
from hmpfit.files.structured import read_json_table
from hmpfit.hands.hand_size import ADULT_STD, MEASURED_STD, hands_of_size, sizes_mm, with_betas
from hmpfit.interfaces.context import RunContext
from hmpfit.records import HandMotion, HandSize
from hmpfit.results.npz import read_result

_TOLD = {
    "hand_model": Optional(str),
    "hands": Optional([{"hand_size_mm": Optional(float), "hand_size_std_mm": Optional(float)}]),
}


def with_known_size(context: RunContext, motion: HandMotion) -> HandMotion:
    """Return a first guess whose hands have the size or shape that the user gave, seen as before in the picture.

    Raises InputError for a size that no hand has and for a run that was made with another hand model.
    """
    settings = context.settings
    if settings.hand_size_mm is not None:
        return hands_of_size(motion, settings.hand_size_mm, context.models)
    if settings.shape_from is None:
        return motion
    return with_betas(motion, _shapes(context, motion, Path(settings.shape_from)), context.models)


def hand_size(context: RunContext, motion: HandMotion) -> HandSize:
    """Return the size of the fitted hands, with its standard deviation and source."""
    settings = context.settings
    sizes = np.array(sizes_mm(motion, context.models))
    if settings.hand_size_mm is not None:
        return HandSize(sizes, MEASURED_STD, "given")
    if settings.shape_from is not None:
        return HandSize(sizes, _told_std(Path(settings.shape_from)), "shape_from")
    return HandSize(sizes, ADULT_STD, "average")


def result_file(path: Path) -> Path:
    """Return the `result.npz` that a run folder, or the file itself, stands for."""
    return path / "result.npz" if path.is_dir() else path


def _shapes(context: RunContext, motion: HandMotion, path: Path) -> np.ndarray:
    known = read_result(path)
    name = _summary(path).get("hand_model", context.models.right.name)
    if name != context.models.right.name:
        raise InputError(
            f"--shape-from '{path}' was fitted with the hand model '{name}', whose betas mean nothing to "
            f"'{context.models.right.name}'; run it again with that --hand-model, or give --hand-size."
        )
    betas = []
    for side in motion.is_right:
        rows = np.flatnonzero(known.motion.is_right == side)
        betas.append(known.motion.betas[rows[0] if len(rows) else 0])
    return np.stack(betas)


def _told_std(path: Path) -> float:
    hands = _summary(path).get("hands") or [{}]
    size, std = hands[0].get("hand_size_mm"), hands[0].get("hand_size_std_mm")
    return float(std / size) if size and std and size > 0 and std > 0 else ADULT_STD


def _summary(path: Path) -> dict[str, Any]:
    file = result_file(path).with_name("result.json")
    told = read_json_table(file) if file.is_file() else {}
    wrong = mismatch(told, _TOLD)
    if wrong is not None:
        raise UnreadableFileError(file, wrong, "the summary of a run")
    return told
