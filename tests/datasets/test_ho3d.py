"""HO3D v2 and v3 in miniature: what was written comes back in our convention, and bad trees say what is wrong."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmpfit.batch import dataset_jobs, run_job
from hmpfit.command_line.main import main
from hmpfit.datasets.hand_clips import HandClips
from hmpfit.datasets.opening import open_dataset, prefetch, sequence_at
from hmpfit.errors import InputError, UnknownNameError
from hmpfit.evaluation.truth_files import of_sequence
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import Truth
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import HandMotion
from hmpfit.regressors.samples import View
from hmpfit.results.npz import write_copy
from hmpfit.skeleton import OPENPOSE_TO_MANO21
from hmpfit.video.clip import open_clip
from tests.dataset_fixtures.ho3d import CAMERA, FLIP, write_ho3d, write_segmentations
from tests.made_result import two_hands

FRAMES = 12
MODELS = load_hand_models("open")

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HandMotion]:
    root = tmp_path_factory.mktemp("data") / "HO3D_v3"
    return root, write_ho3d(root, FRAMES)


Told = tuple[int, Any, str]
Command = Callable[..., Told]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def invoke(*arguments: object) -> Told:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([*map(str, arguments)])
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return invoke


def test_training_truth_is_in_our_convention(tree: tuple[Path, HandMotion]) -> None:
    root, motion = tree
    (sequence,) = open_dataset(f"ho3d:{root}", "train", MODELS).sequences
    assert sequence.name == "ABF10" and sequence.fps == 30 and len(sequence.images) == FRAMES
    assert pytest.approx(CAMERA.K) == sequence.camera.K and sequence.camera.width == 640
    truth, posed = sequence.truth(), pose_hands(MODELS, motion, vertices=True)
    known = np.ones(FRAMES, bool)
    known[[3, FRAMES - 1]] = False  # None, and not in train.txt
    assert truth.valid[0].tolist() == known.tolist()
    assert truth.joints_m[0, known] == pytest.approx(posed.joints[0, known], abs=1e-9)
    assert np.isnan(truth.joints_m[0, ~known]).all()
    assert truth.vertices_m is not None and truth.motion is not None and posed.vertices is not None
    assert truth.vertices_m[0, known] == pytest.approx(posed.vertices[0, known], abs=1e-9)
    again = pose_hands(MODELS, truth.motion)
    assert again.joints[0, known] == pytest.approx(posed.joints[0, known], abs=1e-9)
    xy = (CAMERA.K[0] @ posed.joints[0, 0].T)[:2].T / posed.joints[0, 0, :, 2:]
    box = sequence.boxes_px[0, 0]
    assert (box[:2] < xy.min(0)).all() and (box[2:] > xy.max(0)).all()
    assert np.isnan(sequence.boxes_px[0, 3]).all()


TIPS = (4, 8, 12, 16, 20)
MANY = tuple(range(8, 21))


def test_rendered_segmentations_say_which_joints_are_hidden(tmp_path: Path) -> None:
    motion = write_ho3d(tmp_path / "HO3D_v3", 8, pictures=False, unannotated=(3,))
    (bare,) = open_dataset(f"ho3d:{tmp_path / 'HO3D_v3'}", "train").sequences
    assert bare.truth().visible is None
    write_segmentations(tmp_path / "HO3D_v3", motion, {1: TIPS, 2: MANY})
    for split in ("train", "evaluation"):
        (sequence,) = open_dataset(f"ho3d:{tmp_path / 'HO3D_v3'}", split).sequences
        truth = sequence.truth()
        assert truth.visible is not None and truth.visible.shape == (1, 8, 21)
        assert truth.visible[0, [0, 3, 4, 5, 6]].all()  # 3 is not annotated in train, 5 has no segmentation
        assert not truth.visible[0, 1, TIPS].any() and not truth.visible[0, 2, MANY].any()
        assert truth.visible[0, 1].sum() >= 12 and truth.visible[0, 2, :3].all()
        assert [Path(path).name for path, why in truth.broken if "segmentation" in why] == ["0005.png"]
        occluded = of_sequence(sequence, 0).occluded()
        assert occluded[0, 2] and not occluded[0, [0, 4]].any()


def test_hidden_joints_follow_the_annotation_and_need_a_camera(tmp_path: Path) -> None:
    root = tmp_path / "HO3D_v3"
    motion = write_ho3d(root, 8, pictures=False)
    write_segmentations(root, motion, {2: MANY})

    def read() -> Truth:
        (sequence,) = open_dataset(f"ho3d:{root}", "train").sequences
        return sequence.truth()

    first = read().visible
    assert first is not None and not first[0, 2, MANY].any()
    write_ho3d(root, 8, pictures=False, unannotated=(2, 3))
    second = read().visible
    assert second is not None and second[0, 2].all()
    for file in (root / "train" / "ABF10" / "meta").iterdir():
        meta = pickle.loads(file.read_bytes())
        file.write_bytes(pickle.dumps(meta | {"camMat": None}, protocol=2))
    bare = read()
    assert bare.visible is None and bare.valid[0].tolist() == [True, True, False, False, True, True, True, False]


def test_the_table_of_ho3ds_occluded_frames(tmp_path: Path, command: Command) -> None:
    root = tmp_path / "HO3D_v3"
    motion = write_ho3d(root, FRAMES)
    write_segmentations(root, motion, {4: MANY, 7: MANY, 8: MANY})
    rows = ("--row", "initializer", "--row", "+ SLERP")
    common = ("--dataset", f"ho3d:{root}", "--split", "train", "-o", tmp_path / "table", "--views", 0)
    code, said, _ = command("ablate", *common, *rows, "--json", "--quiet")
    found = json.loads(said)
    assert code == 0 and found["clips"]["ABF10"]["initializer"]["occluded_frames"] == 3
    assert 0 < found["occluded"]["rows"]["+ SLERP"]["ra_mpjpe_mm"] < 60
    assert "Occluded frames" in (tmp_path / "table" / "occluded.md").read_text()
    assert (tmp_path / "table" / "occluded_frames.txt").read_text().split() == [
        "ABF10/0004",
        "ABF10/0007",
        "ABF10/0008",
    ]


def test_evaluation_truth_boxes_and_version_2(tmp_path: Path) -> None:
    motion = write_ho3d(tmp_path, 6, pictures=False, suffix="png")
    (sequence,) = open_dataset(f"ho3d:{tmp_path}").sequences
    assert sequence.name == "SM1" and sequence.image(0).shape == (480, 640, 3)
    truth, posed = sequence.truth(), pose_hands(MODELS, motion, vertices=True)
    assert truth.joints_m == pytest.approx(posed.joints, abs=1e-6) and truth.valid.all()
    assert truth.vertices_m == pytest.approx(posed.vertices, abs=1e-6)
    assert sequence.boxes_px[0, 0].tolist() == [200, 100, 400, 300]
    (tmp_path / "evaluation_xyz.json").unlink()
    with pytest.raises(InputError, match="separate download"):
        sequence.truth()


def test_clips_for_training(tree: tuple[Path, HandMotion]) -> None:
    root, motion = tree
    clips = HandClips("ho3d", open_dataset(f"ho3d:{root}", "train", MODELS).sequences, View(frames=2))
    assert len(clips) == FRAMES - 2
    one = clips[5]  # frames 5 and 6: frame 3 is not annotated
    assert one.images.shape == (2, 480, 640, 3) and one.is_right.tolist() == [True]
    assert one.hand_pose[0] == pytest.approx(motion.hand_pose[0, 5:7], abs=1e-5)
    low, high = (corner.astype(int) for corner in (one.joints_px[0, 1].min(0), one.joints_px[0, 1].max(0)))
    inside, whole = one.images[1, low[1] : high[1], low[0] : high[0]].reshape(-1, 3), one.images[1].reshape(-1, 3)
    assert np.abs(inside.mean(0) - whole.mean(0)).max() > 5  # the hand is where its joints are


def test_broken_frames_are_named_and_counted(tmp_path: Path, command: Command) -> None:
    write_ho3d(tmp_path, 8, pictures=False, unannotated=())
    meta, rgb = tmp_path / "train" / "ABF10" / "meta", tmp_path / "train" / "ABF10" / "rgb"
    (meta / "0001.pkl").write_bytes(b"no pickle")
    (meta / "0002.pkl").unlink()
    with (meta / "0004.pkl").open("wb") as file:
        pickle.dump({"handPose": np.zeros(48)}, file)
    (rgb / "0005.jpg").unlink()
    (rgb / "0006.jpg").write_bytes(b"no image")
    dataset = open_dataset(f"ho3d:{tmp_path}", "train", MODELS)
    assert [path for path, _ in dataset.broken] == [str(rgb / "0005")]
    (sequence,) = dataset.sequences
    truth = sequence.truth()
    assert [Path(path).name for path, _ in truth.broken] == ["0001.pkl", "0002.pkl", "0004.pkl"]
    assert "handJoints3D" in truth.broken[2][1]
    assert sequence.times_s[5] == pytest.approx(0.2)  # frame 6 comes after frame 4, a sixth of a second on
    shown = dict(sequence.clip.images())
    assert len(shown) == 7 and not shown[5].any()  # the damaged picture is black
    assert sequence.image(5).shape == (480, 640, 3) and not sequence.image(5).any()
    write_copy(two_hands(MODELS, 7), MODELS, tmp_path / "runs" / "ABF10")
    common = ("--dataset", f"ho3d:{tmp_path}", "--split", "train", "--predictions", tmp_path / "runs")
    code, out, errors = command("eval", *common, "--json")
    assert code == 0, errors
    assert [Path(one["path"]).name for one in json.loads(out)["left_out"]] == [
        "0005",
        "0001.pkl",
        "0002.pkl",
        "0004.pkl",
    ]
    write_copy(two_hands(MODELS, 6), MODELS, tmp_path / "runs" / "ABF10")
    code, _, errors = command("eval", *common)
    assert code == 2 and "The result has 6 frames and the truth 7" in errors
    shutil.rmtree(meta)
    code, _, errors = command("eval", *common)
    assert code == 2 and "No frame of 'ABF10' is annotated; 6 annotations are no good" in errors
    (job,) = dataset_jobs(open_dataset(f"ho3d:{tmp_path}", "train"), tmp_path / "out")
    assert "holds 'camMat'" in str(run_job(job, resolve_settings()).error)


def test_a_wrong_tree_is_one_sentence(tmp_path: Path, tree: tuple[Path, HandMotion], command: Command) -> None:
    (tmp_path / "photos").mkdir()
    for text, split, sentence in (
        ("ho3d", "train", "is not KIND:PATH; kinds: "),
        (f"ho3d:{tmp_path / 'none'}", "train", "There is no folder"),
        (f"ho3d:{tmp_path}", "train", "is not HO3D: 'train.txt' is missing; expected .*, found photos/"),
        (f"freihand:{tree[0]}", None, "is not FreiHAND: 'evaluation_K.json' is missing; expected .*, found .*train"),
    ):
        with pytest.raises(InputError, match=sentence):
            open_dataset(text, split)
    with pytest.raises(UnknownNameError, match="evaluation, train"):
        open_dataset(f"ho3d:{tree[0]}", "validation")
    assert open_dataset(f"ho3d:{tree[0]}", "test").split == "evaluation"
    with pytest.raises(UnknownNameError, match="dexycb"):
        open_dataset(f"kitti:{tree[0]}")
    code, _, errors = command("eval", "--dataset", f"ho3d:{tmp_path}", "--split", "train", "--predictions", tmp_path)
    assert code == 2 and "train.txt" in errors and len(errors.strip().splitlines()) == 1


def test_a_folder_is_recognized(tree: tuple[Path, HandMotion], tmp_path: Path) -> None:
    root, _ = tree
    for folder in ("train/ABF10", "train/ABF10/rgb"):
        found = sequence_at(root / folder)
        assert found is not None and found.name == "ABF10" and found.sides == (True,)
    assert sequence_at(tmp_path) is None
    write_ho3d(tmp_path / "more", 2, pictures=False)
    (tmp_path / "more" / "train" / "ABF10").rename(tmp_path / "more" / "train" / "ABF11")
    with pytest.raises(InputError, match=r"holds no images|has no train sequence"):
        open_dataset(f"ho3d:{tmp_path / 'more'}", "train")


def test_batch_eval_and_submission(tree: tuple[Path, HandMotion], tmp_path: Path, command: Command) -> None:
    root, _ = tree
    common = ("--dataset", f"ho3d:{root}", "--split", "train")
    code, _, errors = command("batch", *common, "-o", tmp_path / "runs", "--views", 0, "--json")
    assert code == 0, errors
    summary = json.loads((tmp_path / "runs" / "ABF10" / "result.json").read_text())
    assert summary["frames"] == FRAMES and summary["camera"]["source"] == "given"
    sent = tmp_path / "sent.zip"
    code, out, errors = command("eval", *common, "--predictions", tmp_path / "runs", "--submission", sent, "--json")
    assert code == 0, errors
    said = json.loads(out)
    assert said["protocol"] == "ho3d" and said["submission"] == {"path": str(sent), "frames": 11, "filled": 0}
    row = said["rows"]["ABF10"]
    assert row["ho3d_joint_pa_error_cm"] < 2 and row["ho3d_joint_sc_tr_error_cm"] < 5 and row["coverage"] == 1
    with zipfile.ZipFile(sent) as archive:
        xyz, verts = json.loads(archive.read("pred.json"))
    assert np.shape(xyz) == (11, 21, 3) and np.shape(verts) == (11, len(MODELS.right.v_template), 3)
    (sequence,) = open_dataset(f"ho3d:{root}", "train").sequences
    true = sequence.truth().joints_m[0, 0, list(OPENPOSE_TO_MANO21)] * FLIP  # as the dataset stores it
    assert np.linalg.norm(np.array(xyz[0]) - true, axis=1).mean() < 0.06
    code, _, _ = command("eval", *common, "--predictions", tmp_path / "runs", "--submission", tmp_path / "a.txt")
    assert code == 2
    code, out, errors = command(
        "run", root / "train" / "ABF10", "-o", tmp_path / "one", "--views", 0, "--solver", "none", "--json"
    )
    assert code == 0, errors
    assert json.loads(out)["camera"] == summary["camera"] and json.loads(out)["frames"] == FRAMES
    assert open_clip(summary["video"]).frames == FRAMES  # the viewer shows the same frames again


def test_prefetch_fills_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ho3d(tmp_path / "tree", 4, pictures=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    prefetch(f"ho3d:{tmp_path / 'tree'}", "train", 1)
    kept = list((tmp_path / "cache" / "hmpfit" / "datasets").glob("ho3d-*/complete"))
    assert len(kept) == 1
    file = next(iter((tmp_path / "tree" / "train" / "ABF10" / "meta").glob("0000.pkl")))
    meta = pickle.loads(file.read_bytes())
    file.write_bytes(pickle.dumps({**meta, "handJoints3D": meta["handJoints3D"] + 1}, protocol=5))
    (sequence,) = open_dataset(f"ho3d:{tmp_path / 'tree'}", "train").sequences
    assert sequence.truth().joints_m[0, 0, 0, 0] > 0.9  # a changed file is read anew
