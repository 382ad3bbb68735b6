"""DexYCB, FreiHAND, HIC, InterHand2.6M and ARCTIC in miniature: what was written comes back in one convention."""

import json
from pathlib import Path

import numpy as np
import pytest

from hmpfit.ablation.with_truth import TruthDataset, _occluded_frames
from hmpfit.datasets import dexycb, interhand
from hmpfit.datasets.hand_clips import HandClips
from hmpfit.datasets.json_lists import objects_of, points_of
from hmpfit.datasets.opening import open_dataset, sequence_at
from hmpfit.errors import InputError
from hmpfit.evaluation.truth_files import of_sequence
from hmpfit.hands.mano import pose_hands
from hmpfit.interfaces.dataset import Truth
from hmpfit.regressors.checkpoints import load_plan
from hmpfit.skeleton import MANO21_TO_OPENPOSE
from tests.dataset_fixtures.hands import MODELS, mano_sized
from tests.dataset_fixtures.many_cameras import (
    LENS,
    NUMBERS,
    OFFSET,
    TAKE,
    TURN,
    write_arctic,
    write_arctic_split,
    write_interhand,
)  # fmt: skip
from tests.dataset_fixtures.single_camera import (
    ABSENT,
    FRAMES,
    MISSING,
    SUBJECT,
    TIPS_COVERED,
    write_dexycb,
    write_freihand,
    write_hic,
)

TIPS = (744, 320, 443, 554, 671)

pytestmark = pytest.mark.usefixtures("own_cache")


def check_parameters(truth: Truth, hand: int = 0) -> None:
    """The motion poses to the meshes and, with MANO's own joints, to the joints."""
    assert truth.motion is not None and truth.vertices_m is not None
    posed = pose_hands(MODELS, truth.motion, vertices=True)
    seen = truth.motion.status[hand] > 0
    assert seen.any() and posed.vertices is not None
    assert posed.vertices[hand, seen] == pytest.approx(truth.vertices_m[hand, seen], abs=1e-6)
    known = seen & truth.valid[hand]
    assert posed.joints[hand, known] == pytest.approx(truth.joints_m[hand, known], abs=1e-5)


def test_dexycb(tmp_path: Path) -> None:
    joints, vertices = write_dexycb(tmp_path)
    dataset = open_dataset(f"dexycb:{tmp_path}", "s0-test", MODELS)
    assert [one.name for one in dataset.sequences] == [f"{SUBJECT}/20200820_140004/{s}" for s in dexycb.SERIALS[:2]]
    assert len(dataset.order) == 8 * FRAMES  # eight cameras are counted, two are here
    first, second = dataset.sequences
    assert first.sides == (False,) and first.camera.K[0, 0, 0] == 610 and second.camera.K[0, 0, 0] == 611
    truth = first.truth()
    known = [frame for frame in range(FRAMES) if frame not in (ABSENT, MISSING)]
    assert np.flatnonzero(truth.valid[0]).tolist() == known
    assert truth.joints_m[0, known] == pytest.approx(joints[1, known], abs=1e-6)
    assert truth.vertices_m is not None and truth.vertices_m[0, known] == pytest.approx(vertices[1, known], abs=1e-5)
    assert [Path(path).name for path, _ in truth.broken] == [f"labels_{MISSING:06d}.npz"]
    check_parameters(truth)
    assert [file.name for file in second.images[1:3]] == ["color_000001.jpg", "color_000002.jpg"]
    assert len(dict(second.clip.images())) == FRAMES  # depth pictures of the same folder are not frames
    seen = second.truth().visible
    assert seen is not None and seen[0, :3].all() and not seen[0, 3, TIPS_COVERED].any() and seen[0, 3, 0]
    right = open_dataset(f"dexycb:{tmp_path}", "train", MODELS).sequences  # s0's
    assert len(right) == 8
    check_parameters(right[0].truth())
    found = sequence_at(tmp_path / SUBJECT / "20200820_140004" / dexycb.SERIALS[1])
    assert found is not None and found.name == second.name
    with pytest.raises(InputError, match="holds 2 sequences of dexycb"):
        sequence_at(tmp_path / SUBJECT / "20200820_140004")


