"""Exports for biomechanics, datasets and VR, each read back by a library of its own field."""

import csv
import io
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch
from scipy.spatial.transform import Rotation

from hmpfit.errors import InputError
from hmpfit.exporters.angles import ANATOMICAL_NAMES, isb_axes, joint_angles_deg
from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, hand_labels
from hmpfit.hands.mano import pose_hands
from hmpfit.results.npz import in_wrist_frame
from hmpfit.skeleton import MANO_HAND_JOINTS, OPENPOSE_21, OPENPOSE_TO_MANO21, openpose
from tests.exported_cases import FRAMES, TENTH_DEG, TENTH_MM, all_cases, camera_cases, make_case
from tests.model_fixtures import mirrored_model, smplx_layer


def test_a_moved_result_is_that_of_its_parameters() -> None:
    case, before = make_case("three", "world"), make_case("three", "camera").result
    posed = pose_hands(case.models, case.result.motion).joints
    assert np.abs(posed - case.result.joints).max() < 1e-9
    assert case.options.camera_pose is not None
    R, t = case.options.camera_pose[:, :3, :3], case.options.camera_pose[:, :3, 3]
    assert np.allclose(case.result.joints[1, 3] @ R[3] - t[3] @ R[3], before.joints[1, 3])


@all_cases
def test_trc_read_by_trc_data_reader(hands: str, frame: str, tmp_path: Path) -> None:
    from trc import TRCData

    case = make_case(hands, frame)
    (file,) = case.write("trc", tmp_path)
    read = TRCData()
    read.load(str(file))
    assert int(read["NumFrames"]) == FRAMES and float(read["DataRate"]) == pytest.approx(30)
    assert read["Units"] == "mm" and int(read["NumMarkers"]) == 21 * len(case.result.joints)
    for hand, label in enumerate(hand_labels(case.result)):
        for joint, name in enumerate(OPENPOSE_21):
            found = np.array(read[f"{label}_{name}"]) / 1000 @ UPRIGHT_FROM_CAMERA
            assert np.abs(found - case.result.joints[hand, :, joint]).max() < TENTH_MM
    assert np.allclose(read["Time"], case.result.tracks.times_s, atol=1e-6)


@all_cases
def test_c3d_read_by_the_package_c3d(hands: str, frame: str, tmp_path: Path) -> None:
    c3d = pytest.importorskip("c3d")
    pytest.importorskip("ezc3d")
    case = make_case(hands, frame)
    (file,) = case.write("c3d", tmp_path)
    with file.open("rb") as stream:
        read = c3d.Reader(stream)
        assert read.point_rate == pytest.approx(30) and read.get("POINT:UNITS").string_value.strip() == "mm"
        names = [name.strip() for name in read.point_labels]
        frames = np.stack([points[:, :4] for _, points, _ in read.read_frames()])
    assert names == [f"{label}_{name}" for label in hand_labels(case.result) for name in OPENPOSE_21]
    found = frames[..., :3].reshape(FRAMES, -1, 21, 3).transpose(1, 0, 2, 3) / 1000 @ UPRIGHT_FROM_CAMERA
    assert np.abs(found - case.result.joints).max() < TENTH_MM
    assert (frames[..., 3] == 0).all()  # every point is valid: -1 would mean not seen


