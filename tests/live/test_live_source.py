"""Cameras, streams and files that cannot be followed: one sentence each."""

import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.live.feed import WAITING, LiveFeed
from hmpfit.live.records import LiveCounts
from hmpfit.video.live_source import LivePicture, LiveSource, StreamEndedError, kind_of_source
from hmpfit.video.writer import VideoWriter


def _video(path: Path, frames: int = 12) -> Path:
    with VideoWriter(path, 25.0, 64, 48) as video:
        for n in range(frames):
            video.write(np.full((48, 64, 3), 10 * n, np.uint8))
    return path


def test_kinds() -> None:
    assert [kind_of_source(text) for text in ("0", "/dev/video12", "clip.mp4", "rtsp://host/x", "HTTP://h/x")] == [
        "camera", "camera", "file", "stream", "stream",
    ]  # fmt: skip
    for text in ("file:///etc/passwd", "concat://a|b", "data://x"):
        with pytest.raises(InputError, match="cannot be followed"):
            kind_of_source(text)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no camera '97'"):
        LiveSource("97")
    with pytest.raises(InputError, match="There is no file or camera"):
        LiveSource(str(tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match="not a video"):
        LiveSource(str(tmp_path / "text.mp4"))


def test_a_camera_in_use_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    def busy(*_: object, **__: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(av, "open", busy)
    with pytest.raises(InputError, match="in use by another program"):
        LiveSource("0")


def test_a_playlist_cannot_name_a_file_of_this_machine(tmp_path: Path) -> None:
    _video(tmp_path / "secret.mp4")
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path / 'secret.mp4'}\n#EXT-X-ENDLIST\n"
    )
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(4):
            try:
                connection, _ = server.accept()
            except OSError:
                return
            body = (tmp_path / "list.m3u8").read_bytes()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n\r\n" + body)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        with pytest.raises(InputError):
            LiveSource(f"http://127.0.0.1:{server.getsockname()[1]}/list.m3u8", patience_s=1.0)
    finally:
        server.close()


def test_a_stream_that_gives_nothing_is_given_up() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, pytest.raises(InputError, match=r"cannot be opened|gave nothing"):
        LiveSource(f"http://127.0.0.1:{server.getsockname()[1]}/x.mp4", patience_s=0.5)


def test_frames_of_a_file_come_when_they_are_due(tmp_path: Path) -> None:
    feed = LiveFeed(LiveSource(str(_video(tmp_path / "a.mp4"))), LiveCounts())
    feed.start()
    frames = []
    while (frame := feed.take()) is not None:
        frames.append(frame)
    feed.close()
    assert [frame.number for frame in frames] == list(range(12))[-len(frames) :]
    np.testing.assert_allclose(np.diff([frame.arrived_s for frame in frames]), 0.04, atol=1e-6)


class _Fast:
    """A source that gives its pictures at once and then breaks off."""

    kind, fps = "stream", 30.0

    def pictures(self):  # type: ignore[no-untyped-def]
        for _ in range(50):
            yield LivePicture(None, np.zeros((4, 4, 3), np.uint8))
        raise StreamEndedError("The stream 'x' broke off (test).")

    def close(self) -> None:
        pass


def test_what_is_not_taken_is_dropped_oldest_first() -> None:
    feed = LiveFeed(_Fast(), LiveCounts())  # type: ignore[arg-type]
    feed._read()
    assert (feed.counts.arrived, feed.counts.dropped) == (50, 50 - WAITING)
    assert [feed.take().number for _ in range(WAITING)] == list(range(50 - WAITING, 50))  # type: ignore[union-attr]
    assert feed.take() is None
    assert isinstance(feed.error, StreamEndedError)
