"""Reading videos: known frames, times, turns and damage, from files written here."""

import gc
import logging
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.video import video_file
from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter


def brightness(index: int) -> int:
    return 40 + 3 * (index % 60)


def write_video(
    path: Path,
    count: int = 12,
    size: tuple[int, int] = (64, 48),
    stamps_ms: Sequence[int] | None = None,
    key_every: int = 250,
    options: dict[str, str] | None = None,
    codec: str = "libx264",
) -> Path:
    """Write frames whose brightness tells their index; a red block marks the top left corner."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.gop_size = key_every
        for index in range(count):
            image = np.full((size[1], size[0], 3), brightness(index), np.uint8)
            image[: size[1] // 4, : size[0] // 4] = (255, 0, 0)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = stamps_ms[index] if stamps_ms is not None else 40 * index
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def seen_index(image: np.ndarray) -> int:
    """Tell the index of a frame from its brightness (below 60 frames)."""
    return round((float(np.median(image)) - 40) / 3)


def test_frames_come_in_order_as_often_as_wanted(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path / "v.mp4"))
    assert (clip.frames, clip.width, clip.height) == (12, 64, 48)
    assert clip.fps == pytest.approx(25)
    for _ in range(2):
        frames = list(clip.images())
        assert [index for index, _ in frames] == [seen_index(image) for _, image in frames] == list(range(12))
        assert all(image.dtype == np.uint8 and image.shape == (48, 64, 3) for _, image in frames)
    assert [index for index, _ in clip.images(9)] == [9, 10, 11]
    assert [index for index, _ in clip.images(2, 4)] == [2, 3]
    assert list(clip.images(4, 4)) == []


def test_a_frame_that_nobody_holds_is_freed_at_once(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path / "v.mp4", 40))
    gc.collect()
    gc.disable()  # reference counts alone: the collector counts objects, not the megabytes behind a frame
    try:
        for _ in clip.images():
            held = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
            assert held < 8  # the decoder's own at the file's end
    finally:
        gc.enable()


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    stamps = [0, 20, 100, 110, 400, 440, 500]
    clip = open_clip(write_video(tmp_path / "v.mp4", 7, stamps_ms=stamps))
    np.testing.assert_allclose(clip.times_s, np.array(stamps) / 1000, atol=1e-6)
    assert clip.fps == pytest.approx(6 / 0.5)


def test_a_range_is_counted_in_source_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    clip = open_clip(path, frames=(3, 7))
    assert (clip.frames, clip.first_frame) == (4, 3)
    np.testing.assert_allclose(clip.times_s, [0.12, 0.16, 0.2, 0.24], atol=1e-6)
    assert [(index, seen_index(image)) for index, image in clip.images()] == [(0, 3), (1, 4), (2, 5), (3, 6)]
    assert [(index, seen_index(image)) for index, image in clip.images(2)] == [(2, 5), (3, 6)]


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
def test_seeking_lands_on_the_very_frame(tmp_path: Path, name: str) -> None:
    clip = open_clip(write_video(tmp_path / name, 58, key_every=10))
    everything = [image for _, image in clip.images()]
    assert [seen_index(image) for image in everything] == list(range(58))
    for start in (33, 40, 49, 57):
        index, image = next(clip.images(start))
        assert index == start
        np.testing.assert_array_equal(image, everything[start])


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.avi"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_chosen_frames_are_those_of_the_whole(tmp_path: Path, name: str, mirrored: bool) -> None:
    path = write_video(tmp_path / name, 58, key_every=45)
    clip = open_clip(path, frames=(3, 57), mirrored=mirrored)
    everything = dict(clip.images())
    for asked in ([0], [53], [5, 6, 7, 30, 51], list(range(54)), []):
        found = {frame: image() for frame, image in clip.chosen(asked)}
        assert list(found) == asked
        for frame, image in found.items():
            np.testing.assert_array_equal(image, everything[frame])


def test_frames_to_which_no_other_refers_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with VideoWriter(tmp_path / "v.mp4", 25, 64, 48, more="b-adapt=0") as video:  # three B frames between two others
        for index in range(58):
            video.write(np.full((48, 64, 3), brightness(index), np.uint8))
    clip = open_clip(tmp_path / "v.mp4")
    decoded = video_file.decoded_frames
    came = []

    def counted(*arguments, **options):
        for frame in decoded(*arguments, **options):
            came.append(frame.pts)
            yield frame

    monkeypatch.setattr(video_file, "decoded_frames", counted)
    assert [seen_index(image()) for _, image in clip.chosen([10, 40])] == [10, 40]
    assert len(came) < 0.8 * 41


def test_chosen_frames_that_a_skipping_decoder_does_not_give_are_decoded_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = open_clip(write_video(tmp_path / "v.mp4", 30))
    decoded = video_file.decoded_frames

    def lossy(*arguments, stamps=None, **options):
        for n, frame in enumerate(decoded(*arguments, stamps=stamps, **options)):
            if stamps is None or n < 5:
                yield frame

    monkeypatch.setattr(video_file, "decoded_frames", lossy)
    asked = [1, 3, 12, 28]
    assert [(frame, seen_index(image())) for frame, image in clip.chosen(asked)] == [(n, n) for n in asked]


def turn_by_metadata(path: Path) -> None:
    """Patch the track's display matrix to the one of a phone held upright: shown a quarter turn clockwise."""
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30), data.index(b"tkhd"))
    data[place : place + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 48 << 16, 0, 1 << 30)
    path.write_bytes(data)


