"""The way of a person through the local page, in a real browser: drop a clip, wait, look, take a GLB away."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmpfit.command_line.main import main
from hmpfit.hands.model_files import load_hand_models
from hmpfit.results.matching import read_with_model

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from hmpfit.app.jobs import JobQueue  # noqa: E402
from hmpfit.app.server import FitServer, listening_socket  # noqa: E402

FRAMES, KEY = 20, "key-of-tests"
PATIENCE_MS = 240_000  # of a busy machine: each wait ends when the thing is there


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clips")
    with pytest.raises(SystemExit) as ended:
        main(["synthesize", "-o", str(out), "--count", "1", "--frames", str(FRAMES), "--seed", "3", "--quiet"])
    assert not ended.value.code
    return next(out.rglob("clip.mp4"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[FitServer]:
    opened = listening_socket("127.0.0.1", 0)
    running = FitServer(tmp_path, JobQueue(), "127.0.0.1", opened.getsockname()[1], KEY, 100)
    server = uvicorn.Server(uvicorn.Config(running.app(), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    yield running
    server.should_exit = True
    thread.join(20)
    running.close()
    opened.close()


def test_from_upload_to_glb(chromium: Any, clip: Path, served: FitServer, tmp_path: Path) -> None:
    pytest.importorskip("viser")
    trimesh = pytest.importorskip("trimesh")
    page = chromium.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page.set_default_timeout(PATIENCE_MS)
    said: list[str] = []
    page.on("console", lambda told: said.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"http://127.0.0.1:{served.port}/?key={KEY}")
    assert KEY not in page.url

    page.set_input_files("#file", {"name": "wave [1].mp4", "mimeType": "video/mp4", "buffer": clip.read_bytes()})
    page.get_by_label("Hands").select_option("right")
    page.get_by_role("button", name="Fit the hands").click()
    page.get_by_role("heading", name="wave [1].mp4").wait_for()
    page.get_by_text("s so far").wait_for()
    page.locator("#hands li").wait_for()
    assert f"of {FRAMES} frames" in page.locator("#hands").inner_text()

    video = page.locator("#overlay video")
    video.evaluate("film => new Promise(done => film.readyState ? done() : film.onloadedmetadata = done)")
    assert video.evaluate("film => film.duration") == pytest.approx(FRAMES / 30, abs=0.07)
    assert page.locator("#warnings li").count() >= 1
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith(".glb")
    download.value.save_as(tmp_path / "taken.glb")
    (job,) = served.queue.all()
    stored, _ = read_with_model(job.run, "open")
    scene = trimesh.load(tmp_path / "taken.glb")
    assert len(scene.geometry) >= 1 and stored.joints.shape[:2] == (1, FRAMES)
    faces = {len(mesh.faces) for mesh in scene.geometry.values()}
    assert len(load_hand_models("open").right.faces) in faces and np.isfinite(scene.bounds).all()

    page.get_by_role("tab", name="3D").click()
    page.frame_locator("#view iframe").get_by_text("right hand: ").wait_for()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Report").click()
    report = opened.value
    report.wait_for_load_state()
    assert "wave [1].mp4" in report.title() and report.locator("video").count() == 1
    assert said == []
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete this job").click()
    page.get_by_text("none yet").wait_for()
    assert not job.folder.exists()


def test_a_file_that_is_no_video_is_one_sentence(chromium: Any, served: FitServer) -> None:
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"http://127.0.0.1:{served.port}/?key={KEY}")
    page.set_input_files("#file", {"name": "notes.mp4", "mimeType": "video/mp4", "buffer": b"no video"})
    page.get_by_role("button", name="Fit the hands").click()
    sentence = page.locator("#failed:not([hidden])")
    sentence.wait_for()
    assert "notes.mp4" in sentence.inner_text() and "Traceback" not in sentence.inner_text()
