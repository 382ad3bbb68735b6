"""Exports for VR, images and tables of data, each read back by a library of its own field."""

import ctypes
import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, animate, hand_labels, world_rotations
from hmpfit.exporters.dataset_layouts import arkit_name
from hmpfit.exporters.openxr import OPENXR_26
from hmpfit.skeleton import openpose
from tests.exported_cases import FRAMES, TENTH_MM, all_cases, camera_cases, make_case

_PARTS = {"thumb": ("metacarpal", "proximal", "distal", "tip")}
OPENXR_NAMES = {"wrist": "wrist"} | {
    f"{finger}{'_tip' if part == 3 else part + 1}": f"{'little' if finger == 'pinky' else finger}_{name}"
    for finger in ("thumb", "index", "middle", "ring", "pinky")
    for part, name in enumerate(_PARTS.get(finger, ("proximal", "intermediate", "distal", "tip")))
}  # the names of the result's joints, by specification


@all_cases
def test_openxr_read_into_the_structs_of_pyopenxr(hands: str, frame: str, tmp_path: Path) -> None:
    xr = pytest.importorskip("xr")
    case = make_case(hands, frame)
    (file,) = case.write("openxr", tmp_path)
    read = json.loads(file.read_text())
    enum = sorted((kind.value, kind.name) for kind in xr.HandJointEXT)
    assert [name.lower() for _, name in enum] == read["joint_names"] == list(OPENXR_26)
    moving = animate(case.result, case.models)
    for hand, stored in enumerate(read["hands"]):
        turned = UPRIGHT_FROM_CAMERA @ world_rotations(moving[hand].rotations)
        for step in range(FRAMES):
            locations = (xr.HandJointLocationEXT * len(enum))()
            for number, location in enumerate(locations):
                location.pose = xr.Posef(
                    xr.Quaternionf(*stored["orientation_xyzw"][step][number]),
                    xr.Vector3f(*stored["position_m"][step][number]),
                )
                location.radius = stored["radius_m"][number]
            assert ctypes.sizeof(locations) == ctypes.sizeof(xr.HandJointLocationEXT) * 26
            for ours, theirs in OPENXR_NAMES.items():
                place = locations[xr.HandJointEXT[theirs.upper()].value].pose.position
                found = np.array([place.x, place.y, place.z]) @ UPRIGHT_FROM_CAMERA
                assert np.abs(found - case.result.joints[hand, step, openpose(ours)]).max() < TENTH_MM
            # The wrist's frame: -z along the flat hand's fingers (MANO's -x, a left hand's +x), +y out of its back.
            q = locations[xr.HandJointEXT.WRIST.value].pose.orientation
            wrist = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
            forward = turned[step, 0] @ [-1.0 if moving[hand].is_right else 1.0, 0, 0]
            assert np.allclose(-wrist[:, 2], forward, atol=1e-6)
            assert np.allclose(wrist[:, 1], turned[step, 0] @ [0, 1.0, 0], atol=1e-6)
        assert min(stored["radius_m"]) > 0.003 and max(stored["radius_m"]) < 0.03


@camera_cases
def test_openxr_bones_point_along_minus_z(hands: str, tmp_path: Path) -> None:
    case = make_case(hands, "camera")
    (file,) = case.write("openxr", tmp_path)
    for stored in json.loads(file.read_text())["hands"]:
        places = np.array(stored["position_m"])
        rotations = Rotation.from_quat(np.reshape(stored["orientation_xyzw"], (-1, 4))).as_matrix()
        rotations = rotations.reshape(FRAMES, 26, 3, 3)
        for finger in ("index", "middle", "ring", "little"):
            first, second = OPENXR_26.index(f"{finger}_proximal"), OPENXR_26.index(f"{finger}_intermediate")
            bone = places[:, second] - places[:, first]
            bone /= np.linalg.norm(bone, axis=1, keepdims=True)
            # The axes are anatomy's, the bones this hand's own: they agree within some degrees.
            assert ((bone * -rotations[:, first, :, 2]).sum(1) > np.cos(np.deg2rad(15))).all()


