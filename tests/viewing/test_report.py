"""The report: its sentences, its figures, and that a browser opens it without a complaint or a network."""

import base64
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hmpfit.command_line.report import report
from hmpfit.errors import InputError
from hmpfit.hands.model import HandModels
from hmpfit.records import EXTRAPOLATED, INTERPOLATED
from hmpfit.results.npz import StoredResult
from hmpfit.video.writer import VideoWriter
from hmpfit.viewing.charts import LEFT, WIDTH, line_chart, status_strip
from hmpfit.viewing.comparison import write_comparison
from hmpfit.viewing.report import write_report
from hmpfit.viewing.warnings import flagged_ranges, medians, warnings
from tests.made_result import summary_of, two_hands, write_run

FRAMES = 60


@pytest.fixture(scope="module")
def stored(models: HandModels) -> StoredResult:
    return two_hands(models, FRAMES)


def with_status(stored: StoredResult, hand: int, start: int, end: int, status: int) -> StoredResult:
    changed = stored.motion.status.copy()
    changed[hand, start:end] = status
    seen = stored.tracks.seen.copy()
    seen[hand, start:end] = False
    return replace(stored, motion=replace(stored.motion, status=changed), tracks=replace(stored.tracks, seen=seen))


def test_a_clean_run_has_nothing_to_warn_of(stored: StoredResult) -> None:
    assert warnings(stored, summary_of(stored)) == []


def test_gaps_are_named_in_source_frames(stored: StoredResult) -> None:
    gap = with_status(stored, 0, 20, 32, INTERPOLATED)
    (sentence,) = warnings(gap, summary_of(stored, first_frame=100))
    assert sentence.startswith("Frames 120–131: right hand not seen")
    assert warnings(with_status(stored, 0, 20, 23, INTERPOLATED), summary_of(stored)) == []
    (sentence,) = warnings(with_status(stored, 1, 0, 9, EXTRAPOLATED), summary_of(stored))
    assert "Frames 0–8: left hand before it first appears" in sentence
    (sentence,) = warnings(with_status(stored, 1, 59, 60, EXTRAPOLATED), summary_of(stored))
    assert "Frame 59: left hand after it was last seen" in sentence


def test_hand_that_no_view_confirms_is_said_to_be_a_guess(stored: StoredResult) -> None:
    unsure = with_status(stored, 1, 0, FRAMES, EXTRAPOLATED)
    sentence, *_ = warnings(replace(unsure, tracks=stored.tracks), summary_of(stored))
    assert "left hand seen, but fewer than 5 of its landmarks are trusted; its pose is a guess" in sentence


def test_poor_fits_unsure_joints_and_cameras_are_named(stored: StoredResult) -> None:
    moved = stored.landmarks_px.copy()
    moved[1, 10:25] += 80
    (sentence,) = warnings(replace(stored, landmarks_px=moved), summary_of(stored))
    assert "Frames 10–24: the left hand's fit and its keypoints disagree" in sentence
    vague = replace(stored, joint_std_mm=np.full_like(stored.joint_std_mm, 40.0))
    assert len(warnings(vague, summary_of(stored))) == 2
    assumed = warnings(stored, summary_of(stored, camera={"source": "assumed"}))
    assert "500 px was assumed" in assumed[0]
    stage = summary_of(stored)["stages"][0]
    (sentence,) = warnings(stored, summary_of(stored, stages=[{**stage, "outcome": "out_of_steps", "steps": 40}]))
    assert "Stage I used all its 40 steps" in sentence
    assert "No solver ran" in warnings(stored, summary_of(stored, stages=[]))[0]


def test_two_hands_of_one_person_that_are_called_the_same_side_are_named(stored: StoredResult) -> None:
    hands = [
        {"name": name, "is_right": side, "person_id": person, "vote": {"agreement": share, "arm": None}}
        for name, side, person, share in (("right", True, 0, 0.99), ("right2", True, 0, 0.85), ("left", False, 1, 0.9))
    ]
    (sentence,) = warnings(stored, summary_of(stored, hands=hands))
    assert "The right and the right2 hand seem to be one person's" in sentence
    assert "more likely the right2 hand (85% of its sightings" in sentence
    hands[1]["person_id"] = 1
    assert warnings(stored, summary_of(stored, hands=hands)) == []


def test_stretches_and_medians_of_known_values() -> None:
    assert list(flagged_ranges(np.array([1, 1, 0, 1], dtype=bool))) == [(0, 2), (3, 4)]
    values = np.array([[3.0, np.nan, 1.0, 2.0], [np.nan] * 4])
    found = medians(values)
    assert found[0] == 2.0 and np.isnan(found[1])


def test_charts_put_values_where_they_belong() -> None:
    svg = line_chart([("right", np.array([0.0, 10.0, np.nan, 5.0, 5.0]))], "mm")
    path = re.search(r'class="curve right" d="([^"]+)"', svg)
    assert path is not None and path[1].count("M") == 2  # broken where nothing is known
    strip = status_strip(np.array([0, 0, 2, 2], dtype=np.uint8))
    red = re.search(r'class="extrapolated" x="([\d.]+)" width="([\d.]+)"', strip)
    assert red is not None and float(red[1]) == LEFT and float(red[2]) == (WIDTH - LEFT) / 2


