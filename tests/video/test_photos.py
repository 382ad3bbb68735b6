"""Photos and folders of them: upright, with their camera's focal length; numbers in names are time."""

import base64
import logging
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from hmpfit.errors import InputError
from hmpfit.video.clip import open_clip
from hmpfit.video.image_file import is_still, read_image
from hmpfit.video.image_folder import frame_numbers

ORIENTATION, EXIF_IFD = 0x0112, 0x8769


def picture(width: int = 64, height: int = 48) -> np.ndarray:
    """Return a picture whose four quarters differ."""
    image = np.full((height, width, 3), 128, np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, width // 2 :] = (0, 0, 255)
    return image


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".avif", ""])
def test_every_format_is_one_frame(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a photo:1%d{suffix}"
    Image.fromarray(picture()).save(path, format=None if suffix else "png")
    clip = open_clip(path)
    assert clip.still and (clip.frames, clip.width, clip.height) == (1, 64, 48)
    assert np.abs(next(clip.images())[1].astype(int) - picture()).mean() < 12


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(suffix: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / f"p{suffix}"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(picture())
    stored.save(path, exif=exif, quality=95)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    upright = np.asarray(stored.transpose(undo[orientation]) if orientation > 1 else stored)
    image = read_image(path)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 12


def with_lens(path: Path, size: tuple[int, int], **tags: object) -> Path:
    """Write a gray photo with EXIF tags of its lens."""
    numbers = {"equivalent": 0xA405, "focal": 0x920A, "per_unit": 0xA20E, "unit": 0xA210, "x": 0xA002, "y": 0xA003}
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update({numbers[name]: value for name, value in tags.items()})
    Image.new("RGB", size, "gray").save(path, exif=exif)
    return path


def test_the_focal_length_is_the_lens_own(tmp_path: Path) -> None:
    # A phone, 26 mm equivalent at 4032 x 3024: 26 x 5040 / 43.27 = 3029 px; calibrations find 3000 to 3050.
    path = with_lens(tmp_path / "a.jpg", (1008, 756), equivalent=26, x=4032, y=3024)
    assert open_clip(path).store.focal_px == pytest.approx(3029 / 4, rel=1e-3)
    # A full-frame camera, 50 mm on 36 mm with 6000 pixels: 8333 px, and the picture is a tenth of that.
    path = with_lens(tmp_path / "b.jpg", (600, 400), focal=IFDRational(50), per_unit=IFDRational(6000, 36), unit=4,
                     x=6000, y=4000)  # fmt: skip
    assert open_clip(path).store.focal_px == pytest.approx(50 * 6000 / 36 / 10, rel=1e-3)


@pytest.mark.parametrize("tags", [{}, {"equivalent": 0}, {"equivalent": 26, "x": 4032, "y": 2268}, {"focal": 4.2}])
def test_a_lens_that_is_not_known_is_not_guessed(tags: dict[str, object], tmp_path: Path) -> None:
    assert open_clip(with_lens(tmp_path / "a.jpg", (400, 300), **tags)).store.focal_px is None


HEIC = base64.b64decode(
    b"AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAA"
    b"AAAERAAAIAAQAAAAAB7AABAAAAAAAAAKsAAgAAAAAClwABAAAAAAAAAEIAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVp"
    b"bmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGE"
    b"ABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkA"
    b"AAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEH"
    b"BpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAPVtZGF0AAAA"
    b"pygBrwngIzUt/+7Z//79byHsJ6R07u/UoVts87t+Q/+X1tffo7kJid/jl+cav+33YbRET6bz/r/qfzBidKHFmETB9i+Qh4uCdbyCPA0ilaJ8Hy"
    b"dY6O2dvHgZIr/ZR2jWye/uI+JPLauLLUkA+j/+Z526Oi1cRJgvXe0cwOijA8S5puV8mRs6Tr/h1qww4rQvKdyuSxiJkYrC1sPrXp4WbzbPPPT+"
    b"UrfaAAAABkV4aWYAAE1NACoAAAAIAAIBEgADAAAAAQAGAACHaQAEAAAAAQAAACYAAAAAAAGkBQADAAAAAQAaAAAAAAAA"
)


def test_heic(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif", reason="HEIC needs the package pi-heif (extra 'heic')")
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
    clip = open_clip(tmp_path / "IMG_1.HEIC")
    assert clip.still and (clip.width, clip.height) == (48, 64), "stored lying, shown upright"
    assert np.abs(next(clip.images())[1].astype(int) - np.rot90(picture(), -1)).mean() < 20
    assert clip.store.focal_px == pytest.approx(26 * 80 / 43.267, rel=1e-3)


@pytest.mark.parametrize("content", [b"\xff\xd8\xff" + bytes(50), b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_a_broken_photo_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(content)
    assert is_still(tmp_path / "p.jpg")
    with pytest.raises(InputError, match="cannot be decoded"):
        open_clip(tmp_path / "p.jpg")


def test_what_only_looks_like_a_photo_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = [Image.fromarray(picture()), Image.fromarray(picture()[::-1])]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with caplog.at_level(logging.WARNING, "hmpfit"):
        assert open_clip(tmp_path / "a.tif").frames == 1
    assert "holds 2 pictures; the first is read" in caplog.text
    (tmp_path / "a.tif").rename(tmp_path / "IMG_1.DNG")
    with pytest.raises(InputError, match="raw photo"):
        open_clip(tmp_path / "IMG_1.DNG")


def test_damaged_exif_is_no_reason_to_fail(tmp_path: Path) -> None:
    path = with_lens(tmp_path / "a.jpg", (64, 48), equivalent=26)
    content = bytearray(path.read_bytes())
    start = content.index(b"Exif\0\0") + 6
    content[start + 4 : start + 40] = b"\xff" * 36
    path.write_bytes(content)
    clip = open_clip(path)
    assert (clip.width, clip.height, clip.store.focal_px) == (64, 48, None)


def test_moving_pictures_are_no_photos(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(picture(), 9 * n, axis=1)) for n in range(3)]
    for name in ("a.gif", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
        clip = open_clip(tmp_path / name)
        assert not clip.still and clip.frames == 3
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="animated WebP"):
        open_clip(tmp_path / "a.webp")


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["0005.jpg", "0006.jpg", "0007.jpg", "0015.jpg"], [0, 1, 2, 10]),
        (["f0.png", "f10.png", "f20.png", "f40.png"], [0, 1, 2, 4]),
        (["cam1_8.png", "cam1_9.png", "cam1_10.png"], [0, 1, 2]),
        (["a1b1.png", "a2b2.png", "a3b9.png"], [0, 1, 2]),
        (["1718333333.1.jpg", "1718333341.1.jpg", "1718333390.1.jpg"], [0, 1, 2]),
        (["IMG_20240101.jpg", "left.jpg", "right.jpg"], [0, 1, 2]),
    ],
)
def test_numbers_in_names_are_time_where_they_count(names: list[str], numbers: list[int]) -> None:
    assert frame_numbers([Path(name) for name in names]).tolist() == numbers


def test_a_gap_in_the_numbers_is_a_gap_in_time(inputs: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hmpfit"):
        clip = open_clip(inputs / "cases" / "gaps_folder", fps=10)
    assert clip.frames == 11 and clip.fps == 10
    np.testing.assert_allclose(clip.times_s[[4, 5, 10]], [0.4, 1.4, 1.9])
    assert "leave out 9 frames" in caplog.text and "'0005.jpg' and '0015.jpg'" in caplog.text
    assert "are assumed" not in caplog.text


def test_sizes_that_differ_say_what_to_do(tmp_path: Path) -> None:
    for name, size in (("a.png", (64, 48)), ("b.png", (80, 48))):
        cv2.imwrite(str(tmp_path / name), picture(*size))
    with pytest.raises(InputError, match="--unordered"):
        open_clip(tmp_path)


def test_a_video_tells_its_lens_as_quicktime_does(tmp_path: Path) -> None:
    """A tag of 28 mm, as phones write it: 28 x 1600 / 43.27 pixels on a diagonal of 1600."""
    for name, value in (("a.mov", "28"), ("b.mov", "nonsense"), ("c.mov", "0")):
        with av.open(str(tmp_path / name), "w", options={"movflags": "use_metadata_tags"}) as container:
            container.metadata["com.apple.quicktime.camera.focal_length.35mm_equivalent"] = value
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 1280, 960, "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.zeros((960, 1280, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    assert open_clip(tmp_path / "a.mov").store.focal_px == pytest.approx(28 * 1600 / 43.267, rel=1e-3)
    assert open_clip(tmp_path / "b.mov").store.focal_px is None
    assert open_clip(tmp_path / "c.mov").store.focal_px is None
