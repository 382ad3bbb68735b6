"""Videos are read as players show them: pixel aspect, turns and mirrors, the right stream, odd names, edit lists."""

import logging
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter

WIDTH, HEIGHT = 64, 48
PLAIN = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
# The eight ways to turn and mirror, as a b c d of the display matrix: shown place of (x, y) is (a x + c y, b x + d y).
EIGHT = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


def corners() -> np.ndarray:
    """Return a picture whose corners differ: red, green, blue and gray, clockwise from the top left."""
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    image[:16, :16], image[:16, -16:], image[-16:, -16:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return image


def write(path: Path, images: list[np.ndarray], aspect: Fraction = Fraction(1)) -> Path:
    """Write images as a video of 25 frames a second with a pixel aspect."""
    with av.open(f"file:{path}", "w") as container:
        encode(container, {add_stream(container, images, "libx264", aspect): images})
    return path


def add_stream(
    container: av.container.OutputContainer, images: list[np.ndarray], codec: str, aspect: Fraction = Fraction(1)
) -> int:
    """Add a stream for images and return its place."""
    stream = container.add_stream(codec, rate=25)
    stream.height, stream.width = images[0].shape[:2]
    stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuvj444p"
    stream.codec_context.sample_aspect_ratio = aspect
    return stream.index


def encode(container: av.container.OutputContainer, streams: dict[int, list[np.ndarray]]) -> None:
    """Encode the images of each stream."""
    for index, images in streams.items():
        stream = container.streams[index]
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def patch_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Write the display matrix of the first track."""
    data = bytearray(path.read_bytes())
    place = data.index(PLAIN, data.index(b"tkhd"))
    data[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def shown(image: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Move every pixel to its shown place, one by one: the definition of a display matrix."""
    rows, columns = np.indices(image.shape[:2])
    x, y = a * columns + c * rows, b * columns + d * rows
    x, y = x - x.min(), y - y.min()
    out = np.zeros((y.max() + 1, x.max() + 1, 3), np.uint8)
    out[y, x] = image
    return out


@pytest.mark.parametrize("matrix", EIGHT)
def test_every_turn_and_mirror_is_shown(matrix: tuple[int, int, int, int], tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [corners()] * 2)
    patch_matrix(path, *matrix)
    clip = open_clip(path)
    _, image = next(clip.images())
    expected = shown(corners(), *matrix)
    assert image.shape == expected.shape == (clip.height, clip.width, 3)
    assert np.abs(image.astype(int) - expected).mean() < 6


@pytest.mark.parametrize(
    ("stored", "aspect", "size"),
    [
        ((32, 48), Fraction(2), (64, 48)),
        ((64, 24), Fraction(1, 2), (64, 48)),
        ((48, 48), Fraction(4, 3), (64, 48)),
        ((64, 48), Fraction(1216, 1215), (64, 48)),
        ((60, 48), Fraction(16, 15), (64, 48)),
    ],
)
def test_pixels_are_made_square(
    stored: tuple[int, int], aspect: Fraction, size: tuple[int, int], tmp_path: Path
) -> None:
    image = corners()[:, :: max(1, WIDTH // stored[0])][:: max(1, HEIGHT // stored[1])][: stored[1], : stored[0]]
    path = write(tmp_path / "v.mp4", [np.ascontiguousarray(image)] * 2, aspect)
    clip = open_clip(path)
    assert (clip.width, clip.height) == size
    assert next(clip.images())[1].shape == (size[1], size[0], 3)
    assert clip.store.stored_size == stored
    patch_matrix(path, 0, 1, -1, 0)
    turned = open_clip(path)
    assert (turned.width, turned.height) == size[::-1], "the pixel aspect is the stored picture's"


@pytest.mark.parametrize("kind", ["thumbnail", "attached"])
@pytest.mark.parametrize("first", [True, False])
def test_the_film_is_read_and_not_its_cover(kind: str, first: bool, tmp_path: Path) -> None:
    film, cover = [corners()] * 6, [np.zeros((96, 128, 3), np.uint8)]
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        order = (cover, film) if first else (film, cover)
        streams = {add_stream(container, part, "mjpeg" if part is cover else "libx264"): part for part in order}
        if kind == "attached":
            container.streams[order.index(cover)].disposition = av.stream.Disposition.attached_pic
        encode(container, streams)
    clip = open_clip(tmp_path / "v.mp4")
    assert (clip.frames, clip.width, clip.height) == (6, WIDTH, HEIGHT)


def test_a_change_of_size_keeps_the_shape(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wide, tall = corners(), np.ascontiguousarray(corners()[:, 16:40])
    parts = [write(tmp_path / f"{n}.h264", [image] * 3) for n, image in enumerate((wide, tall))]
    (tmp_path / "v.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    with caplog.at_level(logging.WARNING, "hmpfit"):
        clip = open_clip(tmp_path / "v.h264")
    assert "from 64x48 to 24x48 at frame 3" in caplog.text
    images = [image for _, image in clip.images()]
    assert {image.shape for image in images} == {(HEIGHT, WIDTH, 3)}
    assert images[4][:, :18].max() < 30 and images[4][:, -18:].max() < 30, "black beside the narrow picture"
    assert np.abs(images[4][:, 20:44].astype(int) - tall).mean() < 8
    more = parts[1].read_bytes()
    (tmp_path / "w.h264").write_bytes(parts[0].read_bytes() + more + more)
    assert open_clip(tmp_path / "w.h264").width == 24, "the size that most frames have, not the first one's"


@pytest.mark.parametrize("name", ["2024-06-14T02:55:42.mp4", "a%03d b.mp4", "größe 手.mp4", "-x.mp4", "http:v.mp4"])
def test_any_name_is_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a:b").mkdir()
    with VideoWriter(tmp_path / "a:b" / name, 25, WIDTH, HEIGHT) as video:
        video.write(corners())
    monkeypatch.chdir(tmp_path / "a:b")
    for path in (tmp_path / "a:b" / name, Path(name), f"./{name}"):
        assert open_clip(path).frames == 1
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path("a:b") / f"2{name}", 25, WIDTH, HEIGHT) as video:
        video.write(corners())
    assert open_clip(Path("a:b") / f"2{name}").frames == 1


def test_the_cases_are_read_as_they_are_shown(inputs: Path, caplog: pytest.LogCaptureFixture) -> None:
    cases = inputs / "cases"
    control = [image for _, image in open_clip(cases / "base.mp4").images()]
    with caplog.at_level(logging.WARNING, "hmpfit"):
        for name, undo in {
            "anamorphic_sar2.mp4": lambda image: image,
            "matrix_hflip.mp4": lambda image: image[:, ::-1],
            "matrix_vflip.mp4": lambda image: image[::-1],
            "thumb_first.mp4": lambda image: image,
        }.items():
            images = [image for _, image in open_clip(cases / name).images()]
            assert len(images) == 60
            assert np.abs(undo(images[30]).astype(int) - control[30]).mean() < 8, name
        assert open_clip(cases / "edit_list.mp4").frames == 47
    assert not caplog.records, "none of these files is damaged"
    assert open_clip(cases / "2024-06-14T02:55:42.mp4").frames == 1


@pytest.mark.parametrize("name", ["reschange.h264", "reschange_portrait_midway.ts"])
def test_the_portrait_half_keeps_its_shape(name: str, inputs: Path) -> None:
    images = [image for _, image in open_clip(inputs / "cases" / name).images()]
    assert len(images) == 60 and {image.shape for image in images} == {(360, 640, 3)}
    assert images[45][:, :200].max() < 30 and images[45][:, -200:].max() < 30


def test_a_rate_takes_the_place_of_lying_stamps(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", [corners()] * 5)
    clip = open_clip(path, fps=4.5)
    np.testing.assert_allclose(clip.times_s, np.arange(5) / 4.5)
    assert clip.fps == 4.5
    assert clip.fingerprint() != open_clip(path).fingerprint(), "another run, because motion is another"
    part = open_clip(path, frames=(2, 4), fps=10)
    np.testing.assert_allclose(part.times_s, [0.2, 0.3])


def test_what_ffmpeg_tells_and_pyav_does_not_know_is_no_reason_to_fail(tmp_path: Path) -> None:
    """The EXIF of a photo is such a thing, when a photo is read as a film (`hmpfit live photo.jpg`)."""
    from hmpfit.video.video_file import VideoFile
    from tests.fuzz.clips import _photos

    _photos(tmp_path)
    film = VideoFile(tmp_path / "a.jpg", None)
    assert (film.width, film.height, len(film.times_s)) == (64, 48, 1)