class _Tags(HTMLParser):
    """Collects what a page would load from outside, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [value for name, value in attrs if name in ("src", "href") and value and "data:" not in value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_self_contained_and_says_the_warnings(
    stored: StoredResult, models: HandModels, tmp_path: Path
) -> None:
    gap = with_status(stored, 0, 20, 32, INTERPOLATED)
    page = write_report(write_run(tmp_path / "run", gap, models)).read_text()
    seen = _Tags()
    seen.feed(page)
    assert seen.outside == []
    assert "<two> hands.mp4" in seen.text and "<two>" not in page  # a file name is text, never markup
    assert "Frames 20–31: right hand not seen" in seen.text
    assert "stages.1.weights.prior" in seen.text and "keypoints_2d" in seen.text
    assert write_report(tmp_path / "run").read_text() == page


def test_the_overlay_is_in_the_page_whole(
    stored: StoredResult, models: HandModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hmpfit.viewing.pages._PIECE", 300)
    folder = write_run(tmp_path / "run", stored, models)
    (folder / "overlay.mp4").write_bytes(np.random.default_rng(0).bytes(1000))
    (within,) = re.findall(r'src="data:video/mp4;base64,([^"]*)"', write_report(folder).read_text())
    assert base64.b64decode(within, validate=True) == (folder / "overlay.mp4").read_bytes()


def test_options_stay_whole_and_shares_are_those_of_the_summary(
    stored: StoredResult, models: HandModels, tmp_path: Path
) -> None:
    folder = write_run(tmp_path / "run", stored, models, camera={"source": "assumed"})
    summary = json.loads((folder / "result.json").read_text())
    summary["hands"][0]["trusted_share"] = 0.13
    (folder / "result.json").write_text(json.dumps(summary))
    page = write_report(folder).read_text()
    assert '<span class="option">--intrinsics</span>' in page
    assert "right hand: five or more trusted landmarks in 13% of the frames" in page
    assert "left hand: five or more trusted landmarks in 100% of the frames" in page


def test_the_command(stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", stored, models, camera={"source": "assumed"})
    done = CliRunner().invoke(report, [str(folder), "--json"], catch_exceptions=False)
    said = json.loads(done.stdout)
    assert Path(said["report"]) == folder / "report.html" and len(said["warnings"]) == 1
    for wrong, sentence in ((tmp_path / "none", "not a run folder"), (tmp_path, "not a readable result")):
        with pytest.raises(InputError, match=sentence):
            CliRunner().invoke(report, [str(wrong)], catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize("width", [390, 1280])
def test_chromium_opens_it_without_a_complaint(
    width: int, stored: StoredResult, models: HandModels, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed")
    page = write_report(write_run(tmp_path / "run", stored, models))
    shot = tmp_path / "page.png"
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
         f"--window-size={width},1400", f"--screenshot={shot}", page.as_uri()],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    import cv2

    image = cv2.imread(str(shot))
    assert image.shape[1] == width
    assert image.std() > 5  # something is drawn


def test_the_page_is_short_on_a_phone_and_counts_the_sources_frames(
    stored: StoredResult, models: HandModels, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    settings = {f"key_{n}": n for n in range(200)}
    page = write_report(write_run(tmp_path / "run", stored, models, first_frame=300, recipe=settings))
    text = page.read_text()
    last = 300 + len(stored.tracks.times_s) - 1
    assert ">frame 300</text>" in text and f">{last}</text>" in text and f"frames 300 to {last}</title>" in text
    if browser is None:
        pytest.skip("no Chromium is installed")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" width="390" height="800" src="{page.as_uri()}"></iframe><script>'
        'f.onload = () => { document.title = "height " + f.contentDocument.documentElement.scrollHeight }</script>'
    )
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         "--virtual-time-budget=5000", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    (height,) = re.findall(r"height (\d+)", done.stdout.split("<body")[0])
    assert 800 < int(height) < 5000


def test_a_chart_says_that_its_peaks_are_cut_off() -> None:
    flat = np.full(300, 1.0)
    assert "cut off" not in line_chart([("right", flat)], "pixels")
    flat[7] = 40.0
    assert ">peaks up to 40 are cut off</text>" in line_chart([("right", flat)], "pixels")


def test_axes_count_the_sources_frames_at_round_numbers() -> None:
    svg = line_chart([("right", np.ones(600))], "mm", first=137, label="how far")
    numbers = [int(text) for text in re.findall(r'text-anchor="middle">(\d+)</text>', svg)]
    assert len(numbers) >= 2 and all(number % 50 == 0 and 137 < number < 736 for number in numbers)
    assert ">frame 137</text>" in svg and ">736</text>" in svg
    assert 'role="slider"' in svg and 'aria-label="how far, mm"' in svg and 'aria-valuemax="736"' in svg


def until(page: Any, condition: str) -> None:
    """Wait in the page itself, whose policy allows no script from outside."""
    page.evaluate(f"new Promise(done => {{ const look = () => {condition} ? done() : setTimeout(look, 20); look() }})")


def test_the_page_in_a_browser(stored: StoredResult, models: HandModels, tmp_path: Path, chromium: Any) -> None:
    """Warnings jump, charts are sliders for the keyboard, and the cursor stands at the frame that the video shows."""
    gap = with_status(stored, 0, 20, 32, INTERPOLATED)
    folder = write_run(tmp_path / "run", gap, models, first_frame=100)
    with VideoWriter(folder / "overlay.mp4", 30, 64, 48) as video:
        for frame in range(FRAMES):
            video.write(np.full((48, 64, 3), 4 * frame, np.uint8), frame / 30)
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    said: list[str] = []
    page.on("console", lambda told: said.append(told.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(write_report(folder).as_uri())
    shown = """() => {
        const film = document.querySelector("video"), paper = document.createElement("canvas").getContext("2d");
        paper.drawImage(film, 0, 0, 1, 1); return paper.getImageData(0, 0, 1, 1).data[0] }"""
    settled = """film => new Promise(done => {
        const look = () => film.seeking ? setTimeout(look, 20) : setTimeout(done, 60);
        look() })"""

    page.get_by_role("button", name="Frames 120–131").click()
    assert page.locator("#frame").inner_text() == "frame 120"
    page.locator("video").evaluate(settled)
    assert abs(page.evaluate(shown) - 4 * 20) <= 6
    slider = page.get_by_role("slider", name="distance from the keypoints, pixels")
    slider.focus()
    for key, frame in (("ArrowRight", 121), ("PageUp", 131), ("End", 159), ("ArrowRight", 159), ("Home", 100)):
        page.keyboard.press(key)
        assert slider.get_attribute("aria-valuetext") == f"frame {frame}"
    assert page.get_by_role("slider", name="status of the left hand").count() == 1

    page.keyboard.press(" ")  # plays
    until(page, "document.querySelector('video').currentTime > 0.8")
    page.keyboard.press(" ")
    page.locator("video").evaluate(settled)
    told = int(page.locator("#frame").inner_text().removeprefix("frame ")) - 100
    assert told > 10 and abs(page.evaluate(shown) - 4 * told) <= 8
    assert said == []
    page.close()


def test_two_runs_are_compared_where_they_share_frames(
    stored: StoredResult, models: HandModels, tmp_path: Path
) -> None:
    moved = replace(stored, motion=replace(stored.motion, transl=stored.motion.transl + np.array([0.01, 0, 0])))
    moved = replace(moved, joints=stored.joints + np.array([0.01, 0, 0]))
    a = write_run(tmp_path / "a", stored, models, first_frame=100, seed=0)
    b = write_run(tmp_path / "b", moved, models, first_frame=110, seed=1)
    done = CliRunner().invoke(report, [str(a), str(b), "--json"], catch_exceptions=False)
    page = Path(json.loads(done.stdout)["report"])
    assert page == a / "comparison.html"
    text = page.read_text()
    seen = _Tags()
    seen.feed(text)
    assert seen.outside == [] and "a beside b" in seen.text
    assert 'aria-valuemin="100" aria-valuemax="169"' in text  # the frames of both
    assert re.search(r"<td>seed</td>\s*<td[^>]*>0</td>\s*<td[^>]*>1</td>", text)
    c = write_run(tmp_path / "c", moved, models, first_frame=100)
    shifted = write_comparison(a, c, tmp_path / "x.html").read_text()
    assert "0.00 about the wrist, 10.00 from the camera" in shifted
    with pytest.raises(InputError, match="no source frame in common"):
        write_comparison(a, write_run(tmp_path / "d", moved, models, first_frame=900))


def test_a_comparison_plays_both_overlays_together(
    stored: StoredResult, models: HandModels, tmp_path: Path, chromium: Any
) -> None:
    folders = []
    for name, first in (("a", 100), ("b", 110)):
        folders.append(write_run(tmp_path / name, stored, models, first_frame=first))
        with VideoWriter(folders[-1] / "overlay.mp4", 30, 64, 48) as video:
            for frame in range(FRAMES):
                video.write(np.full((48, 64, 3), 4 * frame, np.uint8), frame / 30)
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    said: list[str] = []
    page.on("console", lambda told: said.append(told.text))
    page.goto(write_comparison(*folders).as_uri())
    page.get_by_role("slider").first.focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    times = [page.locator("video").nth(n).evaluate("film => film.currentTime") for n in (0, 1)]
    assert times[0] - times[1] == pytest.approx(10 / 30, abs=0.02)
    page.locator("video").first.evaluate("film => film.play()")
    until(page, "[...document.querySelectorAll('video')].every(film => !film.paused)")
    page.locator("video").first.evaluate("film => film.pause()")
    until(page, "[...document.querySelectorAll('video')].every(film => film.paused)")
    assert said == []
    page.close()
