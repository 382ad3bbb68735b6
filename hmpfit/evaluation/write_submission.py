"""Run folders of a dataset's sequences, as the file that its official evaluation takes.

Separate from `datasets.submissions`, which knows the file's form: here results are read and their hands picked.
"""

from functools import partial
from pathlib import Path

import numpy as np

from hmpfit.datasets.submission_files import HandPrediction, Submission, write_submission
from hmpfit.evaluation.missing_frames import neutral_hand
from hmpfit.evaluation.run_scores import run_of
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import Dataset, Sequence
from hmpfit.results.matching import read_with_model


def submit(dataset: Dataset, predictions: Path, hand_model: str, path: Path) -> Submission:
    """Write the official file of a split from the run folders `predictions`/<sequence> and return a summary.

    A sequence without a run, or without a hand of the annotated side, is filled with neutral hands. Raises InputError
    for a kind without an official file, for another number of frames, and for a run of another hand model.
    """
    models = load_hand_models(hand_model)

    def predict(sequence: Sequence) -> HandPrediction | None:
        folder = run_of(dataset, predictions, sequence.name)
        if not (folder / "result.npz").is_file():
            return None
        motion = read_with_model(folder, hand_model, models)[0].motion
        rows = np.flatnonzero(motion.is_right == sequence.sides[0])
        if not len(rows):
            return None
        posed = pose_hands(models, motion, vertices=True)
        assert posed.vertices is not None
        return HandPrediction(posed.joints[rows[0]], posed.vertices[rows[0]])

    return write_submission(dataset, predict, partial(neutral_hand, models), path)
