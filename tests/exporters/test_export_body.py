"""Hands put into a body: following the whole chain to the wrist gives the hand's own rotation in the camera."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hmpfit.errors import InputError
from hmpfit.exporters.body import BODY_PARENTS, WRISTS
from tests.exported_cases import FRAMES, TENTH_DEG, camera_cases, make_case


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
    local = np.concatenate((np.asarray(read["global_orient"])[:, None], pose), axis=1)
    for hand in range(min(2, len(case.result.joints))):
        side = "right" if case.result.motion.is_right[hand] else "left"
        joint, turned = WRISTS[side], Rotation.identity()
        while joint >= 0:
            turned, joint = Rotation.from_rotvec(local[:, joint]) * turned, BODY_PARENTS[joint]
        expected = Rotation.from_rotvec(case.result.motion.global_orient[hand])
        assert np.rad2deg((turned * expected.inv()).magnitude()).max() < TENTH_DEG
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
