"""`hmpfit ablate` on one short clip: every row is scored, keypoints are found once, the table resumes."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hmpfit.ablation import ROWS
from hmpfit.command_line.ablate import ablate
from hmpfit.command_line.synthesize import synthesize
from hmpfit.errors import InputError


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
    assert list(rows) == list(ROWS)
    assert all(0 < values["pa_mpjpe_mm"] < 60 for values in rows.values())
    assert rows["stage 2 (blend)"]["ra_acc_mm_per_frame2"] < rows["initialiser"]["ra_acc_mm_per_frame2"]
    tracks = sorted(tmp_path.glob("rows/*/*/tracks.npz"))
    assert len(tracks) == len(ROWS) and len({path.read_bytes() for path in tracks}) == 1
    assert {"all.md", "all.csv", "occluded.md", "ablation.json"} <= {path.name for path in tmp_path.iterdir()}
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("rows/*/*/fit.npz")}
    again = invoke("--dataset", f"synthetic:{clips}", "-o", tmp_path, "--views", 0)
    assert again == found
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}


def test_wrong_input_is_one_sentence(clips: Path, tmp_path: Path) -> None:
    for arguments, sentence in (
        (("--dataset", "synthetic:/nowhere"), "names no clips"),
        (("--dataset", f"synthetic:{clips}", "--row", "magic"), "Unknown row 'magic'"),
    ):
        with pytest.raises(InputError, match=sentence):
            invoke(*arguments, "-o", tmp_path)
