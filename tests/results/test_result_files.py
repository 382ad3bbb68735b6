"""Files of a run: records survive the disk, `result.npz` keeps its keys, `result.json` counts right."""

import json
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.records import Camera, FitRecord, HandDetections, HandMotion, KeypointTracks, SolveReport
from hmpfit.results.npz import SCHEMA, read_result, write_result
from hmpfit.results.record_files import load_record, save_record
from hmpfit.results.summary import summarize, write_summary
from hmpfit.strict_json import to_json

RESULT_KEYS = {
    "global_orient": (2, 5, 3),
    "hand_pose": (2, 5, 15, 3),
    "transl": (2, 5, 3),
    "betas": (2, 10),
    "is_right": (2,),
    "status": (2, 5),
    "joints": (2, 5, 21, 3),
    "joint_std_mm": (2, 5, 21),
    "keypoints_px": (2, 5, 21, 2),
    "keypoint_confidence": (2, 5, 21),
    "K": (1, 3, 3),
    "times_s": (5,),
    "schema": (),
}
SUMMARY_KEYS = {"frames", "fps", "hands", "stages", "windows", "seconds", "camera", "recipe"}
HAND_KEYS = {
    "is_right", "detected", "interpolated", "extrapolated", "reprojection_px", "hidden_keypoint_px",
    "joint_std_mm_median", "accel_mm_per_frame2",
}  # fmt: skip


@pytest.fixture
def result() -> FitRecord:
    """Two hands, five frames; hand 0 detected in 3, hand 1 in 2; projections 5 px off in every detected frame."""
    generator = np.random.default_rng(3)
    status = np.array([[0, 2, 1, 2, 2], [2, 1, 1, 1, 2]], dtype=np.uint8)
    seen = status == 2
    xy_px = np.where(seen[..., None, None], generator.uniform(0, 500, (2, 5, 21, 2)), np.nan)
    tracks = KeypointTracks(
        xy_px, np.where(seen[..., None], 0.8, 0.0) * np.ones(21), seen, np.array([True, False]), np.arange(5) / 25
    )
    motion = HandMotion(
        generator.normal(size=(2, 5, 3)),
        generator.normal(size=(2, 5, 15, 3)),
        generator.normal(size=(2, 5, 3)),
        generator.normal(size=(2, 10)),
        np.array([True, False]),
        status,
    )
    joints = np.zeros((2, 5, 21, 3))
    joints[0, :, 1, 0] = np.arange(5) ** 2 * 0.001  # 2 mm per frame squared in one joint of 21
    return FitRecord(
        motion,
        joints + np.array([0.0, 0.0, 0.5]),
        np.full((2, 5, 21), 3.0),
        np.where(np.isfinite(xy_px), xy_px, 0.0) + np.array([3.0, 4.0]),
        Camera(np.eye(3)[None] * [900.0, 900.0, 1.0], 640, 480),
        tracks,
        (SolveReport("I", "gauss_newton", "converged", 9, 4.0, 1.0, 0.5, {"prior": 2.0}, {}, (4.0, 1.0)),),
        ((0, 4), (2, 5)),
        {"stages": [{"weights": {"prior": 300}}]},
        {"hand_model": "open", "prior": "default", "initializer": "keypoints", "version": "0.1.0"},
    )


def assert_same(first: object, second: object) -> None:
    if isinstance(first, np.ndarray):
        assert isinstance(second, np.ndarray) and first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    elif hasattr(first, "__dataclass_fields__"):
        assert type(first) is type(second)
        for name in first.__dataclass_fields__:
            assert_same(getattr(first, name), getattr(second, name))
    elif isinstance(first, tuple):
        assert isinstance(second, tuple) and len(first) == len(second)
        for a, b in zip(first, second, strict=True):
            assert_same(a, b)
    else:
        assert first == second and type(first) is type(second)


def test_every_record_survives_the_disk(result: FitRecord, tmp_path: Path) -> None:
    detections = HandDetections(
        np.arange(3), np.ones((3, 21, 2)), np.ones((3, 21, 3)), np.ones(3), np.ones(3), np.arange(5.0), 640, 480
    )
    for place, record in enumerate((result, result.motion, result.tracks, result.camera, detections)):
        save_record(tmp_path / f"{place}.npz", record)
        assert_same(record, load_record(tmp_path / f"{place}.npz", type(record)))


