"""The 3D pages are for whoever was given their address: other users and other web pages of the machine get nothing."""

import contextlib
import http.client
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hmpfit.errors import InputError
from hmpfit.hands.model_files import load_hand_models
from hmpfit.live.page import LivePage
from hmpfit.viewing import keyed_server
from hmpfit.viewing.keyed_server import KeyGate, open_server
from hmpfit.viewing.viewer import Viewer
from tests.made_result import two_hands

viser = pytest.importorskip("viser")

from websockets.exceptions import InvalidStatus  # noqa: E402
from websockets.sync.client import connect  # noqa: E402
from websockets.typing import Origin, Subprotocol  # noqa: E402


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    models = load_hand_models("open")
    opened = Viewer(two_hands(models, 6), models, None, port=8521, frame_port=8520)
    yield opened
    opened.close()


def ask(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        asked.request("GET", path, None, headers)
        answer = asked.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        asked.close()


def first_message(port: int, cookie: str | None, origin: str | None = None) -> bytes | str:
    """Return what a WebSocket hears first. Raises InvalidStatus where it is refused."""
    with connect(
        f"ws://127.0.0.1:{port}/", origin=None if origin is None else Origin(origin), max_size=None,
        subprotocols=[Subprotocol(f"viser-v{viser.__version__}")],
        additional_headers={} if cookie is None else {"Cookie": cookie},
    ) as opened:  # fmt: skip
        return opened.recv(timeout=20)


def test_nothing_is_answered_without_the_key(viewer: Viewer) -> None:
    own = f"http://127.0.0.1:{viewer.port}"
    cookie = f"hmpfit_view_{viewer.port}={viewer.key}"
    assert viewer.address == f"{own}/?key={viewer.key}"
    for path in ("/", "/nothing", "/?key=", "/?key=wrong", "/?key=%ff", "//[", f"/{viewer.key}"):
        status, headers, text = ask(viewer.port, path)
        assert status == 403 and "set-cookie" not in headers and viewer.key not in text, path
    for wrong in ("", "=;=,;", f"hmpfit_view_1={viewer.key}", f"hmpfit_view_{viewer.port}=x", f"other={viewer.key}"):
        assert ask(viewer.port, "/", Cookie=wrong)[0] == 403
    for headers in ({}, {"cookie": f"hmpfit_view_{viewer.port}=x"},
                    {"cookie": cookie, "origin": "http://127.0.0.1:1"}, {"cookie": cookie, "origin": "null"},
                    {"cookie": cookie, "origin": "https://evil.example"}):  # fmt: skip
        with pytest.raises(InvalidStatus) as refused:
            first_message(viewer.port, headers.get("cookie"), headers.get("origin"))
        assert refused.value.response.status_code == 403
    assert first_message(viewer.port, f"a=b; {cookie}", own)


def test_the_key_moves_from_the_address_into_a_cookie(viewer: Viewer) -> None:
    status, headers, _ = ask(viewer.port, f"/?key={viewer.key}")
    assert (status, headers["location"], headers["cache-control"]) == (303, "/", "no-store")
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=Strict" in headers["set-cookie"]
    status, headers, page = ask(viewer.port, "/", Cookie=headers["set-cookie"].partition(";")[0])
    assert status == 200 and "<html" in page and viewer.key not in page
    assert headers["content-security-policy"] == "frame-ancestors 'self' http://127.0.0.1:8520"


def test_the_live_page_has_a_key_too() -> None:
    page = LivePage(two_hands(load_hand_models("open"), 2).camera, "127.0.0.1", 8531)
    try:
        assert ask(page.port, "/")[0] == 403 and ask(page.port, f"/?key={page.key}")[0] == 303
    finally:
        page.close()


def test_a_viser_that_serves_in_another_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_server, "_asking_first", lambda _: contextlib.nullcontext())
    with pytest.raises(InputError, match="cannot be kept to whoever has the key"):
        open_server(KeyGate(), "127.0.0.1", 8541, "test")
    with pytest.raises(OSError):
        ask(8541, "/")


def test_a_busy_last_port_is_said_and_not_waited_for() -> None:
    with socket.socket() as busy:
        with contextlib.suppress(OSError):  # else another program has it
            busy.bind(("127.0.0.1", 65535))
            busy.listen()
        with pytest.raises(OSError, match="those after it"):
            open_server(KeyGate(), "127.0.0.1", 65535, "test")


FOREIGN = """<!doctype html><script>
const told = [], socket = new WebSocket("ws://127.0.0.1:PORT/", "viser-vVERSION");
socket.onmessage = () => told.push("message");
socket.onclose = () => told.push("closed");
fetch("http://127.0.0.1:PORT/", { credentials: "include" }).then(() => told.push("page"), () => told.push("no page"));
</script><iframe src="http://127.0.0.1:PORT/"></iframe>"""


def test_another_page_of_this_machine_reads_nothing(chromium: Any, viewer: Viewer) -> None:
    """A page of the same host on another port gets the cookie sent along, so that only its origin gives it away."""
    text = FOREIGN.replace("PORT", str(viewer.port)).replace("VERSION", viser.__version__)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    foreign = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=foreign.serve_forever, daemon=True).start()
    context = chromium.new_context()
    try:
        own = context.new_page()
        own.goto(viewer.address)
        own.get_by_text("left hand: ").wait_for(timeout=120_000)
        assert viewer.key not in own.url
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{foreign.server_port}/")
        page.wait_for_function("told.length === 2", timeout=60_000)
        assert set(page.evaluate("told")) == {"closed", "no page"}
        (frame,) = (frame for frame in page.frames if frame != page.main_frame)
        assert frame.get_by_text("left hand: ").count() == 0
    finally:
        context.close()
        foreign.shutdown()
        foreign.server_close()
