"""Parts of a video joined without encoding: the same frames at the same times, and no file where that fails."""

from pathlib import Path

import av
import numpy as np
import pytest

from hmpfit.errors import RunFolderError
from hmpfit.video.clip import open_clip
from hmpfit.video.joining import join_videos
from hmpfit.video.writer import VideoWriter

EVEN = np.arange(40) / 25
UNEVEN = np.concatenate(([0.0, 0.01, 0.02, 0.03], 0.04 + 0.2 * np.arange(16), 4.0 + 0.001 * np.arange(20)))


def write(path: Path, times: np.ndarray, first: int) -> None:
    noise = np.random.default_rng(0).integers(0, 60, (48, 64, 3))
    with VideoWriter(path, 25, 64, 48, preset="superfast") as video:
        for n, time_s in enumerate(times, start=first):
            video.write(np.roll(noise + 4 * n, 2 * n, axis=1).clip(0, 255).astype(np.uint8), time_s - times[0])


@pytest.mark.parametrize("times", [EVEN, UNEVEN, UNEVEN[::-1].max() - UNEVEN[::-1]], ids=["even", "slow", "fast"])
def test_frames_and_times_are_those_of_the_parts(tmp_path: Path, times: np.ndarray) -> None:
    cuts = [0, 20, 33, 40]
    parts = [tmp_path / f"{n}.mp4" for n in range(3)]
    for part, a, b in zip(parts, cuts, cuts[1:]):
        write(part, times[a:b], a)
    join_videos(tmp_path / "whole.mp4", parts, [times[a] for a in cuts[:-1]])
    whole = open_clip(tmp_path / "whole.mp4")
    np.testing.assert_allclose(whole.times_s, times, atol=1e-4)
    shown = [image for part in parts for _, image in open_clip(part).images()]
    for (_, image), expected in zip(whole.images(), shown, strict=True):
        assert np.array_equal(image, expected)
    with av.open(str(tmp_path / "whole.mp4")) as container:
        stamps = [packet.dts for packet in container.demux(video=0) if packet.dts is not None]
    assert stamps == sorted(set(stamps))
    data = (tmp_path / "whole.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_folder_that_is_gone_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "part.mp4", EVEN[:3], 0)
    with pytest.raises(RunFolderError, match="cannot be written"):
        join_videos(tmp_path / "gone" / "whole.mp4", [tmp_path / "part.mp4"], [0.0])
    assert [file.name for file in tmp_path.iterdir()] == ["part.mp4"]
