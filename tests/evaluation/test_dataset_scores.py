"""A dataset's own parameters, scored by its own protocol, are perfect: readers and protocols mean the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmpfit.datasets.opening import open_dataset
from hmpfit.evaluation.scoring import score_motion
from hmpfit.evaluation.truth_files import of_sequence
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from tests.dataset_fixtures.hands import MODELS, mano_sized
from tests.dataset_fixtures.ho3d import write_ho3d
from tests.dataset_fixtures.many_cameras import LENS, write_arctic, write_interhand
from tests.dataset_fixtures.single_camera import write_dexycb, write_hic

Written = tuple[str, Callable[[Path], Any], str, HandModels, int]
TREES: list[Written] = [
    ("ho3d", lambda path: write_ho3d(path, 6, pictures=False), "train", load_hand_models("open"), 4),
    ("dexycb", write_dexycb, "s0_test", MODELS, 2),
    ("interhand", write_interhand, "train", MODELS, 7),
    ("arctic", write_arctic, "p1_val", MODELS, 12),
    ("hic", write_hic, "all", mano_sized(), 7),
]

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize(("kind", "write", "split", "models", "hands"), TREES)
def test_the_truth_is_perfect(
    kind: str, write: Callable[[Path], Any], split: str, models: HandModels, hands: int, tmp_path: Path
) -> None:
    write(tmp_path)
    named = [one for one in open_dataset(f"{kind}:{tmp_path}", split, models).sequences if LENS in one.name]
    sequence = (named or open_dataset(f"{kind}:{tmp_path}", split, models).sequences)[0]
    assert sequence.protocol == kind
    motion, truth = sequence.truth().motion, of_sequence(sequence, len(models.right.v_template))
    assert motion is not None
    whole = score_motion(motion, models, truth, kind)
    assert whole["covered"] and whole["coverage"] == {"share": 1.0, "frames": hands}
    finite = {name: value for name, value in whole["covered"].items() if np.isfinite(value)}
    assert len(finite) > 2 or kind == "hic"
    for name, value in finite.items():
        if name.endswith(("_mm", "_cm", "_s2")):
            assert value == pytest.approx(0, abs=1e-3), name
        elif "auc" in name or "f_at" in name:
            assert value > 0.99, name
    moved = replace(motion, transl=motion.transl + np.array([0.003, 0.0, 0.004]))
    shifted = score_motion(moved, models, truth, "dexycb")["covered"]
    assert shifted["dexycb_absolute_mpjpe_mm"] == pytest.approx(5.0, abs=1e-3)
