"""Writing videos: what is read back is what was written, and a failure leaves nothing."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from hmpfit.errors import RunFolderError
from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter, yuv420p

COLORS = np.array([[200, 60, 40], [40, 180, 60], [50, 70, 210], [128, 128, 128]], np.uint8)


def flat(color: np.ndarray, width: int = 64, height: int = 48) -> np.ndarray:
    return np.broadcast_to(color, (height, width, 3)).copy()


def test_colors_and_uneven_times_come_back(tmp_path: Path) -> None:
    times = [0.0, 0.02, 0.5, 0.51]
    with VideoWriter(tmp_path / "v.mp4", 25, 64, 48) as video:
        for color, time_s in zip(COLORS, times):
            video.write(flat(color), time_s)
    clip = open_clip(tmp_path / "v.mp4")
    np.testing.assert_allclose(clip.times_s, times, atol=1e-4)
    for (_, image), color in zip(clip.images(), COLORS):
        np.testing.assert_allclose(image[24, 32].astype(int), color, atol=6)


@pytest.mark.parametrize(
    ("color", "known"),
    [
        ((255, 255, 255), (235, 128, 128)), ((0, 0, 0), (16, 128, 128)), ((255, 0, 0), (63, 102, 240)),
        ((0, 255, 0), (173, 42, 26)), ((0, 0, 255), (32, 240, 118)),
    ],
)  # fmt: skip
def test_colors_become_those_of_bt709(color: tuple[int, int, int], known: tuple[int, int, int]) -> None:
    planes = yuv420p(flat(np.array(color, np.uint8), 6, 10))
    assert [part.size for part in planes] == [60, 15, 15]
    for part, value in zip(planes, known, strict=True):
        assert np.abs(part.astype(int) - value).max() <= 1


def test_browsers_play_it(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 30, 63, 47) as video:
        for color in COLORS:
            video.write(flat(color, 63, 47))
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames) == (64, 48, 4)
        assert stream.average_rate == 30
    data = (tmp_path / "v.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index comes first, so that playing starts at once"


def test_a_failure_leaves_the_earlier_file(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"earlier")
    with pytest.raises(KeyError), VideoWriter(tmp_path / "v.mp4", 30, 64, 48) as video:
        video.write(flat(COLORS[0]))
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    assert (tmp_path / "v.mp4").read_bytes() == b"earlier"


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot be written"):
        VideoWriter(tmp_path / "nowhere" / "v.mp4", 30, 64, 48)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    code = f"""
import resource, sys
import numpy as np
from hmpfit.errors import RunFolderError
from hmpfit.video.writer import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0)
try:
    with VideoWriter({str(tmp_path / "v.mp4")!r}, 30, 320, 240) as video:
        for _ in range(60):
            video.write(noise.integers(0, 255, (240, 320, 3), dtype=np.uint8))
except RunFolderError as error:
    sys.exit(0 if "full" in str(error) else str(error))
sys.exit("it was written")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