def test_the_occluded_subset_of_dexycb_is_by_its_own_labels(tmp_path: Path) -> None:
    write_dexycb(tmp_path)
    folder = tmp_path / SUBJECT / "20200820_140004" / dexycb.SERIALS[1]
    with np.load(folder / "labels_000002.npz") as stored:
        label = dict(stored)
    label["seg"][label["seg"] == dexycb.HAND_LABEL] = 2  # an object before the whole hand
    np.savez(folder / "labels_000002.npz", **label)
    clips = TruthDataset(f"dexycb:{tmp_path}", "s0-test")
    first, second = clips.open().sequences
    assert of_sequence(first, 0).occluded()[0].tolist() == [False, False, False, True]  # object 2 lies over the tips
    assert of_sequence(second, 0).occluded()[0].tolist() == [False, False, True, True]
    named = _occluded_frames(clips, (first.name, second.name))
    assert named == (f"{first.name}/000003", f"{second.name}/000002", f"{second.name}/000003")


def test_dexycb_splits_are_the_official_ones() -> None:
    counts = {}
    for split in dexycb.SPLITS:
        subjects, cameras, wanted = dexycb.chosen(split)
        counts[split] = (subjects, len(cameras), [place for place in range(100) if wanted(place)])
    assert counts["s0_train"][2] == [place for place in range(100) if place % 5 != 4]
    assert counts["s0_val"][0] == (0, 1) and counts["s0_test"][0] == tuple(range(2, 10))
    assert counts["s1_train"][0] == (0, 1, 2, 3, 4, 5, 9) and counts["s1_test"][0] == (7, 8)
    assert [counts[f"s2_{part}"][1] for part in ("train", "val", "test")] == [6, 1, 1]
    assert counts["s3_test"][2] == [*range(35, 40), *range(55, 60), *range(75, 80)]
    assert counts["s3_val"][2] == [*range(15, 20), *range(95, 100)] and len(counts["s3_train"][2]) == 75


def test_freihand(tmp_path: Path) -> None:
    K, joints, vertices = write_freihand(tmp_path)
    (tmp_path / "training" / "rgb" / "00000001.jpg").unlink()
    dataset = open_dataset(f"freihand:{tmp_path}", "training")
    assert [one.name for one in dataset.sequences] == ["00000000", "00000002"] and len(dataset.order) == 3
    assert dataset.broken[0][0].endswith("00000001.jpg")
    truth = dataset.sequences[1].truth()
    assert truth.joints_m[0, 0] == pytest.approx(joints[2]) and dataset.sequences[1].camera.K[0] == pytest.approx(K[2])
    assert truth.vertices_m is not None and truth.vertices_m[0, 0] == pytest.approx(vertices[2], abs=1e-6)
    assert dataset.sequences[1].image(0).shape == (224, 224, 3)
    (evaluation, _) = open_dataset(f"freihand:{tmp_path}").sequences
    with pytest.raises(InputError, match=r"evaluation_xyz\.json' is missing"):
        evaluation.truth()
    (tmp_path / "training_xyz.json").write_text(json.dumps(joints[:2].tolist()))
    with pytest.raises(InputError, match="has 2 entries and the cameras' file 3"):
        dataset.sequences[0].truth()


def test_hic(tmp_path: Path) -> None:
    chain, meshes = write_hic(tmp_path)
    (tmp_path / "07").mkdir()
    fits = sorted(tmp_path.glob("*/*01*Model_Hand_R*/002.pkl"))
    fits[0].write_bytes(b"no pickle")
    dataset = open_dataset(f"hic:{tmp_path}")
    both, single = dataset.sequences
    assert (both.sides, single.sides) == ((True, False), (True,)) and dataset.broken[0][0].endswith("07")
    truth = both.truth()
    assert truth.valid.tolist() == [[True, True, False, True], [True, True, True, False]]
    assert [path for path, _ in truth.broken] == [str(fits[0])]
    expected = np.concatenate((chain[1, 0], meshes[1, 0][list(TIPS)]))[list(MANO21_TO_OPENPOSE)]
    assert truth.joints_m[1, 0] == pytest.approx(expected)
    assert truth.vertices_m is not None and truth.vertices_m[0, 3] == pytest.approx(meshes[0, 3])
    assert both.camera.K[0, :2, 2].tolist() == [319.5, 239.5] and truth.motion is None
    small = mano_sized()
    motion = open_dataset(f"hic:{tmp_path}", None, small).sequences[0].truth().motion
    assert motion is not None and (motion.status > 0).tolist() == truth.valid.tolist()
    posed = pose_hands(small, motion, vertices=True)
    assert posed.vertices is not None and posed.vertices[1, 0] == pytest.approx(meshes[1, 0], abs=1e-9)
    assert open_dataset(f"hic:{tmp_path}", None, MODELS).sequences[0].truth().motion is None  # another hand's


