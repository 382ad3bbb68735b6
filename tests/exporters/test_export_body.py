"""Hands put into a body: following the whole chain to the wrist gives the hand's own rotation in the camera."""

from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hmpfit.errors import InputError
from hmpfit.exporters.body import BODY_PARENTS, WRISTS
from tests.exported_cases import FRAMES, TENTH_DEG, Case, camera_cases, make_case


def body(tmp_path: Path, suffix: str, frames: int = FRAMES) -> Path:
    rng = np.random.default_rng(4)
    parameters = {"body_pose": rng.normal(scale=0.5, size=(frames, 63)), "global_orient": rng.normal(size=(frames, 3)),
                  "transl": rng.normal(size=(frames, 3)), "betas": np.zeros((frames, 10))}  # fmt: skip
    path = tmp_path / f"hmr4d_results{suffix}"
    if suffix == ".npz":
        np.savez(path, **parameters)
        return path
    tensors = {key: torch.as_tensor(value, dtype=torch.float32) for key, value in parameters.items()}
    other = {**tensors, "global_orient": tensors["global_orient"] + 1}
    torch.save({"smpl_params_incam": tensors, "smpl_params_global": other, "K_fullimg": torch.eye(3)}, path)
    return path


def assert_wrists_turn_as_the_hands(orient: np.ndarray, pose: np.ndarray, case: Case, frames: np.ndarray) -> None:
    """Follow the chain of axis-angles to each wrist; it must turn as the result's hand does."""
    local = np.concatenate((orient[:, None], pose), axis=1)[frames]
    for hand in range(min(2, len(case.result.joints))):
        side = "right" if case.result.motion.is_right[hand] else "left"
        joint, turned = WRISTS[side], Rotation.identity()
        while joint >= 0:
            turned, joint = Rotation.from_rotvec(local[:, joint]) * turned, BODY_PARENTS[joint]
        expected = Rotation.from_rotvec(case.result.motion.global_orient[hand, frames])
        assert np.rad2deg((turned * expected.inv()).magnitude()).max() < TENTH_DEG


@camera_cases
@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_the_wrist_turns_as_the_hand_does(hands: str, suffix: str, tmp_path: Path) -> None:
    case, path = make_case(hands, "camera"), body(tmp_path, suffix)
    case = replace(case, options=replace(case.options, merge_into=path))
    (file,) = case.write("smplx", tmp_path / "out")
    if suffix == ".pt":
        whole = torch.load(file, weights_only=True)
        read, other = whole["smpl_params_incam"], whole["smpl_params_global"]
        assert torch.equal(read["body_pose"], other["body_pose"]) and "K_fullimg" in whole
        before = torch.load(path, weights_only=True)["smpl_params_incam"]["body_pose"].numpy()
    else:
        read, before = dict(np.load(file)), np.load(path)["body_pose"]
    pose = np.asarray(read["body_pose"]).reshape(FRAMES, 21, 3)
    assert_wrists_turn_as_the_hands(np.asarray(read["global_orient"]), pose, case, np.ones(FRAMES, bool))
    for hand in range(min(2, len(case.result.joints))):
        side = "right" if case.result.motion.is_right[hand] else "left"
        fingers = np.asarray(read[f"{side}_hand_pose"]).reshape(FRAMES, 15, 3)
        assert np.allclose(fingers, case.result.motion.hand_pose[hand], atol=1e-6)
    assert np.allclose(pose[:, :19], before.reshape(FRAMES, 21, 3)[:, :19])


def test_bodies_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    case = make_case("two", "camera")
    with pytest.raises(InputError, match="--into"):
        case.write("smplx", tmp_path)
    for path, sentence in ((body(tmp_path, ".npz", 3), "3 frames"), (Path(__file__), "body's result")):
        with pytest.raises(InputError, match=sentence):
            replace(case, options=replace(case.options, merge_into=path)).write("smplx", tmp_path)