@all_cases
def test_angles_give_back_the_pose(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    (file,) = case.write("angles", tmp_path)
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    keys = ("flexion_deg", "ulnar_deviation_deg", "rotation_deg")
    read = np.array([[float(row[key]) for key in keys] for row in rows])
    read = read.reshape(len(case.result.joints), FRAMES, 15, 3)
    axes = isb_axes()
    for hand, is_right in enumerate(case.result.motion.is_right):
        mirror = np.ones(3) if is_right else np.array([1.0, -1.0, -1.0])
        for joint in range(15):
            turned = Rotation.from_euler("ZXY", read[hand, :, joint], degrees=True).as_matrix()
            found = Rotation.from_matrix(axes[joint].T @ turned @ axes[joint])
            expected = Rotation.from_rotvec(case.result.motion.hand_pose[hand, :, joint] * mirror)
            assert np.rad2deg((found * expected.inv()).magnitude()).max() < TENTH_DEG


def test_angles_by_the_joint_coordinate_system() -> None:
    """Grood and Suntay's formula from the segments' axes, as the ISB states it, without any Euler function."""
    rng = np.random.default_rng(2)
    pose = rng.normal(scale=0.4, size=(20, 15, 3))
    found = joint_angles_deg(pose, True)
    for joint, axes in enumerate(isb_axes()):
        distal = Rotation.from_rotvec(pose[:, joint]).as_matrix() @ axes.T  # columns X Y Z of the distal segment
        x_proximal, y_proximal, z_proximal = axes
        floating = np.cross(distal[:, :, 1], z_proximal)
        floating /= np.linalg.norm(floating, axis=1, keepdims=True)
        flexion = np.arctan2(floating @ y_proximal, floating @ x_proximal)
        deviation = np.arcsin(distal[:, :, 1] @ z_proximal)
        assert np.abs(np.rad2deg(flexion) - found[:, joint, 0]).max() < 1e-6
        assert np.abs(np.rad2deg(deviation) - found[:, joint, 1]).max() < 1e-6


def test_signs_of_angles() -> None:
    """Flexion about MANO's +z, both sides alike; a turn of the index towards the thumb is abduction."""
    middle, index = MANO_HAND_JOINTS.index("middle2"), MANO_HAND_JOINTS.index("index1")
    pose = np.zeros((15, 3))
    flexion_axis = isb_axes()[middle, 2]
    pose[middle] = np.deg2rad(30) * flexion_axis
    pose[index] = np.deg2rad(10) * np.array([0.0, 1.0, 0.0])  # about +y: the tip goes from -x towards +z, the thumb
    for is_right, mirror in ((True, 1.0), (False, np.array([1.0, -1.0, -1.0]))):
        angles = joint_angles_deg(pose * mirror, is_right)
        assert angles[middle] == pytest.approx([30, 0, 0], abs=1e-9)
        assert angles[index] == pytest.approx([0, -10, 0], abs=1e-9)
    assert ANATOMICAL_NAMES[middle] == "middle_pip" and "thumb_cmc" in ANATOMICAL_NAMES


@camera_cases
def test_ho3d_pickles_hold_arrays_and_no_code(hands: str, tmp_path: Path) -> None:
    case = make_case(hands, "camera")
    index, *files = case.write("ho3d", tmp_path)
    assert len(index.read_text().split()) == len(files) == len(case.result.joints) * FRAMES
    named = set()
    for file in files:
        named |= {str(value) for code, value, _ in pickletools.genops(file.read_bytes()) if code.name == "GLOBAL"}
    module = "numpy._core" if hasattr(np, "_core") and np.__version__ >= "2" else "numpy.core"
    assert named <= {f"{module}.multiarray _reconstruct", "numpy ndarray", "numpy dtype", "_codecs encode"}
    for hand, label in enumerate(hand_labels(case.result)):
        for step in range(FRAMES):
            read = _only_arrays((tmp_path / "ho3d" / "train" / label / "meta" / f"{step:04d}.pkl").read_bytes())
            opencv = read["handJoints3D"] * [1, -1, -1]
            expected = case.result.joints[hand, step, list(OPENPOSE_TO_MANO21)]
            assert np.abs(opencv - expected).max() < TENTH_MM
            posed = _mano(case, hand)(
                global_orient=torch.as_tensor(read["handPose"][None, :3]),
                hand_pose=torch.as_tensor(read["handPose"][None, 3:]),
                transl=torch.as_tensor(read["handTrans"][None]), betas=torch.as_tensor(read["handBeta"][None]),
            )  # fmt: skip
            tips = posed.vertices[:, list(case.models.right.tip_vertices)]
            found = torch.cat((posed.joints[:, :16], tips), 1)[0].numpy()
            assert np.abs(found * [1, -1, -1] - expected).max() < TENTH_MM
            assert np.allclose(read["camMat"], case.result.camera.K[0])


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if module.split(".")[0] not in ("numpy", "_codecs"):
            raise AssertionError(f"{module}.{name}")
        return super().find_class(module, name)


def _only_arrays(content: bytes) -> dict[str, np.ndarray]:
    read: dict[str, np.ndarray] = _ArraysOnly(io.BytesIO(content)).load()
    return read


def _mano(case, hand: int) -> smplx.MANO:
    is_right = bool(case.result.motion.is_right[hand])
    model = case.models.side(is_right)
    return smplx_layer(model if is_right else mirrored_model(model), is_right)


@all_cases
def test_mano_npz_posed_by_smplx(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    (file,) = case.write("mano", tmp_path)
    with np.load(file) as read:
        labels = [str(label) for label in read["hands"]]
        assert labels == hand_labels(case.result)
        for hand, label in enumerate(labels):
            given = {
                key: torch.as_tensor(read[f"{label}_{key}"])
                for key in ("global_orient", "hand_pose", "transl", "betas")
            }
            posed = _mano(case, hand)(**given)
            tips = posed.vertices.numpy()[:, list(case.models.right.tip_vertices)]
            found = np.concatenate((posed.joints.numpy()[:, :16], tips), axis=1)
            assert np.abs(found - case.result.joints[hand][:, list(OPENPOSE_TO_MANO21)]).max() < TENTH_MM
            assert bool(read[f"{label}_is_right"]) == bool(case.result.motion.is_right[hand])


def test_the_wrist_frame_turns_back_to_the_joints() -> None:
    result = make_case("three", "camera").result
    found = in_wrist_frame(result.joints, result.motion.global_orient)
    assert np.allclose(found[:, :, 0], 0)
    for hand in range(3):
        turns = Rotation.from_rotvec(result.motion.global_orient[hand]).as_matrix()
        again = np.einsum("tij,tkj->tki", turns, found[hand]) + result.joints[hand, :, :1]
        assert np.abs(again - result.joints[hand]).max() < 1e-9
    tip = openpose("middle1")
    assert (found[[0, 2], :, tip, 0] < 0).all() and (found[1, :, tip, 0] > 0).all()


@pytest.mark.parametrize("name", ["ho3d", "hamer"])
def test_formats_of_one_image_refuse_the_world_frame(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="camera's frame"):
        make_case("two", "world").write(name, tmp_path)
