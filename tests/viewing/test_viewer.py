"""The 3D viewer and the rerun recording: what they hold must be the result's own positions."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.exporters.animation import hand_labels, hand_vertices
from hmpfit.hands.model import HandModels
from hmpfit.results.npz import StoredResult, write_copy
from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter
from hmpfit.viewing.first_view import crosses_picture, eye_on_hands, picture_distance
from hmpfit.viewing.pictures import AHEAD, PicturesAhead
from hmpfit.viewing.shown_hands import uncertainty_colors
from hmpfit.viewing.viewer import BESIDE, HIDDEN, OVER, OtherRun, Viewer
from tests.exported_cases import all_cases, make_case
from tests.made_result import two_hands


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
            assert np.allclose(viewer.shown[0].meshes[label].vertices, vertices[hand, 4], atol=1e-6)
            assert np.allclose(viewer.shown[0].joints[label].points, stored.joints[hand, 4], atol=1e-6)
        assert "frame 4" in viewer.text.content and "left hand: detected" in viewer.text.content
        assert abs(int(np.asarray(viewer.frustum.image).mean()) - 120) < 12
    finally:
        viewer.close()


def test_colors_go_from_green_to_red() -> None:
    sure, unsure, unknown = uncertainty_colors(np.array([1.0, 90.0, np.nan]))
    assert sure[1] > sure[0] and unsure[0] > unsure[1] and len(set(unknown.tolist())) == 1


@all_cases
def test_the_rerun_recording_holds_the_joints(hands: str, frame: str, tmp_path: Path) -> None:
    rerun = pytest.importorskip("rerun")
    case = make_case(hands, frame)
    (file,) = case.write("rrd", tmp_path)
    recording = rerun.dataframe.load_recording(str(file))
    for hand, label in enumerate(hand_labels(case.result)):
        table = recording.view(index="frame", contents=f"/camera/{label}_hand/joints").select().read_all()
        column = next(name for name in table.column_names if "Position3D" in name)
        assert np.allclose(np.array(table[column].to_pylist()), case.result.joints[hand], atol=1e-6)


def _viewer(stored: StoredResult, models: HandModels, **options: Any) -> Viewer:
    pytest.importorskip("viser")
    return Viewer(stored, models, None, **options)


def test_the_page_is_for_this_machine_alone_unless_asked(stored: StoredResult, models: HandModels) -> None:
    viewer = _viewer(stored, models, port=8491)
    try:
        assert viewer.server.get_host() == "127.0.0.1" and not viewer.open_to_others
        assert viewer.address == f"http://127.0.0.1:{viewer.port}/?key={viewer.key}"
        listening = Path("/proc/net/tcp")
        if listening.exists():  # local addresses of listening sockets, hexadecimal
            rows = [line.split() for line in listening.read_text().splitlines()[1:]]
            at = {row[1] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == viewer.port}
            assert at == {f"0100007F:{viewer.port:04X}"}
    finally:
        viewer.close()
    with pytest.raises(InputError, match=r"cannot listen on '192\.0\.2\.1'"):
        _viewer(stored, models, host="192.0.2.1")


def test_the_page_opens_on_the_hands(stored: StoredResult, models: HandModels) -> None:
    viewer = _viewer(stored, models, port=8493)
    try:
        eye, target = (np.asarray(getattr(viewer.server.initial_camera, name)) for name in ("position", "look_at"))
        joints = stored.joints[:, 0].reshape(-1, 3)
        toward = (target - eye) / np.linalg.norm(target - eye)
        rays = joints - eye
        angles = np.degrees(np.arccos(rays @ toward / np.linalg.norm(rays, axis=1)))
        assert angles.max() < 30  # viser's vertical field of view is 75 degrees
    finally:
        viewer.close()


@pytest.mark.parametrize("depth_m", [0.2, 0.4, 0.7, 1.5])
@pytest.mark.parametrize("spread_m", [0.05, 0.3])
def test_no_sight_line_from_the_eye_crosses_the_picture(depth_m: float, spread_m: float) -> None:
    joints = np.random.default_rng(0).uniform(-1, 1, (42, 3)) * [spread_m, spread_m, 0.05] + [0, 0, depth_m]
    plane_m = picture_distance(joints, 0.17)
    half_size = np.array([0.82, 0.47]) * plane_m
    assert 0 < plane_m < joints[:, 2].min()
    eye, _ = eye_on_hands(joints, half_size, plane_m)
    for share in np.linspace(0, 1, 400):  # walk along the lines: independent of the intersection formula
        points = eye + share * (joints - eye)
        near = np.abs(points[:, 2] - plane_m) < 1e-3
        assert not (near & (np.abs(points[:, :2]) < half_size).all(axis=1)).any()
    behind = np.array([0.0, 0.0, -0.3])  # where the filming camera's own axis is, the picture hides the hand
    assert crosses_picture(behind, np.array([[0.0, 0.0, depth_m]]), half_size, plane_m).all()


def test_ctrl_c_ends_the_page_without_a_word_of_resuming(
    stored: StoredResult, models: HandModels, tmp_path: Path
) -> None:
    pytest.importorskip("viser")
    write_copy(stored, models, tmp_path)
    command = [sys.executable, "-m", "hmpfit", "view", str(tmp_path / "result.npz"), "--port", "8497"]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    try:
        assert served.stdout is not None
        assert served.stdout.readline().startswith("http://127.0.0.1:")
        served.send_signal(signal.SIGINT)
        printed, said = served.communicate(timeout=60)
    finally:
        served.kill()
    assert served.returncode == 0 and "resume" not in said and "Traceback" not in said, said
    assert printed == ""  # viser takes leave otherwise


def test_two_runs_share_the_page_frame_by_source_frame(stored: StoredResult, models: HandModels) -> None:
    pytest.importorskip("viser")
    other = OtherRun(stored, 12, "other")  # the same hands, two source frames later
    viewer = Viewer(stored, models, None, first_frame=10, port=8501, other=other)
    try:
        second = viewer.shown[1]
        viewer.place.value = OVER
        viewer.slider.value = 5
        assert np.allclose(second.joints["left"].points, stored.joints[1, 3], atol=1e-6)
        assert "other" in viewer.text.content and "frame 15" in viewer.text.content
        viewer.place.value = BESIDE
        aside = second.joints["left"].points - stored.joints[1, 3]
        widths_m = np.ptp(stored.joints[..., 0], axis=(0, 2))
        assert np.allclose(aside, aside[0], atol=1e-6) and aside[0][0] > widths_m.max()
        viewer.slider.value = 1
        assert not second.meshes["left"].visible and "not in this run" in viewer.text.content
        viewer.slider.value = 5
        assert second.meshes["left"].visible
        viewer.place.value = HIDDEN
        assert not second.meshes["left"].visible and viewer.shown[0].meshes["left"].visible
    finally:
        viewer.close()


def test_pictures_are_decoded_ahead_without_a_seek_for_each(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 30, 64, 48) as writer:
        for frame in range(60):
            writer.write(np.full((48, 64, 3), 4 * frame, np.uint8), frame / 30)
    pictures = PicturesAhead(open_clip(tmp_path / "clip.mp4"), 32)
    try:
        for frame in [*range(50), 59, 3]:
            image = pictures.get(frame)
            assert image is not None and image.shape == (24, 32, 3)
            assert abs(int(image.mean()) - 4 * frame) < 6
        assert pictures.seeks <= 3  # from the start, and for each of the two jumps at most
        assert len(pictures._ready) <= AHEAD + 1
    finally:
        pictures.close()


def test_play_keeps_real_time_by_leaving_frames_out(stored: StoredResult, models: HandModels) -> None:
    """A machine that needs 0.1 s a frame shows 30 frames a second as every third or so."""
    viewer = _viewer(stored, models, port=8503)
    shown: list[tuple[float, int]] = []

    def slow(frame: int) -> None:
        shown.append((time.monotonic(), frame))
        time.sleep(0.1)

    viewer.show = slow  # type: ignore[method-assign]
    try:
        player = threading.Thread(target=viewer.play_until_closed)
        player.start()
        viewer.play.value = True
        time.sleep(1.5)
    finally:
        viewer.close()
    player.join(10)
    assert not player.is_alive()
    steps = np.diff([frame for _, frame in shown]) % viewer.frames
    assert len(shown) >= 3 and steps.max() >= 2