def test_hic_is_cut_in_time_into_training_and_test(tmp_path: Path) -> None:
    write_hic(tmp_path)
    parts = {split: open_dataset(f"hic:{tmp_path}", split).sequences for split in ("all", "train", "test")}
    assert [[one.name for one in part] for part in parts.values()] == [["01", "15"], ["01"], ["01"]]  # 15 has one hand
    names = [list(parts[split][0].frame_names) for split in ("train", "test")]
    assert names == [["000", "001", "002"], ["003"]]  # 806 of 1181 windows
    assert parts["test"][0].truth().valid.tolist() == [[True], [False]]


def test_windows_of_20_on_hic_split_806_to_375(tmp_path: Path) -> None:
    write_hic(tmp_path, frames=63)
    view = load_plan("stc").view(load_plan("stc").switches("paper", {"window": "20"}))
    assert view.frames == 20
    train, test = (
        HandClips("hic", open_dataset(f"hic:{tmp_path}", split, mano_sized()).sequences, view)
        for split in ("train", "test")
    )
    cut = round(63 * 806 / (806 + 375))
    both = [frame for frame in range(63) if frame != 3]  # where two hands are annotated
    assert (len(train), len(test)) == (len([f for f in both if f < cut]), len([f for f in both if f >= cut]))
    assert len(train) / len(test) == pytest.approx(806 / 375, rel=0.05)
    assert train[len(train) - 1].images.shape[0] == 20
    last, first = train[len(train) - 1].joints_m, test[0].joints_m
    assert not np.allclose(last[:, -1], first[:, 0])  # the test's first window holds no frame of the training part


def test_interhand(tmp_path: Path) -> None:
    joints, vertices = write_interhand(tmp_path)
    dataset = open_dataset(f"interhand:{tmp_path}", "train", MODELS)
    start = f"Capture0/{TAKE}/cam{LENS}"
    chosen = [one for one in dataset.sequences if one.name.startswith(start)]
    assert [one.name for one in chosen] == [f"{start}/100", f"{start}/121"] and len(dataset.sequences) == 4
    first, second = chosen
    assert first.fps == 30 and first.times_s == pytest.approx(np.arange(4) / 30) and first.sides == (True, False)
    assert [file.name for file in second.images] == [f"image{number}.jpg" for number in NUMBERS[4:]]
    assert first.camera.K[0] == pytest.approx(np.array([[1200.0, 0, 167], [0, 1201, 256], [0, 0, 1]]))
    assert (first.camera.width, first.camera.height) == (334, 512)
    truth = first.truth()
    assert truth.valid.tolist() == [[True, True, False, True], [True, False, True, True]]
    assert truth.joint_valid is not None and truth.joint_valid.sum(-1).tolist() == [[21, 21, 19, 21], [21, 0, 21, 21]]
    assert np.isnan(truth.joints_m[~truth.joint_valid]).all()
    assert truth.joints_m[truth.joint_valid] == pytest.approx(joints[:, :4][truth.joint_valid], abs=1e-6)
    assert truth.vertices_m is not None
    assert truth.vertices_m[0] == pytest.approx(vertices[0, :4], abs=1e-9)
    assert np.isnan(truth.vertices_m[1, 1]).all()
    check_parameters(truth)
    check_parameters(truth, hand=1)
    assert second.truth().joints_m == pytest.approx(joints[:, 4:], abs=1e-6)
    assert len(dict(first.clip.images())) == 4
    boxes = first.boxes_px
    assert np.isfinite(boxes).all(-1).tolist() == [[True] * 4, [True, False, True, True]]


def test_interhand_windows_and_rates(tmp_path: Path) -> None:
    assert interhand.windows(np.array([1, 2, 3, 9, 10, 12])) == ([(0, 3), (3, 5), (5, 6)], 1)
    assert interhand.windows(np.array([18, 36, 54])) == ([(0, 3)], 18)
    assert interhand.windows(np.array([7])) == ([(0, 1)], 1)
    write_interhand(tmp_path, "val")
    assert open_dataset(f"interhand:{tmp_path}", "val").sequences[0].fps == pytest.approx(
        10
    )  # steps of 3 where 1 is 30


