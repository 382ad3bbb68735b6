"""The 3D viewer and the rerun recording: what they hold must be the result's own positions."""

from pathlib import Path

import numpy as np
import pytest

from hmpfit.exporters.animation import hand_vertices
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.registry import load
from hmpfit.results.npz import StoredResult
from hmpfit.video.writer import VideoWriter
from hmpfit.viewing.viewer import Viewer, _colors
from tests.made_result import two_hands


@pytest.fixture(scope="module")
def models() -> HandModels:
    return load_hand_models("open")


@pytest.fixture(scope="module")
def stored(models: HandModels) -> StoredResult:
    return two_hands(models, 6)


def test_the_viewer_shows_the_frame_of_its_slider(stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    pytest.importorskip("viser")
    video = tmp_path / "clip.mp4"
    with VideoWriter(video, 30, 64, 48) as writer:
        for frame in range(6):
            writer.write(np.full((48, 64, 3), 30 * frame, np.uint8), frame / 30)
    viewer = Viewer(stored, models, video, port=8473)
    try:
        viewer.slider.value = 4
        vertices = hand_vertices(stored, models)
        for hand, label in enumerate(("right", "left")):
            assert np.allclose(viewer.meshes[label].vertices, vertices[hand, 4], atol=1e-6)
            assert np.allclose(viewer.joints[label].points, stored.joints[hand, 4], atol=1e-6)
        assert "frame 4" in viewer.text.content and "left hand: detected" in viewer.text.content
        assert abs(int(np.asarray(viewer.frustum.image).mean()) - 120) < 12
    finally:
        viewer.close()


def test_colors_go_from_green_to_red() -> None:
    sure, unsure, unknown = _colors(np.array([1.0, 90.0, np.nan]))
    assert sure[1] > sure[0] and unsure[0] > unsure[1] and len(set(unknown.tolist())) == 1


def test_the_rerun_recording_holds_the_joints(stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    rerun = pytest.importorskip("rerun")
    (file,) = load("exporters", "rrd")(stored, models, tmp_path)
    recording = rerun.dataframe.load_recording(str(file))
    table = recording.view(index="frame", contents="/camera/right_hand/joints").select().read_all()
    column = next(name for name in table.column_names if "Position3D" in name)
    assert np.allclose(np.array(table[column].to_pylist()), stored.joints[0], atol=1e-6)