def test_rotation_metadata_is_applied(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 2)
    turn_by_metadata(path)
    clip = open_clip(path)
    assert (clip.width, clip.height) == (48, 64)
    _, image = next(clip.images())
    assert image.shape == (64, 48, 3)
    red = image[..., 0].astype(int) - image[..., 1]
    assert red[4:12, -8:-4].min() > 150 and red[:, :20].max() < 50, "the top left corner is shown at the top right"


def test_odd_sizes(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path / "v.avi", 3, size=(61, 47), codec="mjpeg"))
    assert [image.shape for _, image in clip.images()] == [(47, 61, 3)] * 3


def test_a_video_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = write_video(tmp_path / "v.mp4", 50, options={"movflags": "+faststart"}, key_every=5)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    with caplog.at_level(logging.WARNING, "hmpfit"):
        clip = open_clip(broken)
    assert 10 < clip.frames < 50
    assert "damaged" in caplog.text and f"{clip.frames} frames of the 50" in caplog.text
    assert [seen_index(image) for _, image in clip.images()] == list(range(clip.frames))
    with pytest.raises(InputError, match=f"0:{clip.frames}"):
        open_clip(broken, frames=(0, 50))


def test_damage_in_the_middle_is_skipped(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 50, key_every=5)
    data = bytearray(path.read_bytes())
    middle = (data.index(b"mdat") + data.index(b"moov")) // 2
    data[middle : middle + 60] = b"\xff" * 60
    path.write_bytes(data)
    clip = open_clip(path)
    assert 20 < clip.frames <= 50
    assert len(list(clip.images())) == clip.frames
    assert (np.diff(clip.times_s) > 0).all()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", bytes(range(256)) * 40, "not a video"),
        ("notes.txt", b"dear diary\n" * 50, "not a video"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n", "not a video"),
    ],
)
def test_what_is_no_video_is_refused_in_a_sentence(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        open_clip(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "s.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no pictures"):
        open_clip(tmp_path / "s.wav")


def test_nothing_decodes(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "v.mp4", 5, options={"movflags": "+faststart"})
    data = whole.read_bytes()
    (tmp_path / "hollow.mp4").write_bytes(data[: data.index(b"mdat") + 8])
    with pytest.raises(InputError, match="decoded"):
        open_clip(tmp_path / "hollow.mp4")


def test_missing_and_out_of_range(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    with pytest.raises(InputError, match="no file"):
        open_clip(tmp_path / "nothing.mp4")
    with pytest.raises(InputError, match="frames 0:12"):
        open_clip(path, frames=(5, 13))
    for empty in ((4, 4), (5, 2), (-1, 3)):
        with pytest.raises(InputError, match="A:B"):
            open_clip(path, frames=empty)


def test_a_folder_of_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gray, color = np.full((45, 61), 90, np.uint8), np.zeros((45, 61, 3), np.uint8)
    color[..., 2] = 200  # red, in OpenCV's order
    cv2.imwrite(str(tmp_path / "f2.png"), np.dstack((color, np.full((45, 61), 128, np.uint8))))
    cv2.imwrite(str(tmp_path / "f10.png"), (gray.astype(np.uint16) << 8))
    cv2.imwrite(str(tmp_path / "f1.jpg"), gray)
    (tmp_path / "notes.txt").write_text("not an image")
    with caplog.at_level(logging.WARNING, "hmpfit"):
        clip = open_clip(tmp_path)
    assert "30 frames a second are assumed" in caplog.text
    np.testing.assert_allclose(clip.times_s, [0, 1 / 30, 2 / 30])
    images = [image for _, image in clip.images()]
    assert [image.shape for image in images] == [(45, 61, 3)] * 3
    np.testing.assert_array_equal(images[1][20, 30], [200, 0, 0])
    np.testing.assert_allclose(images[0][20, 30], 90, atol=1)
    np.testing.assert_array_equal(images[2][20, 30], 90)
    assert [index for index, _ in open_clip(tmp_path, frames=(1, 3)).images(1)] == [1]


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no images"):
        open_clip(tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 60, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((80, 60, 3), np.uint8))
    with pytest.raises(InputError, match=r"b\.png.*another size"):
        open_clip(tmp_path)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"b\.png.*cannot be decoded"):
        open_clip(tmp_path)


def test_the_fingerprint_knows_contents_and_range_but_not_the_path(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    copy = tmp_path / "w.mp4"
    copy.write_bytes(path.read_bytes())
    mark = open_clip(path).fingerprint()
    assert open_clip(copy).fingerprint() == mark
    assert open_clip(path, frames=(0, 11)).fingerprint() != mark
    assert open_clip(write_video(tmp_path / "x.mp4", 13), frames=(0, 12)).fingerprint() != mark


def test_real_clips(inputs: Path) -> None:
    clip = open_clip(inputs / "clips" / "cups.mp4", frames=(0, 290))
    assert (clip.frames, clip.width, clip.height) == (290, 1280, 720)
    assert clip.fps == pytest.approx(30000 / 1001)
    assert clip.times_s[-1] == pytest.approx(289 * 1001 / 30000)
    assert next(clip.images(289))[0] == 289


def test_a_title_in_another_encoding_is_no_reason_to_refuse(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    with av.open(str(file), "w") as container:
        container.metadata["title"] = "XYZZY"
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.write_bytes(file.read_bytes().replace(b"XYZZY", b"XY\xe1ZY"))
    assert open_clip(file).frames == 3


def test_the_source_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.mp4"
    with VideoWriter(file, 30.0, 64, 48) as video:
        video.write(np.zeros((48, 64, 3), np.uint8))
    clip, asked = open_clip(file), []
    hash_into = clip.store.hash_into
    monkeypatch.setattr(clip.store, "hash_into", lambda digest: (asked.append(1), hash_into(digest)))
    assert clip.fingerprint() == clip.fingerprint() == open_clip(file).fingerprint()
    assert len(asked) == 1
