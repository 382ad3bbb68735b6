"""The rows of the paper's table, each a change to the settings of a whole fit, and which of them can run.

Data and no work: `with_truth.py` and `withheld.py` carry the rows out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hmpfit.errors import HmpfitError, InputError, UnknownNameError
from hmpfit.recipes import RunSettings

INITIALIZER, SLERP = "initializer", "+ SLERP"


@dataclass(frozen=True)
class Row:
    """How a row differs from a whole fit, and the paper's name for it. `stages`: how many of the recipe's are run."""

    paper: str
    changes: Mapping[str, Any] = field(default_factory=dict)  # fields of RunSettings
    solver: str | None = None
    stages: int | None = None
    as_found: bool = False  # score the initializer's own frames; what it did not see is missing
    given_keypoints: bool = True  # can be carried out on keypoints that are given as a file


ROWS: Mapping[str, Row] = {
    INITIALIZER: Row("PyMAF-X", solver="none", as_found=True),
    SLERP: Row("+ SLERP", solver="none"),
    "no motion prior": Row("no motion prior", {"prior": "none"}),
    "GMM prior": Row("GMM prior", {"prior": "pca"}),  # one Gaussian on PCA coefficients, the paper's one component
    "GMM prior, 8 components": Row("–", {"prior": "gmm"}),
    "stage 1 (initializer)": Row("Stage-1 (PyMAF-X)", {"keypoints": "initializer"}, stages=1, given_keypoints=False),
    "stage 1 (mediapipe)": Row("Stage-1 (MediaPipe)", {"keypoints": "mediapipe"}, stages=1, given_keypoints=False),
    "stage 1 (mmpose)": Row("Stage-1 (MMPose)", {"keypoints": "mmpose"}, stages=1, given_keypoints=False),
    "stage 1 (blend)": Row("Stage-1 (Blend)", stages=1),
    "stage 2 (blend)": Row("Stage-2 (Blend)"),
}
WHOLE_FIT = "stage 2 (blend)"


@dataclass(frozen=True)
class AblationPlan:
    """The rows that can run, by name, as settings; and why the others cannot."""

    rows: Mapping[str, tuple[Row, RunSettings]]
    notes: Mapping[str, str]


def plan(
    settings: RunSettings, inits: Sequence[str], mmpose: Mapping[str, str | None], wanted: Sequence[str]
) -> AblationPlan:
    """Return the settings of every wanted row.

    The first of `inits` has all rows of `ROWS`; each further one has two, itself alone and "+ fit", as METRO has in
    the paper. `mmpose` are the three settings of that detector. `wanted` empty means all. Raises UnknownNameError for a
    row that does not exist, and InputError when no wanted row can run.
    """
    first, *others = inits
    candidates: dict[str, tuple[Row, str]] = {name: (row, first) for name, row in ROWS.items()}
    for init in others:
        candidates[init] = replace(ROWS[INITIALIZER], paper="METRO"), init
        candidates[f"{init} + fit"] = replace(ROWS[WHOLE_FIT], paper="METRO + HMP"), init
    for name in wanted:
        if name not in candidates:
            raise UnknownNameError("row", name, candidates)
    rows, notes = {}, {}
    for name in wanted or candidates:
        row, init = candidates[name]
        try:
            rows[name] = row, _settings_of(row, settings, init, mmpose)
        except InputError as error:
            notes[name] = " ".join(str(error).split())
    if not rows:
        raise InputError(f"No row can run; the first: {next(iter(notes.values()))}")
    return AblationPlan(rows, notes)


def at(settings: RunSettings, clip: str) -> RunSettings:
    """Return the settings for one clip: `{clip}` in the initializer's path stands for its name."""
    return replace(settings, init=settings.init.replace("{clip}", clip))


def _settings_of(row: Row, settings: RunSettings, init: str, mmpose: Mapping[str, str | None]) -> RunSettings:
    recipe = settings.recipe
    if row.solver is not None:
        recipe = replace(recipe, solver=row.solver)
    if row.stages is not None:
        recipe = replace(recipe, stages=recipe.stages[: row.stages])
    models = dict(mmpose) if row.changes.get("keypoints") == "mmpose" else {}
    changed = replace(settings, recipe=recipe, init=init, **{**row.changes, **models})
    if models:
        _require_mmpose(changed)
    return changed


def _require_mmpose(settings: RunSettings) -> None:
    """Find out before the first clip whether mmpose and its model are there."""
    from hmpfit.keypoints.mmpose import load_estimator

    try:
        load_estimator(settings.mmpose_config, settings.mmpose_checkpoint, settings.mmpose_onnx)
    except HmpfitError as error:
        raise InputError(str(error)) from None
