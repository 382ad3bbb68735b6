"""`hmpfit eval`: known offsets come out as known errors, missing hands are charged, wrong input is one sentence."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hmpfit.command_line import evaluate
from hmpfit.errors import InputError
from hmpfit.evaluation.scoring import PROTOCOLS, read_truth, score_motion
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.records import HandMotion
from hmpfit.results.npz import StoredResult, write_copy
from tests.made_result import two_hands

FRAMES = 12


@pytest.fixture(scope="module")
def stored(models: HandModels) -> StoredResult:
    return two_hands(models, FRAMES)


def write_truth(folder: Path, stored: StoredResult, models: HandModels, hidden: int = 0) -> Path:
    """The truth is the result itself; in the first `hidden` frames half of the joints are hidden."""
    folder.mkdir(parents=True, exist_ok=True)
    visible = np.ones(stored.joints.shape[:3], dtype=bool)
    visible[:, :hidden, 10:] = False
    posed = pose_hands(models, stored.motion, vertices=True)
    np.savez(
        folder / "truth.npz", is_right=stored.motion.is_right, joints=stored.joints, times_s=stored.tracks.times_s,
        vertices=posed.vertices, visibility=visible,
    )  # fmt: skip
    return folder


def shifted(stored: StoredResult, models: HandModels, by: tuple[float, float, float]) -> StoredResult:
    motion = replace(stored.motion, transl=stored.motion.transl + np.array(by))
    return replace(stored, motion=motion, joints=pose_hands(models, motion).joints)


def invoke(*arguments: object) -> dict[str, Any]:
    said = [*map(str, arguments), "--json"]
    done = CliRunner().invoke(evaluate.evaluate, said, catch_exceptions=False, standalone_mode=False)
    return dict(json.loads(done.stdout))


def test_the_command_knows_all_protocols() -> None:
    assert evaluate.PROTOCOLS == PROTOCOLS


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_truth_scores_perfectly(protocol: str, stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    truth = read_truth(write_truth(tmp_path / "clip", stored, models))
    scores = score_motion(stored.motion, models, truth, protocol)
    assert scores["covered"]
    for name, value in {**scores["covered"], **scores["charged"]}.items():
        if name in ("interhand_mpjpe_single_mm", "hic_mpvpe_single_mm"):
            assert np.isnan(value)  # every frame of this truth shows two hands
        elif name.endswith(("_mm", "_cm", "_frame2", "_s2")):
            assert value == pytest.approx(0, abs=1e-4), name
        elif "auc" in name or "_at_" in name:
            assert value == pytest.approx(1, abs=0.01), name


def test_a_known_shift_is_a_known_error(stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    truth = write_truth(tmp_path / "clip", stored, models, hidden=4)
    write_copy(shifted(stored, models, (0.003, 0.0, 0.004)), models, tmp_path / "run")
    scores = invoke(tmp_path / "run", "--truth", truth, "--protocol", "dexycb")["rows"]["run"]
    assert scores["dexycb_absolute_mpjpe_mm"] == pytest.approx(5.0)
    assert scores["dexycb_root_relative_mpjpe_mm"] == pytest.approx(0.0, abs=1e-6)
    assert scores["occluded_dexycb_samples"] == 8 and scores["coverage"] == 1


def test_a_missing_hand_is_left_out_and_charged(stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    truth = read_truth(write_truth(tmp_path / "clip", stored, models))
    one = HandMotion(**{name: getattr(stored.motion, name)[:1] for name in HandMotion.__dataclass_fields__})
    scores = score_motion(one, models, truth)
    assert scores["covered"]["ra_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert scores["charged"]["ra_mpjpe_mm"] > 5
    assert scores["coverage"]["share"] == pytest.approx(0.5)


def test_a_folder_of_clips_with_one_missing_run(stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_truth(tmp_path / "clips" / name, stored, models)
        if name != "c":
            write_copy(shifted(stored, models, (0, 0, 0.01 * (name == "b"))), models, tmp_path / "runs" / name)
    found = invoke(
        "--dataset", f"synthetic:{tmp_path / 'clips'}", "--predictions", tmp_path / "runs", "--protocol", "dexycb",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert found["clips"] == 2 and list(found["broken"]) == ["c"]
    assert found["rows"]["all"]["dexycb_absolute_mpjpe_mm"] == pytest.approx(5.0)
    alone = found["rows"]["c"]  # no run, so that every frame is charged
    assert alone["coverage"] == 0 and alone["dexycb_absolute_mpjpe_mm"] is None
    charged = (0 + 10 + alone["dexycb_absolute_mpjpe_mm_charged"]) / 3
    assert charged > 50 and found["rows"]["all"]["dexycb_absolute_mpjpe_mm_charged"] == pytest.approx(charged)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"table.md", "table.csv", "table.json"}


def test_clips_of_unequal_length_pool_like_one_long_clip(
    stored: StoredResult, models: HandModels, tmp_path: Path
) -> None:
    short = two_hands(models, 4)
    for name, clip, by in (("long", stored, 0.003), ("short", short, 0.011)):
        write_truth(tmp_path / "clips" / "test" / name, clip, models)
        write_copy(shifted(clip, models, (by, 0, 0)), models, tmp_path / "runs" / name)
    found = invoke(
        "--dataset", f"synthetic:{tmp_path / 'clips'}", "--split", "test", "--predictions", tmp_path / "runs",
        "--protocol", "dexycb", "--jobs", 2,
    )  # fmt: skip
    assert found["rows"]["all"]["dexycb_absolute_mpjpe_mm"] == pytest.approx((3.0 * 12 + 11.0 * 4) / 16)


def test_a_single_right_hand_is_scored_by_the_two_hand_protocols(
    stored: StoredResult, models: HandModels, tmp_path: Path
) -> None:
    truth = read_truth(write_truth(tmp_path / "clip", stored, models))
    assert truth.vertices_m is not None
    alone = replace(
        truth,
        is_right=truth.is_right[:1],
        joints_m=truth.joints_m[:1] + 0.01,
        vertices_m=truth.vertices_m[:1],
        visible=None,
    )
    for protocol, key in (("interhand", "interhand_mpjpe_single_mm"), ("stc", "stc_mpjpe_mm")):
        scores = score_motion(stored.motion, models, alone, protocol)
        assert scores["covered"][key] == pytest.approx(0, abs=1e-6)
    assert np.isnan(score_motion(stored.motion, models, alone, "hic")["covered"]["hic_mpvpe_interacting_mm"])
    with pytest.raises(InputError, match="right and a left hand"):
        score_motion(stored.motion, models, alone, "intaghand")


def test_wrong_input_is_one_sentence(stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    truth = write_truth(tmp_path / "clip", stored, models)
    write_copy(stored, models, tmp_path / "run")
    write_copy(two_hands(models, 5), models, tmp_path / "short")
    np.savez(tmp_path / "joints.npz", joints=stored.joints)
    for arguments, sentence in (
        ((tmp_path / "run",), "Give RESULT and --truth"),
        ((tmp_path / "short", "--truth", truth), "5 frames and the truth 12"),
        ((tmp_path / "run", "--truth", tmp_path / "joints.npz"), "lacks 'is_right'"),
        ((tmp_path / "run", "--truth", tmp_path / "none.npz"), "cannot be read"),
        ((tmp_path / "run", "--truth", tmp_path / "run", "--protocol", "ho3d"), "has no 'vertices'"),
        ((tmp_path / "run", "--truth", truth, "--protocol", "cats"), "Unknown protocol 'cats'"),
        (("--dataset", f"synthetic:{tmp_path / 'run'}", "--predictions", tmp_path), "holds no clip folders"),
        (("--dataset", f"synthetic:{tmp_path}", "--predictions", tmp_path / "none"), "no folder"),
    ):
        with pytest.raises(InputError, match=sentence):
            invoke(*arguments)