def test_the_command_fills_a_body_in(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from hmpfit.command_line.export import export

    case, path = make_case("two", "camera"), body(tmp_path, ".npz")
    case.write("npz", tmp_path / "run")
    command = [str(tmp_path / "run"), "--to", "smplx", "--into", str(path), "-o", str(tmp_path / "out")]
    CliRunner().invoke(export, command, catch_exceptions=False, standalone_mode=False)
    with np.load(tmp_path / "out" / "hmr4d_results_hands.npz") as read:
        assert np.allclose(read["right_hand_pose"], case.result.motion.hand_pose[0].reshape(FRAMES, -1), atol=1e-6)


@camera_cases
@pytest.mark.parametrize("track", [None, "5"])
def test_hands_in_4d_humans_tracks(hands: str, track: str | None, tmp_path: Path) -> None:
    """Person 7 is in every frame, person 5 in all but two; masks and the other person stay as they were."""
    rng, frames = np.random.default_rng(6), {}

    def person() -> dict:
        matrices = Rotation.from_rotvec(rng.normal(scale=0.5, size=(24, 3))).as_matrix().astype(np.float32)
        return {"global_orient": matrices[:1], "body_pose": matrices[1:], "betas": np.zeros(10, np.float32)}

    for frame in range(FRAMES):
        there = [7] if frame in (0, 3) else [5, 7]
        frames[f"outputs/img/{frame:06d}.jpg"] = {
            "tid": there, "smpl": [person() for _ in there], "time": frame, "mask": [{"size": [4, 4], "counts": b"0x"}],
        }  # fmt: skip
    path = tmp_path / "demo_clip.pkl"
    joblib.dump(frames, path, compress=3)
    case = make_case(hands, "camera")
    case = replace(case, options=replace(case.options, merge_into=path, variant=track))
    (file,) = case.write("smplx", tmp_path / "out")
    read, chosen = joblib.load(file), int(track or 7)
    assert list(read) == list(frames) and read["outputs/img/000001.jpg"]["mask"] == [{"size": [4, 4], "counts": b"0x"}]
    orient, pose, inside = np.zeros((FRAMES, 3)), np.zeros((FRAMES, 23, 3)), np.zeros(FRAMES, bool)
    for frame, (name, content) in enumerate(read.items()):
        for tid, after, before in zip(content["tid"], content["smpl"], frames[name]["smpl"], strict=True):
            if tid != chosen:
                assert np.array_equal(after["body_pose"], before["body_pose"]) and "left_hand_pose" not in after
                continue
            inside[frame] = True
            assert after["body_pose"].shape == (23, 3, 3) and np.allclose(
                after["body_pose"][:19], before["body_pose"][:19], atol=1e-6
            )
            orient[frame] = Rotation.from_matrix(after["global_orient"]).as_rotvec()[0]
            pose[frame] = Rotation.from_matrix(after["body_pose"]).as_rotvec()
            for hand in range(min(2, len(case.result.joints))):
                side = "right" if case.result.motion.is_right[hand] else "left"
                fingers = Rotation.from_matrix(after[f"{side}_hand_pose"])
                expected = Rotation.from_rotvec(case.result.motion.hand_pose[hand, frame])
                assert np.rad2deg((fingers * expected.inv()).magnitude()).max() < TENTH_DEG
    assert inside.sum() == (FRAMES - 2 if track else FRAMES)
    assert_wrists_turn_as_the_hands(orient, pose, case, inside)


@camera_cases
@pytest.mark.parametrize("names", [("global_orient", "body_pose", "left_hand_pose"),
                                   ("smplx_root_pose", "smplx_body_pose", "smplx_lhand_pose")])  # fmt: skip
def test_hands_in_a_folder_of_frames(hands: str, names: tuple[str, str, str], tmp_path: Path) -> None:
    """SMPLest-X's way: one npz a frame and person, person 1 missing in a frame, person 0 untouched."""
    rng, folder = np.random.default_rng(8), tmp_path / "smplx"
    folder.mkdir()
    for frame in range(FRAMES):
        for person in (0, 1):
            if (frame, person) != (2, 1):
                shapes = zip(names, ((1, 3), (21, 3), (15, 3)), strict=True)
                content = {name: rng.normal(scale=0.5, size=shape).astype(np.float32) for name, shape in shapes}
                np.savez(folder / f"{frame + 1:05d}_{person}.npz", **content, betas=np.zeros((1, 10)))
    case = make_case(hands, "camera")
    case = replace(case, options=replace(case.options, merge_into=folder, variant="1"))
    files = case.write("smplx", tmp_path / "out")
    assert len(files) == FRAMES - 1 and len(list(files[0].parent.iterdir())) == 2 * FRAMES - 1
    before, after = np.load(folder / "00001_0.npz"), np.load(files[0].parent / "00001_0.npz")
    assert all(np.array_equal(before[key], after[key]) for key in before)
    orient, pose, inside = np.zeros((FRAMES, 3)), np.zeros((FRAMES, 21, 3)), np.zeros(FRAMES, bool)
    for file in files:
        frame, content = int(file.stem.split("_")[0]) - 1, np.load(file)
        inside[frame], orient[frame], pose[frame] = True, content[names[0]][0], content[names[1]]
        assert content[names[2]].shape == (15, 3)
    assert_wrists_turn_as_the_hands(orient, pose, case, inside)


def test_a_person_who_is_not_there_is_named(tmp_path: Path) -> None:
    case = make_case("two", "camera")
    matrices = np.tile(np.eye(3), (24, 1, 1))
    one = {"tid": [3], "smpl": [{"global_orient": matrices[:1], "body_pose": matrices[1:]}]}
    joblib.dump({"a.jpg": one}, tmp_path / "demo.pkl")
    (tmp_path / "empty").mkdir()
    for path, variant, sentence in (
        (tmp_path / "demo.pkl", "9", "takes one of 3"), (tmp_path / "demo.pkl", None, "1 frames"),
        (tmp_path / "empty", None, "00001_0.npz"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=sentence):
            replace(case, options=replace(case.options, merge_into=path, variant=variant)).write("smplx", tmp_path)