def test_a_damaged_or_foreign_record_is_an_input_error(result: FitRecord, tmp_path: Path) -> None:
    path = tmp_path / "record.npz"
    save_record(path, result.motion)
    with pytest.raises(InputError, match="not a KeypointTracks file"):
        load_record(path, KeypointTracks)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        load_record(path, HandMotion)


def test_result_npz_has_its_keys_and_is_finite(result: FitRecord, tmp_path: Path) -> None:
    write_result(tmp_path / "result.npz", result)
    with np.load(tmp_path / "result.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    assert {key: arrays[key].shape for key in RESULT_KEYS} == RESULT_KEYS
    assert str(arrays["schema"]) == SCHEMA and arrays["status"].dtype == np.uint8
    assert all(np.isfinite(values).all() for values in arrays.values() if values.dtype.kind == "f")
    assert (arrays["keypoint_confidence"][0, 0] == 0).all() and (arrays["keypoints_px"][0, 0] == 0).all()
    np.testing.assert_array_equal(arrays["keypoints_px"][0, 1], result.tracks.xy_px[0, 1])


def test_result_npz_reads_back_as_records(result: FitRecord, tmp_path: Path) -> None:
    write_result(tmp_path / "result.npz", result)
    stored = read_result(tmp_path)
    assert_same(stored.motion, result.motion)
    assert_same(stored.joints, result.joints)
    assert_same(stored.tracks, result.tracks)
    assert (stored.camera.width, stored.camera.height) == (640, 480)


def test_a_result_that_is_not_finite_is_never_written(result: FitRecord, tmp_path: Path) -> None:
    result.joints[0, 0] = np.nan
    with pytest.raises(ValueError, match="'joints' of the result is not finite"):
        write_result(tmp_path / "result.npz", result)
    assert not list(tmp_path.iterdir())


def test_without_a_solver_the_uncertainty_is_unknown(result: FitRecord, tmp_path: Path) -> None:
    result.joint_std_mm[:] = np.nan
    write_result(tmp_path / "result.npz", result)
    write_summary(tmp_path / "result.json", summarize(result, 25.0, {"total": 1.0}, None))
    assert json.loads((tmp_path / "result.json").read_text())["hands"][0]["joint_std_mm_median"] is None
    result.joint_std_mm[0] = 1.0
    with pytest.raises(ValueError, match="'joint_std_mm' of the result is not finite"):
        write_result(tmp_path / "result.npz", result)


def test_reading_something_else_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable result"):
        read_result(tmp_path / "absent.npz")
    np.savez(tmp_path / "other.npz", schema="hmpfit.result.1", K=np.eye(3))
    with pytest.raises(InputError, match="'global_orient' is missing"):
        read_result(tmp_path / "other.npz")


def test_result_json_counts_and_measures(result: FitRecord, tmp_path: Path) -> None:
    hidden_px = np.full((2, 5, 21, 2), np.nan)
    hidden_px[0, 2] = result.landmarks_px[0, 2] + [0.0, 12.0]
    write_summary(tmp_path / "result.json", summarize(result, 25.0, {"total": 1.0}, hidden_px))
    summary = json.loads((tmp_path / "result.json").read_text())
    assert set(summary) >= {*SUMMARY_KEYS, "hand_model", "prior", "initializer", "version"}
    first, second = summary["hands"]
    assert set(first) >= HAND_KEYS
    assert (first["detected"], first["interpolated"], first["extrapolated"]) == (3, 1, 1)
    assert (second["detected"], second["interpolated"], second["extrapolated"]) == (2, 3, 0)
    assert first["reprojection_px"] == pytest.approx({"mean": 5.0, "median": 5.0})
    assert first["hidden_keypoint_px"] == pytest.approx({"mean": 12.0, "median": 12.0})
    assert second["hidden_keypoint_px"] is None
    assert first["accel_mm_per_frame2"] == pytest.approx(2.0 / 21)
    assert set(summary["stages"][0]) >= {"name", "outcome", "steps", "cost_start", "cost_end", "seconds"}
    assert (summary["stages"][0]["steps"], summary["stages"][0]["cost_end"]) == (9, 1.0)
    assert summary["windows"] == [[0, 4], [2, 5]]


def test_json_is_strict() -> None:
    assert json.loads(to_json({"a": [float("nan"), np.float32(1.5), (float("inf"), 2)]})) == {
        "a": [None, 1.5, [None, 2]]
    }