@all_cases
def test_coco_wholebody_read_by_pycocotools(hands: str, frame: str, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    case = make_case(hands, frame)
    (file,) = case.write("coco", tmp_path)
    with redirect_stdout(io.StringIO()):
        read = coco.COCO(str(file))
    assert sorted(read.getImgIds()) == list(range(FRAMES)) and read.loadCats(1)[0]["name"] == "person"
    found: dict[tuple[str, int], np.ndarray] = {}
    for note in read.loadAnns(read.getAnnIds()):
        assert len(note["keypoints"]) == 51 and len(note["foot_kpts"]) == 18 and len(note["face_kpts"]) == 204
        for side in ("left", "right"):
            assert len(note[f"{side}hand_kpts"]) == 63
            if note[f"{side}hand_valid"]:
                points = np.reshape(note[f"{side}hand_kpts"], (21, 3))
                found[note[f"{side}hand_name"], note["image_id"]] = points
                x, y, w, h = note["bbox"]
                assert (points[:, :2] >= [x - 0.01, y - 0.01]).all() and (
                    points[:, :2] <= [x + w + 0.01, y + h + 0.01]
                ).all()
    labels = hand_labels(case.result)
    assert len(found) == len(labels) * FRAMES
    for hand, label in enumerate(labels):
        assert label.startswith("right" if case.result.motion.is_right[hand] else "left")
        for step in range(FRAMES):
            assert np.abs(found[label, step][:, :2] - case.result.landmarks_px[hand, step]).max() < 0.001
            assert (found[label, step][:, 2] == 2).all()


def test_two_hands_of_a_clip_are_one_coco_person(tmp_path: Path) -> None:
    (file,) = make_case("two", "camera").write("coco", tmp_path)
    assert len(json.loads(file.read_text())["annotations"]) == FRAMES


@all_cases
def test_egodex_read_by_h5py_as_its_loaders_do(hands: str, frame: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    case = make_case(hands, frame)
    files = case.write("egodex", tmp_path)
    assert len(files) == {"one": 1, "two": 1, "three": 2}[hands]
    seen = set()
    for file in files:
        with h5py.File(file) as read:
            camera = read["transforms/camera"][:]
            for side in ("left", "right"):
                if f"transforms/{side}Hand" not in read:
                    continue
                wrist = read[f"transforms/{side}Hand"][:, :3, 3]
                hand = int(np.argmin([np.abs(wrist @ UPRIGHT_FROM_CAMERA - j[:, 0]).max() for j in case.result.joints]))
                seen.add(hand)
                assert bool(case.result.motion.is_right[hand]) == (side == "right")
                for ours, theirs in OPENXR_NAMES.items():
                    pose = read[f"transforms/{arkit_name(theirs, side)}"][:]
                    expected = case.result.joints[hand, :, openpose(ours)]
                    assert np.abs(pose[:, :3, 3] @ UPRIGHT_FROM_CAMERA - expected).max() < TENTH_MM
                    # Seen from the camera and projected, a joint is where the result's pixels are.
                    inside = np.linalg.inv(camera) @ pose
                    pixels = inside[:, :3, 3] @ read["camera/intrinsic"][:].T
                    pixels = pixels[:, :2] / pixels[:, 2:]
                    assert np.abs(pixels - case.result.landmarks_px[hand, :, openpose(ours)]).max() < 0.01
                assert len(read["confidences"]) in (25, 50)
    assert seen == set(range(len(case.result.joints)))


@all_cases
def test_parquet_read_by_duckdb(hands: str, frame: str, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    case = make_case(hands, frame)
    (file,) = case.write("parquet", tmp_path)
    rows = duckdb.sql(f"select hand, handedness, frame, confidence, kp2d, kp3d from '{file}'").fetchall()
    assert len(rows) == len(case.result.joints) * FRAMES
    labels = hand_labels(case.result)
    for label, handedness, step, confidence, kp2d, kp3d in rows:
        hand = labels.index(label)
        assert handedness == ("right" if case.result.motion.is_right[hand] else "left") and confidence == 1
        assert np.abs(np.array(kp3d) - case.result.joints[hand, step]).max() < TENTH_MM
        assert np.abs(np.array(kp2d) - case.result.landmarks_px[hand, step]).max() < 0.01
