"""`hmpfit ablate` on one short clip: every row is scored, keypoints are found once, the table resumes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hmpfit.ablation.rows import INITIALIZER, ROWS, SLERP, WHOLE_FIT, plan
from hmpfit.ablation.withheld import withheld_stretches, without_fingers
from hmpfit.command_line.ablate import ablate
from hmpfit.command_line.bench import bench
from hmpfit.command_line.synthesize import synthesize
from hmpfit.command_line.train_prior import train_prior
from hmpfit.errors import InputError, UnknownNameError
from hmpfit.priors.opening import load_gmm, load_pca
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import KeypointTracks
from hmpfit.skeleton import OPENPOSE_21

RUNNABLE = [name for name in ROWS if name not in ("stage 1 (initializer)", "stage 1 (mmpose)")]
NO_MMPOSE = {"mmpose_config": None, "mmpose_checkpoint": None, "mmpose_onnx": None}


def invoke(*arguments: object) -> dict[str, Any]:
    said = [*map(str, arguments), "--json", "--quiet"]
    done = CliRunner().invoke(ablate, said, catch_exceptions=False, standalone_mode=False)
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    made = ["-o", folder, "--frames", 24, "--count", 1, "--size", "320x240", "--occlusion", "heavy", "--quiet"]
    CliRunner().invoke(synthesize, [*map(str, made)], catch_exceptions=False, standalone_mode=False)
    return folder


def test_every_row_is_scored_and_resumed(clips: Path, tmp_path: Path) -> None:
    found = invoke("--dataset", f"synthetic:{clips}", "-o", tmp_path, "--views", 0)
    rows = found["all"]["rows"]
    assert list(rows) == RUNNABLE
    assert set(found["all"]["notes"]) == set(ROWS) - set(RUNNABLE)
    assert all(0 < values["pa_mpjpe_mm"] < 60 for values in rows.values())
    assert rows[INITIALIZER]["pa_mpjpe_mm"] > rows[INITIALIZER]["pa_mpjpe_mm_estimated"]  # a neutral hand costs
    assert rows[SLERP]["pa_mpjpe_mm"] == rows[SLERP]["pa_mpjpe_mm_estimated"]  # nothing is missing
    assert rows[WHOLE_FIT]["ra_acc_mm_per_frame2"] < rows[INITIALIZER]["ra_acc_mm_per_frame2"]
    tracks = sorted(tmp_path.glob("rows/*/*/tracks.npz"))
    assert len(tracks) == len(RUNNABLE) and len({path.read_bytes() for path in tracks}) == 1
    assert found["recipe"] == "default"
    assert {"all.md", "all.csv", "occluded.md", "ablation.json"} <= {path.name for path in tmp_path.iterdir()}
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("rows/*/*/fit.npz")}
    again = invoke("--dataset", f"synthetic:{clips}", "-o", tmp_path, "--views", 0)
    assert again == found
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}


def test_a_second_initializer_is_scored_alone_and_fitted(clips: Path, tmp_path: Path) -> None:
    (clip,) = (path.parent for path in clips.glob("*/truth.npz"))
    with np.load(clip / "truth.npz") as truth:
        kept = {key: truth[key] for key in truth.files if key not in ("vertices", "visibility")}
    (tmp_path / "guesses").mkdir()
    np.savez(tmp_path / "guesses" / f"{clip.name}.npz", **kept)
    other = f"file:{tmp_path}/guesses/{{clip}}.npz"
    dataset = ("--dataset", f"synthetic:{clips}", "-o", tmp_path / "out", "--views", 0)
    found = invoke(*dataset, "--init", f"keypoints,{other}", "--row", other, "--row", f"{other} + fit")
    rows = found["all"]["rows"]
    assert list(rows) == [other, f"{other} + fit"]
    assert rows[other]["pa_mpjpe_mm"] < 1e-3  # the file holds the truth
    assert rows[f"{other} + fit"]["pa_mpjpe_mm"] > 0.1  # and the fit believes its pixels more


def test_withheld_keypoints_of_video_are_scored(clips: Path, tmp_path: Path) -> None:
    (clip,) = clips.glob("*/clip.mp4")
    with pytest.raises(InputError, match="too short"):
        invoke("--video", clip, "-o", tmp_path, "--views", 0)
    longer = ["-o", tmp_path / "long", "--frames", 72, "--count", 1, "--size", "320x240", "--quiet"]
    CliRunner().invoke(synthesize, [*map(str, longer)], catch_exceptions=False, standalone_mode=False)
    (clip,) = (tmp_path / "long").glob("*/clip.mp4")
    rows = ("--row", SLERP, "--row", WHOLE_FIT)
    found = invoke("--video", clip, "-o", tmp_path / "table", "--views", 0, *rows)["withheld"]["rows"]
    assert list(found) == [SLERP, WHOLE_FIT]
    assert all(0 < value < 100 for row in found.values() for value in row.values())
    assert found[SLERP]["withheld_frames_px"] > found[SLERP]["reprojection_px"]
    assert found[WHOLE_FIT]["acceleration_mm_per_frame2"] < found[SLERP]["acceleration_mm_per_frame2"]


def test_withheld_stretches_never_meet_and_leave_the_ends() -> None:
    frames, fingers = withheld_stretches(300, 30.0)
    marks = np.zeros(300, int)
    for start, stop in [*frames, *fingers]:
        marks[start:stop] += 1
    assert marks.max() == 1 and not marks[:7].any() and not marks[-7:].any()
    assert {stop - start for start, stop in [*frames, *fingers]} == {15} and len(frames) == 5


def test_a_withheld_finger_leaves_no_trace() -> None:
    generator = np.random.default_rng(0)
    tracks = KeypointTracks(
        generator.normal(size=(1, 20, 21, 2)), np.ones((1, 20, 21)), np.ones((1, 20), bool), np.array([True]),
        np.arange(20) / 30, generator.normal(size=(1, 20, 21, 3)),
    )  # fmt: skip
    given, taken = without_fingers(tracks, [(2, 5), (9, 12)])
    gone = np.isnan(given.xy_px[0]).all(-1)
    names = [{OPENPOSE_21[k].rstrip("123_tip") for k in np.flatnonzero(gone[t])} for t in (3, 10)]
    assert names == [{"thumb"}, {"index"}] and gone.sum() == 2 * 3 * 4
    assert (np.isfinite(taken[0]).all(-1) == gone).all() and (given.confidence[0][gone] == 0).all()
    assert given.world_m is not None and np.isnan(given.world_m[0][gone]).all()


def test_the_gmm_row_has_the_papers_one_component_and_another_row_has_8() -> None:
    settings = resolve_settings()
    made = plan(settings, ["keypoints"], NO_MMPOSE, ())
    assert made.rows["GMM prior"][1] == replace(settings, prior="pca") and len(load_pca().shares) == 1
    assert made.rows["GMM prior, 8 components"][1] == replace(settings, prior="gmm") and len(load_gmm().shares) == 8
    (components,) = (one for one in train_prior.params if one.name == "components")
    assert components.default == 1  # of a mixture that is learned


def test_rows_that_cannot_run_say_why() -> None:
    settings = resolve_settings()
    made = plan(settings, ["keypoints"], NO_MMPOSE, ())
    assert list(made.rows) == RUNNABLE
    assert "--mmpose-config" in made.notes["stage 1 (mmpose)"]
    assert len(made.rows["stage 1 (blend)"][1].recipe.stages) == 1
    with pytest.raises(InputError, match="No row can run"):
        plan(settings, ["keypoints"], NO_MMPOSE, ["stage 1 (initializer)"])
    with pytest.raises(UnknownNameError, match="magic"):
        plan(settings, ["keypoints"], NO_MMPOSE, ["magic"])


def test_wrong_input_is_one_sentence(clips: Path, tmp_path: Path) -> None:
    for arguments, sentence in (
        (("--dataset", "synthetic:/nowhere"), "no folder"),
        (("--dataset", f"synthetic:{clips}", "--row", "magic"), "Unknown row 'magic'"),
        ((), "Give clips with truth"),
    ):
        with pytest.raises(InputError, match=sentence):
            invoke(*arguments, "-o", tmp_path)


def test_the_detector_finds_a_rendered_hand_that_nothing_hides(clips: Path) -> None:
    done = CliRunner().invoke(
        bench, ["detection", f"synthetic:{clips}", "--json", "--quiet"], catch_exceptions=False, standalone_mode=False
    )
    found = json.loads(done.stdout)
    with np.load(next(clips.glob("*/truth.npz"))) as truth:
        hidden = (~truth["visibility"]).mean(-1) > 0.3
    assert (found["in_sight"], found["hidden"]) == ((~hidden).sum(), hidden.sum())
    assert found["found"] <= found["in_sight"] and found["found"] + found["hidden_found"] > 0
