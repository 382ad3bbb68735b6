"""The official files: perfect predictions score perfectly when they are read back, gaps are filled and counted."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hmpfit.datasets.opening import open_dataset
from hmpfit.datasets.submission_files import HandPrediction, write_submission
from hmpfit.errors import InputError
from hmpfit.evaluation.score_submission import score_submission
from hmpfit.interfaces.dataset import Sequence
from hmpfit.records import Floats
from tests.dataset_fixtures.ho3d import write_ho3d
from tests.dataset_fixtures.single_camera import FRAMES, write_dexycb, write_freihand

pytestmark = pytest.mark.usefixtures("own_cache")


def flat(is_right: bool) -> tuple[Floats, Floats]:
    return np.zeros((21, 3)), np.zeros((778, 3))


def truth_of(sequence: Sequence) -> HandPrediction:
    truth = sequence.truth()
    return HandPrediction(truth.joints_m[0], None if truth.vertices_m is None else truth.vertices_m[0])


def test_ho3d_is_turned_back_into_its_own_axes_and_order(tmp_path: Path) -> None:
    write_ho3d(tmp_path, 4, pictures=False)
    dataset = open_dataset(f"ho3d:{tmp_path}", "evaluation")
    made = write_submission(dataset, truth_of, flat, tmp_path / "pred.zip")
    assert (made.frames, made.filled) == (4, 0)
    with zipfile.ZipFile(made.path) as archive:
        assert archive.namelist() == ["pred.json"]
        joints, meshes = json.loads(archive.read("pred.json"))
    for found, name in ((joints, "xyz"), (meshes, "verts")):
        stored = json.loads((tmp_path / f"evaluation_{name}.json").read_text())
        assert np.array(found) == pytest.approx(np.array(stored), abs=2e-6)
    scores, _ = score_submission(made.path, tmp_path, "ho3d")
    assert scores["ho3d_joint_error_cm"] == pytest.approx(0, abs=1e-3)
    assert scores["ho3d_f_at_5mm"] == 1
    before = made.path.read_bytes()
    write_submission(dataset, truth_of, flat, made.path)
    assert made.path.read_bytes() == before


def test_freihand_keeps_the_order_of_its_list(tmp_path: Path) -> None:
    _, joints, vertices = write_freihand(tmp_path)
    for name, values in (("xyz", joints), ("verts", vertices)):
        (tmp_path / f"evaluation_{name}.json").write_text(json.dumps(values[:2].tolist()))
    (tmp_path / "evaluation" / "rgb" / "00000000.jpg").unlink()  # a picture that was never predicted
    dataset = open_dataset(f"freihand:{tmp_path}")
    made = write_submission(dataset, truth_of, flat, tmp_path / "pred.zip")
    assert (made.frames, made.filled) == (2, 1)
    with zipfile.ZipFile(made.path) as archive:
        found = np.array(json.loads(archive.read("pred.json"))[0])
    assert found[1] == pytest.approx(joints[1], abs=1e-6) and (found[0, :, 2] > 0.1).all()
    with pytest.raises(InputError, match=r"name a \.zip file"):
        write_submission(dataset, truth_of, flat, tmp_path / "pred.json")


def test_dexycb_counts_frames_as_the_toolkit_does(tmp_path: Path) -> None:
    joints, _ = write_dexycb(tmp_path)
    dataset = open_dataset(f"dexycb:{tmp_path}", "s0_test")
    made = write_submission(dataset, truth_of, flat, tmp_path / "result.txt")
    unseen = 2  # of the first camera: no hand in view, no label
    assert (made.frames, made.filled) == (8 * FRAMES, 6 * FRAMES + unseen)
    rows = [line.split(",") for line in made.path.read_text().splitlines()]
    assert [int(row[0]) for row in rows] == list(range(8 * FRAMES)) and {len(row) for row in rows} == {64}
    second = np.array(rows[FRAMES][1:], dtype=float).reshape(21, 3)  # frame 0 of the second camera
    assert second == pytest.approx(joints[1, 0] * 1000, abs=1e-3)
    truth = tmp_path / "truth.txt"
    absent = ",".join(["-1"] * 63)
    kept = [row if number in (0, 3, *range(4, 8)) else [str(number), absent] for number, row in enumerate(rows)]
    truth.write_text("\n".join(",".join(row) for row in kept))
    scores, count = score_submission(made.path, truth, "dexycb")
    assert count == 6 and scores["dexycb_absolute_mpjpe_mm"] == 0


def test_what_cannot_be_submitted_is_said(tmp_path: Path) -> None:
    write_ho3d(tmp_path, 4, pictures=False)
    dataset = open_dataset(f"ho3d:{tmp_path}", "evaluation")

    def short(sequence: Sequence) -> HandPrediction:
        whole = truth_of(sequence)
        return HandPrediction(whole.joints[:3], whole.vertices)

    with pytest.raises(InputError, match="has 3 frames and the sequence 4"):
        write_submission(dataset, short, flat, tmp_path / "pred.zip")
    assert not list(tmp_path.glob("*pred*"))
    with pytest.raises(InputError, match="have no meshes"):
        write_submission(dataset, lambda one: HandPrediction(truth_of(one).joints, None), flat, tmp_path / "pred.zip")
    assert not list(tmp_path.glob(".*partial*"))
