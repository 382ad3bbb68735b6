"""Run folders and submission files against their truths: what `hmpfit eval` does, clip by clip.

Above the metrics, which know neither files nor hand models that must match.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from hmpfit.errors import HmpfitError, InputError
from hmpfit.evaluation.score_submission import SUFFIXES, score_submission
from hmpfit.evaluation.scoring import flattened, read_truth, sample_counts, score_motion
from hmpfit.evaluation.truth_files import of_sequence
from hmpfit.evaluation.world_motion import world_scores
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import Dataset, Truth
from hmpfit.records import EXTRAPOLATED, HandMotion
from hmpfit.results.matching import read_with_model
from hmpfit.results.npz import StoredResult

Numbers = dict[str, float]


@dataclass(frozen=True)
class Pair:
    """An estimate, and how to read the truth that it is scored against; `truth` is a path or reads a dataset's."""

    name: str
    found: Path
    truth: Path | Callable[[], Truth]
    protocol: str = "hmp"


@dataclass(frozen=True)
class Scored:
    """The numbers of one clip and the samples behind each; `problem` is why there are none, or charged ones only."""

    name: str
    numbers: Numbers = field(default_factory=dict)
    samples: Numbers = field(default_factory=dict)
    problem: str | None = None
    left_out: tuple[tuple[str, str], ...] = ()  # frames whose annotation could not be read


def pairs_of(dataset: Dataset, predictions: Path, hand_model: str) -> list[Pair]:
    """Return a pair per sequence of a dataset, its run being the folder of its name below `predictions`."""
    count = len(load_hand_models(hand_model).right.v_template)
    return [
        Pair(one.name, run_of(dataset, predictions, one.name), partial(of_sequence, one, count), one.protocol)
        for one in dataset.sequences
    ]


def run_of(dataset: Dataset, predictions: Path, name: str) -> Path:
    """Return a sequence's run folder: the one of its name, or `predictions` itself for a dataset's only sequence."""
    if len(dataset.sequences) == 1 and (predictions / "result.npz").is_file():
        return predictions
    return predictions / name


def score_all(pairs: Sequence[Pair], protocol: str, hand_model: str, workers: int = 1) -> list[Scored]:
    """Score every pair by one protocol, several at a time, in order; what goes wrong with one becomes its `problem`.

    A sequence of a dataset without a run is charged with neutral hands in all of its frames.
    """

    models = load_hand_models(hand_model)

    def attempt(pair: Pair) -> Scored:
        try:
            return score(pair, protocol, hand_model, models)
        except HmpfitError as error:
            return Scored(pair.name, problem=str(error))

    with ThreadPoolExecutor(workers) as pool:  # numpy and the trees of the F-scores let go of the interpreter
        return list(pool.map(attempt, pairs))


def score(pair: Pair, protocol: str, hand_model: str, models: HandModels) -> Scored:
    """Score one pair; `models` are those called `hand_model`.

    Raises InputError and UnknownNameError with the reason why it cannot be scored.
    """
    if pair.found.suffix in SUFFIXES and pair.found.is_file():
        if not isinstance(pair.truth, Path):
            raise InputError(f"'{pair.found}' is a submission; give its truth with --truth.")
        numbers, count = score_submission(pair.found, pair.truth, protocol)
        return Scored(pair.name, {**numbers, "coverage": 1.0}, dict.fromkeys((*numbers, "coverage"), count))
    if isinstance(pair.truth, Path) or (pair.found / "result.npz").is_file():
        stored, _ = read_with_model(pair.found, hand_model, models)
        truth = read_truth(pair.truth) if isinstance(pair.truth, Path) else pair.truth()
        motion, problem = stored.motion, None
        world = _world(stored, truth)
    else:
        truth, world = pair.truth(), {}
        motion, problem = _nothing(truth), f"'{pair.found}' holds no run: all of its frames are charged"
    whole = score_motion(motion, models, truth, protocol)
    scores, samples = flattened(whole), sample_counts(whole)
    if truth.occluded().any():
        hidden = score_motion(motion, models, truth, protocol, subset=True)
        for target, part in ((scores, flattened(hidden)), (samples, sample_counts(hidden))):
            target.update({f"occluded_{name}": value for name, value in part.items() if name != "coverage"})
    scores.update(world)
    samples.update({key: float(truth.joints_m.shape[1]) for key in world})
    return Scored(pair.name, scores, samples, problem, truth.broken)


def _world(stored: StoredResult, truth: Truth) -> Numbers:
    """Return the world's scores where truth and result both have the camera's path, else none."""
    found, true_path = stored.camera_motion, truth.world_from_camera
    if found is None or true_path is None or not np.isfinite(true_path).all():
        return {}
    if len(true_path) != len(found.world_from_camera):
        return {}
    joints = pick_hands(
        stored.joints, match_hands(stored.joints, stored.motion.is_right, truth.joints_m, truth.is_right)
    )
    return world_scores(joints, truth.joints_m, found.world_from_camera, true_path, found.map_from_camera)


def _nothing(truth: Truth) -> HandMotion:
    """Return the truth's hands, found nowhere."""
    hands, frames = truth.joints_m.shape[:2]
    return HandMotion(
        global_orient=np.zeros((hands, frames, 3)),
        hand_pose=np.zeros((hands, frames, 15, 3)),
        transl=np.full((hands, frames, 3), np.nan),
        betas=np.zeros((hands, 10)),
        is_right=truth.is_right,
        status=np.full((hands, frames), EXTRAPOLATED, np.uint8),
    )
