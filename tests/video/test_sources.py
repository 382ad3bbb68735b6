"""Inputs from everywhere: web addresses, standard input, folders of videos, folders of unrelated photos."""

import io
import os
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hmpfit.errors import InputError
from hmpfit.video.sources import expand_sources, local_file

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Handler(BaseHTTPRequestHandler):
    """Serves a file, a page, a file that breaks off, and redirections."""

    def do_GET(self) -> None:
        """Answer by path."""
        away = {"/moved": "/a%20clip.mp4", "/elsewhere": "file:///etc/hostname", "/ftp": "ftp://127.0.0.1/a"}
        if self.path in away:
            self.send_response(302)
            self.send_header("Location", away[self.path])
            self.end_headers()
            return
        if self.path == "/missing.mp4":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8" if self.path == "/watch" else "video/mp4")
        length = {"/short.mp4": 2 * len(CONTENT), "/empty.mp4": 0}.get(self.path, len(CONTENT))
        if self.path != "/stream":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if length:
            self.wfile.write(CONTENT)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Return the address of a server on this machine."""
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


class Watched:
    """Counts what a progress phase is told."""

    def __init__(self) -> None:
        self.phases: list[list[Any]] = []

    def phase(self, name: str, total: int) -> Any:
        """Begin a phase."""
        counted = [name, total, 0]
        self.phases.append(counted)

        def advance(count: int = 1) -> None:
            counted[2] += count

        return advance


@pytest.mark.parametrize("path", ["/a%20clip.mp4", "/a clip.mp4", "/moved", "/a.mp4?token=1&x=2", "/stream"])
def test_a_web_address_is_fetched_with_progress_and_cleared_away(path: str, site: str) -> None:
    watched = Watched()
    with local_file(site + path, watched) as file:
        assert file.read_bytes() == CONTENT
    assert not file.exists()
    assert watched.phases == [["downloading (KiB)", 0 if path == "/stream" else 1024, 1024]]


@pytest.mark.parametrize(
    ("path", "says"),
    [("/missing.mp4", "404"), ("/watch", "is a web page"), ("/short.mp4", "broke off after 1048576 of 2097152"),
     ("/empty.mp4", "is empty"), ("/elsewhere", "cannot be fetched"), ("/ftp", "cannot be fetched")],
)  # fmt: skip
def test_what_cannot_be_fetched_is_one_sentence(path: str, says: str, site: str) -> None:
    with pytest.raises(InputError, match=says), local_file(site + path):
        pass


@pytest.mark.parametrize("text", ["ftp://a.org/v.mp4", "file:///etc/hostname", "s3://bucket/v.mp4"])
def test_other_schemes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="only http"), local_file(text):
        pass


def test_nobody_answers() -> None:
    with pytest.raises(InputError, match="cannot be fetched"), local_file("http://127.0.0.1:9/v.mp4"):
        pass


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def piped(content: bytes, terminal: bool = False) -> None:
        stand_in = types.SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: terminal)
        monkeypatch.setattr(sys, "stdin", stand_in)

    piped(CONTENT)
    with local_file("-") as file:
        assert file.read_bytes() == CONTENT and file.name == "stdin"
    for content, terminal, says in ((b"", False, "is empty"), (CONTENT, True, "nothing is piped in")):
        piped(content, terminal)
        with pytest.raises(InputError, match=says), local_file("-"):
            pass


def test_a_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(CONTENT))
    writer.start()
    with local_file(pipe) as file:
        assert file.read_bytes() == CONTENT
    writer.join()


def test_a_path_stays_where_it_is(tmp_path: Path) -> None:
    with local_file(tmp_path / "http:v.mp4") as file:
        assert file == tmp_path / "http:v.mp4"


def test_folders_are_taken_apart(tmp_path: Path) -> None:
    for name in ("v/a.mp4", "v/b.MOV", "v/b.webm", "v/._b.mov", "v/notes.txt", "i/2.jpg", "i/10.jpg", "m/a.mp4",
                 "m/a.png", "e/notes.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def names(*folders: str, unordered: bool = False) -> list[tuple[str, bool]]:
        sources = expand_sources([str(tmp_path / folder) for folder in folders], unordered)
        return [(source.name, source.member) for source in sources]

    assert names("v") == [("a", True), ("b.MOV", True), ("b.webm", True)]
    assert names("i", "e", "v/a.mp4") == [("i", False), ("e", False), ("a", False)]
    assert names("i", unordered=True) == [("2", True), ("10", True)]
    assert names("m", unordered=True) == [("a", True)]
    with pytest.raises(InputError, match="1 images and 1 videos"):
        names("m")
    assert names("v", unordered=True) == names("v")
    with pytest.raises(InputError, match="--unordered"):
        names("e", unordered=True)


def test_run_folders_are_named_by_their_input() -> None:
    texts = ["https://a.org/x/my%20clip.mp4?k=1", "https://a.org/", "http://a.org/..%2f..%2fetc", "-", "b:c.mp4"]
    assert [source.name for source in expand_sources(texts)] == ["my clip", "a.org", "etc", "stdin", "b:c"]