def test_interhand_annotations_that_are_missing_or_broken(tmp_path: Path) -> None:
    write_interhand(tmp_path)
    folder = tmp_path / "annotations" / "train"
    text = (folder / "InterHand2.6M_train_data.json").read_text()
    points = json.loads((folder / "InterHand2.6M_train_joint_3d.json").read_text())
    del points["0"]["121"]
    (folder / "InterHand2.6M_train_joint_3d.json").write_text(json.dumps(points))
    (folder / "InterHand2.6M_train_MANO_NeuralAnnot.json").unlink()
    (one,) = (
        s for s in open_dataset(f"interhand:{tmp_path}", "train", MODELS).sequences if s.name.endswith(f"{LENS}/121")
    )
    truth = one.truth()
    assert truth.motion is None and truth.valid.tolist() == [[False, True]] * 2 and "frame 121" in truth.broken[0][1]
    (folder / "InterHand2.6M_train_data.json").write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match=r"has no list 'annotations'|breaks off in its list"):
        open_dataset(f"interhand:{tmp_path}", "train")
    (folder / "InterHand2.6M_train_camera.json").unlink()
    with pytest.raises(InputError, match=r"InterHand2\.6M_train_camera\.json' is missing"):
        open_dataset(f"interhand:{tmp_path}", "train")


def test_long_lists_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": number, "name": "x" * (number % 40), "at": [1.5, -2e3]} for number in range(300)]
    (tmp_path / "a.json").write_text(json.dumps({"info": {"a": [1]}, "images": rows, "annotations": []}))
    for chunk in (7, 64, 1 << 20):
        monkeypatch.setattr("hmpfit.datasets.json_lists._CHUNK", chunk)
        assert list(objects_of(tmp_path / "a.json", "images")) == rows
        assert list(objects_of(tmp_path / "a.json", "annotations")) == []
        (tmp_path / "b.json").write_text("\n " + json.dumps(rows))
        assert list(objects_of(tmp_path / "b.json")) == rows
    for text, sentence in (
        ("[[[1, 2, 3]], [[1, 2]]]", "Entry 1 of"),
        ("{}", "is not a list"),
        ("[[[1, 2, 3]]", "breaks off"),
        ("[]", "empty list"),
        ("[[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]]", "equally many"),
    ):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(InputError, match=sentence):
            points_of(tmp_path / "b.json", (None, 3))


def test_arctic(tmp_path: Path) -> None:
    joints, vertices = write_arctic(tmp_path)
    (sequence,) = open_dataset(f"arctic:{tmp_path}", "p1_val", MODELS).sequences
    assert sequence.name == "s01/box_grab_01/2" and sequence.frame_names[0] == f"{OFFSET:05d}"
    assert sequence.camera.K[0, 0, 0] == 501 and (sequence.camera.width, sequence.camera.height) == (200, 280)
    truth = sequence.truth()
    use = np.arange(10, 16)
    assert np.flatnonzero(truth.valid[0]).tolist() == use.tolist()
    assert truth.joints_m[:, use] == pytest.approx(joints[:, use], abs=1e-9)
    assert truth.vertices_m is not None and truth.vertices_m[:, use] == pytest.approx(vertices[:, use], abs=1e-9)
    check_parameters(truth, hand=1)
    (alone,) = open_dataset(f"arctic:{tmp_path}", "p1_val").sequences
    with pytest.raises(InputError, match="--hand-model"):
        alone.truth()
    write_arctic_split(tmp_path, joints)
    truth = alone.truth()
    assert truth.joints_m[0] == pytest.approx(joints[0], abs=1e-6) and np.flatnonzero(~truth.valid[1]).tolist() == [12]
    (head,) = open_dataset(f"arctic:{tmp_path}", "p2_val", MODELS).sequences
    seen = head.truth().joints_m[0]
    assert seen[12] - seen[11] == pytest.approx((joints[0, 12] - joints[0, 11]) @ TURN + 1.0, abs=1e-6)


def test_wrong_folders_say_what_was_expected_and_found(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    for kind, name in (("dexycb", "DexYCB"), ("freihand", "FreiHAND"), ("hic", "HIC"), ("interhand", r"InterHand2\.6M"),
                       ("arctic", "ARCTIC")):  # fmt: skip
        with pytest.raises(InputError, match=rf"is not {name}: .* is missing; expected .*, found holiday/\."):
            open_dataset(f"{kind}:{tmp_path}")
