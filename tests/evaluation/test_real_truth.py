"""Errors against real truth on made hands, and the reader of `truth:PATH` on a small tree and on the shared one."""

import json
from pathlib import Path

import numpy as np
import pytest

from hmpfit.datasets.opening import open_dataset
from hmpfit.errors import InputError
from hmpfit.evaluation.real_truth import plausible_joints, real_errors
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model_files import load_hand_models
from hmpfit.video.writer import VideoWriter

FRAMES = 6
REST = Kinematics.of(load_hand_models("open").right).points.numpy()


def moving() -> np.ndarray:
    return REST + np.array([0.0, 0.0, 0.5]) + 0.01 * np.arange(FRAMES)[:, None, None] * np.array([1.0, 0, 0])


def test_the_truth_itself_has_no_error() -> None:
    found = real_errors(moving(), moving(), np.full((FRAMES, 21), 1.0))
    assert found.frames == FRAMES and found.pa_mpjpe_mm < 1e-9 and found.camera_mm == 0 and found.ra_acc_mm == 0
    assert found.size_ratio == pytest.approx(1) and found.depth_ratio == pytest.approx(1)
    assert found.within_1_std == found.within_2_std == 1


def test_a_larger_and_farther_hand_is_named_as_such() -> None:
    found = real_errors(1.1 * moving(), moving())
    assert found.pa_mpjpe_mm < 1e-9
    assert found.size_ratio == pytest.approx(1.1) and found.depth_ratio == pytest.approx(1.1)
    assert found.camera_mm == pytest.approx(100 * np.linalg.norm(moving(), axis=-1).mean())


def test_lacking_joints_and_wrists_do_not_count() -> None:
    truth = moving()
    truth[0, 0] = np.nan  # no wrist: the frame does not count
    truth[1, 8] = np.nan
    wrong = moving()
    wrong[0] += 1.0
    wrong[1, 8] += 1.0
    assert real_errors(wrong, truth).camera_mm == 0 and real_errors(wrong, truth).frames == FRAMES - 1


def test_shares_within_the_deviation() -> None:
    off = moving() + np.array([0.003, 0, 0])
    std = np.where(np.arange(21) < 7, 4.0, 2.0) * np.ones((FRAMES, 1))
    found = real_errors(off, moving(), std)
    assert found.within_1_std == pytest.approx(7 / 21) and found.within_2_std == 1
    assert np.isnan(found.wrist_within_1_std)


def test_wrist_relative_deviations_do_not_count_the_wrist_nor_its_place() -> None:
    found, truth = moving() + np.array([0.1, 0, 0]), moving()
    found[:, 1:11, 1] += 0.003  # 10 of the 20 joints besides the wrist are off by 3 mm
    scored = real_errors(found, truth, None, np.full((FRAMES, 21), 2.0))
    assert scored.wrist_within_1_std == pytest.approx(0.5) and scored.wrist_within_2_std == 1


def test_fingers_with_impossible_bones_are_left_out() -> None:
    truth = moving()
    truth[:, 12] = truth[:, 11] + 0.3 * (truth[:, 12] - truth[:, 11])  # the middle fingertip
    kept = np.isfinite(plausible_joints(truth)).all((0, 2))
    assert not kept[12] and kept.sum() == 20


def made_tree(folder: Path) -> Path:
    home = folder / "desk"
    home.mkdir(parents=True)
    with VideoWriter(home / "a.mp4", 10.0, 64, 48) as writer:
        for _ in range(FRAMES):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    K = [[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]
    (home / "a.intrinsics.json").write_text(json.dumps({"K": K, "distortion": [0] * 5, "width": 64, "height": 48}))
    reprojection = np.ones((1, FRAMES, 21))
    reprojection[0, 2] = 20.0
    np.savez(
        home / "a.truth.npz", joints=moving()[None], reprojection_px=reprojection, is_right=np.array([True]),
        times_s=np.arange(FRAMES) / 5.0, K=np.array(K), distortion=np.zeros(5),
    )  # fmt: skip
    return folder


def test_reader_takes_the_truths_own_times_and_leaves_out_what_views_disagree_about(tmp_path: Path) -> None:
    (sequence,) = open_dataset(f"truth:{made_tree(tmp_path)}").sequences
    assert sequence.name == "desk/a" and sequence.fps == pytest.approx(5.0)
    assert sequence.clip.frames == FRAMES and np.allclose(np.diff(sequence.clip.times_s), 0.2)
    truth = sequence.truth()
    assert truth.valid[0].tolist() == [True, True, False, True, True, True]
    assert sequence.camera.K[0, 0, 0] == 60 and sequence.camera.source == "given"


def test_reader_names_what_is_missing(tmp_path: Path) -> None:
    home = made_tree(tmp_path)
    with pytest.raises(InputError, match="truth expects folders"):
        open_dataset(f"truth:{home / 'desk'}")
    arrays = dict(np.load(home / "desk" / "a.truth.npz"))
    del arrays["reprojection_px"]
    np.savez(home / "desk" / "a.truth.npz", **arrays)
    with pytest.raises(InputError, match="reprojection_px"):
        open_dataset(f"truth:{home}")


def test_the_shared_truth_opens(inputs: Path) -> None:
    names = [one.name for one in open_dataset(f"truth:{inputs / 'truth'}").sequences]
    assert {"desk/cam0", "rig_near/cam1", "stereo_fist/cam1"} <= set(names)
