"""Make the pictures of docs/images anew from a rendered clip: overlay, report, viewer, page.

python benchmarks/screenshots.py FOLDER [SEED]      needs the extras `app` and `dev`, and Chromium
"""

import contextlib
import io
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from hmpfit.app.jobs import JobQueue
from hmpfit.app.server import FitServer, listening_socket
from hmpfit.command_line.main import main
from hmpfit.results.matching import read_with_model
from hmpfit.video.clip import open_clip
from hmpfit.viewing.viewer import Viewer

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
FRAMES, SHOWN, KEY = 60, 22, "screenshots"
CHROMIUM = ["--no-sandbox", "--use-gl=swiftshader", "--ignore-gpu-blocklist"]
WIDTH_PX, JPEG_QUALITY, PATIENCE_MS, SETTLED_MS = 1280, 85, 300_000, 5_000


def hmpfit(*arguments: object) -> None:
    """Run a command; raise SystemExit when it fails."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as ended:
        if ended.code:
            raise


def keep(image: Image.Image, name: str) -> None:
    """Write a picture, at most 1280 px wide, as JPEG."""
    if image.width > WIDTH_PX:
        image = image.resize((WIDTH_PX, round(image.height * WIDTH_PX / image.width)), Image.Resampling.LANCZOS)
    image.convert("RGB").save(IMAGES / f"{name}.jpg", quality=JPEG_QUALITY, optimize=True)


def shot(page: Any, name: str, full: bool = False) -> None:
    """Keep what a page shows."""
    keep(Image.open(io.BytesIO(page.screenshot(full_page=full, timeout=PATIENCE_MS))), name)


def settle(page: Any) -> None:
    """Wait until a page that fades in looks the same twice: software rendering takes its time."""
    before = b""
    for _ in range(PATIENCE_MS // SETTLED_MS):
        now = page.screenshot(timeout=PATIENCE_MS)
        if now == before:
            return
        before = now
        page.wait_for_timeout(SETTLED_MS)


def show_report(browser: Any, run: Path) -> None:
    """Keep the report, wide and as on a phone."""
    for width, name in ((1280, "report"), (390, "report_390")):
        page = browser.new_page(viewport={"width": width, "height": 1400 if width > 400 else 1250})
        page.goto((run / "report.html").as_uri())
        page.locator("svg.chart").first.click(position={"x": width // 3, "y": 10})
        page.wait_for_timeout(1500)
        page.evaluate("scrollTo(0, 0)")
        shot(page, name)


def show_viewer(browser: Any, run: Path, clip: Path) -> None:
    """Keep the 3D page."""
    result, models = read_with_model(run, "open")
    with contextlib.redirect_stdout(io.StringIO()):
        viewer = Viewer(result, models, clip, port=8780)
    try:
        viewer.slider.value = SHOWN
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(viewer.address)
        page.wait_for_timeout(20_000)
        page.add_style_tag(content=".mantine-Notification-root { display: none }")  # on software rendering
        settle(page)
        shot(page, "viewer")
    finally:
        viewer.close()


def show_app(browser: Any, folder: Path, clip: Path) -> None:
    """Keep the local page after a fit."""
    opened = listening_socket("127.0.0.1", 0)
    served = FitServer(folder / "app", JobQueue(), "127.0.0.1", opened.getsockname()[1], KEY, 2048)
    server = uvicorn.Server(uvicorn.Config(served.app(), log_config=None, lifespan="off"))
    threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True).start()
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(2 * PATIENCE_MS)
    page.goto(f"http://127.0.0.1:{served.port}/?key={KEY}")
    page.set_input_files("#file", {"name": "two hands.mp4", "mimeType": "video/mp4", "buffer": clip.read_bytes()})
    page.get_by_role("button", name="Fit the hands").click()
    page.locator("#hands li").first.wait_for()
    seek = "film => new Promise(done => { film.onseeked = done; film.currentTime = 0.75 })"
    page.locator("#overlay video").evaluate(seek)
    settle(page)
    shot(page, "app")
    server.should_exit = True
    served.close()


def make(folder: Path, seed: int) -> None:
    """Render, fit, draw, and keep every picture."""
    clips, run = folder / "clips", folder / "run"
    hmpfit("synthesize", "-o", clips, "--hands", "both", "--camera", "static", "--frames", FRAMES, "--size", "960x720",
           "--seed", seed, "--count", 1, "--quiet")  # fmt: skip
    clip = next(clips.rglob("clip.mp4"))
    hmpfit("run", clip, "-o", run, "--quiet")
    hmpfit("overlay", run, "--layout", "turntable", "-o", folder / "turntable.mp4", "--quiet")
    keep(Image.fromarray(next(open_clip(folder / "turntable.mp4").images(SHOWN))[1]), "overlay")
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        show_report(browser, run)
        show_viewer(browser, run, clip)
        show_app(browser, folder, clip)
        browser.close()


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
