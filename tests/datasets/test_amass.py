"""AMASS: both releases read to the same right-hand motion, what is unusable is named and skipped."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmpfit.datasets.amass import moves, read_amass, read_sequence
from hmpfit.errors import InputError
from tests.amass_files import arctic, fingers, smpl_h, smpl_x, tree


def test_both_releases_give_the_same_motion_at_30_frames(tmp_path: Path) -> None:
    for writer in (smpl_h, smpl_x):
        hands = read_sequence(writer(tmp_path / f"{writer.__name__}_poses.npz", seed=5), trim=False)
        expected = fingers(480, 5).reshape(-1, 15, 3)[::4]
        assert hands["right"].shape == (120, 16, 3)
        assert np.allclose(hands["right"][:, 1:], expected, atol=1e-5)
    mirrored = read_sequence(tmp_path / "smpl_h_poses.npz", trim=False)["left"]
    assert np.allclose(mirrored[:, 1:], expected, atol=1e-5)


def test_other_rates_are_interpolated_and_ends_trimmed(tmp_path: Path) -> None:
    path = smpl_h(tmp_path / "a_poses.npz", frames=500, rate=50.0, seed=1)
    hands = read_sequence(path, trim=True)
    whole = fingers(500, 1).reshape(-1, 15, 3)
    cut = whole[25:475]
    assert len(hands["right"]) == int(449 / 50 * 30) + 1
    assert np.allclose(hands["right"][0, 1:], cut[0], atol=1e-6)
    between = cut[1] + (5 / 3 - 1) * (cut[2] - cut[1])
    assert np.allclose(hands["right"][1, 1:], between, atol=1e-5)


def test_the_wrist_is_the_product_of_the_bodys_turns(tmp_path: Path) -> None:
    path = smpl_h(tmp_path / "a_poses.npz", frames=120, rate=30.0)
    with np.load(path) as stored:
        content = dict(stored)
    content["poses"][:, 2] = 0.5  # the pelvis turns about z
    content["poses"][:, 3 * 21] = 0.3  # the right wrist about its own x
    content["poses"][:, 3 * 20] = 0.3  # the left one as well
    np.savez(path, **content)
    hands = read_sequence(path, trim=False)
    expected = Rotation.from_rotvec([0, 0, 0.5]) * Rotation.from_rotvec([0.3, 0, 0])
    assert np.allclose(hands["right"][:, 0], expected.as_rotvec(), atol=1e-5)
    assert np.allclose(hands["left"][:, 0], expected.as_rotvec() * [1, -1, -1], atol=1e-5)  # its mirror image


def test_a_tree_is_read_once_and_says_what_it_left_out(tmp_path: Path) -> None:
    root, cache = tree(tmp_path / "amass"), tmp_path / "cache"
    clips = read_amass(root, cache)
    assert clips.files == 8
    assert sorted(clips.datasets) == ["GRAB", "GRAB", "SAMP", "SAMP", "TCD_handMocap", "TCD_handMocap"]
    assert clips.still_hands == {"GRAB": 2}  # the left hands at rest
    assert set(clips.subjects) == {"GRAB/s1", "GRAB/s2", "SAMP/mixamo", "TCD_handMocap/ExperimentDatabase"}
    reasons = {Path(path).name: reason for path, reason in clips.skipped}
    assert set(reasons) == {"broken_stageii.npz", "norate_poses.npz", "short_poses.npz", "nan_poses.npz"}
    assert (
        "'mocap_framerate' is not a number from 10 to 1000" in reasons["norate_poses.npz"]
        and "not finite" in reasons["nan_poses.npz"]
    )
    assert all(moves(pose) and pose.dtype == np.float32 for pose in clips.poses)
    stamp = next(cache.glob("*/poses.npy")).stat().st_mtime_ns
    again = read_amass(root, cache)
    assert next(cache.glob("*/poses.npy")).stat().st_mtime_ns == stamp
    assert all(len(wrist) == len(pose) for wrist, pose in zip(clips.wrists, clips.poses, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(clips.poses, again.poses, strict=True))
    assert len(clips.poses[clips.datasets.index("TCD_handMocap")]) == 120  # not trimmed


def test_arctic_is_relative_to_manos_mean(tmp_path: Path) -> None:
    path = arctic(tmp_path / "raw_seqs" / "s01" / "box_grab_01.mano.npy", seed=2)
    with pytest.raises(InputError, match="relative to MANO's mean pose"):
        read_sequence(path, trim=False)
    mean = {"right": np.full(45, 0.1), "left": np.full(45, 0.2)}
    hands = read_sequence(path, trim=False, hands_mean=mean)
    assert np.allclose(hands["right"][:, 1:], fingers(120, 2).reshape(-1, 15, 3) + 0.1, atol=1e-6)


def test_wrong_folders_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"looked for \*_poses.npz"):
        read_amass(tmp_path, tmp_path / "cache")
    smpl_h(tmp_path / "ACCAD" / "s1" / "walk_poses.npz", size=0.0)
    with pytest.raises(InputError, match=r"ACCAD \(2 still hands\).*use GRAB"):
        read_amass(tmp_path, tmp_path / "cache")
