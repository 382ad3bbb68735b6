"""`hmpfit run photo.jpg`: the files of a video's run, with a picture in the video's place."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hmpfit.command_line.main import main


@pytest.mark.slow
def test_a_folder_of_unrelated_photos(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each photo is a run of its own, whatever its size and orientation, and its EXIF tells the focal length."""
    photo = Image.open(inputs / "stills" / "two_hands.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 28
    (tmp_path / "album").mkdir()
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "album" / "turned.jpg", exif=exif, quality=95)
    photo.crop((0, 0, 360, 382)).save(tmp_path / "album" / "left half.webp", quality=95)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "album"), "--unordered", "-o", str(out), "--json", "--quiet", "--views", "0"])
    assert not ended.value.code
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run["still"] for run in runs] == [True, True]
    half, turned = runs
    assert half["camera"]["source"] == "estimated" and (half["camera"]["width"], half["camera"]["height"]) == (360, 382)
    assert turned["camera"]["source"] == "metadata" and turned["camera"]["width"] == 720
    assert turned["camera"]["K"][0][0] == pytest.approx(28 * np.hypot(720, 382) / 43.267, rel=1e-3)
    for name, shape in (("left half", (382, 360)), ("turned", (382, 720))):
        written = {path.name for path in (out / name).iterdir()}
        assert {"result.npz", "result.json", "overlay.jpg", "report.html"} <= written and "overlay.mp4" not in written
        assert cv2.imread(str(out / name / "overlay.jpg")).shape[:2] == shape
        page = (out / name / "report.html").read_text()
        assert "data:image/jpeg;base64," in page and "<video" not in page


@pytest.mark.slow
def test_a_photo_of_two_left_hands_has_both(inputs: Path, tmp_path: Path) -> None:
    """Both hands lie within 3 % of the box of the reference landmarks, which are another program's."""
    reference = json.loads((inputs / "stills" / "two_hands_reference_2d.json").read_text())
    expected = np.array(reference["expected_xy_px"], dtype=float)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(inputs / "stills" / "two_hands.jpg"), "-o", str(tmp_path), "--quiet"])
    assert not ended.value.code
    with np.load(tmp_path / "result.npz") as stored:
        found = stored["landmarks_px"][:, 0]
    assert len(found) == 2
    for hand in expected:
        box = np.linalg.norm(hand.max(0) - hand.min(0))
        assert min(np.linalg.norm(other - hand, axis=1).mean() for other in found) < 0.03 * box
