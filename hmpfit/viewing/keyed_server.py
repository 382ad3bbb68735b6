"""A viser server that answers browsers with its key alone: viser itself answers every program and every web page.

The key stands in the address that is printed and moves into a cookie. Separate from `app.access`, which guards routes
that change files; here nothing but the hands and the pictures is to be had.
"""

import contextlib
import errno
import secrets
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from hmpfit.errors import InputError

if TYPE_CHECKING:
    from viser import ViserServer
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

_PORTS_TRIED = 1000
_one_at_a_time = threading.Lock()


class KeyGate:
    """Decides which requests a viser server answers; `frame_port` is that of a page that may show it in a frame."""

    def __init__(self, frame_port: int | None = None) -> None:
        self.key = secrets.token_urlsafe(16)
        self.in_place = False
        self._frame_port = frame_port

    def answer(self, connection: "ServerConnection", request: "Request") -> "Response | None":
        """Return the answer to a request that viser must not see, or None where viser may answer."""
        origins = request.headers.get_all("Origin")
        if origins and origins != [f"http://{host}" for host in request.headers.get_all("Host")]:
            return connection.respond(403, "Only the page itself may ask for that.\n")
        given = parse_qs(request.path.partition("?")[2]).get("key")
        if given is not None:
            return self._enter(connection, given[-1])
        cookies = dict(
            pair.strip().partition("=")[::2] for pair in ";".join(request.headers.get_all("Cookie")).split(";")
        )
        if not self._is_key(cookies.get(_cookie_name(connection), "")):
            return connection.respond(403, "Open the address that hmpfit printed.\n")
        return None

    def add_headers(self, response: "Response", host: str) -> None:
        """Keep the page out of other sites' frames and its address out of their logs."""
        frames = "" if self._frame_port is None else f" http://{host.rpartition(':')[0] or host}:{self._frame_port}"
        response.headers["Content-Security-Policy"] = f"frame-ancestors 'self'{frames}"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"

    def _enter(self, connection: "ServerConnection", given: str) -> "Response":
        """Change the key in the address for a cookie, so that it stays in no history."""
        if not self._is_key(given):
            return connection.respond(403, "This is not the key of this page: it changes with every start.\n")
        response = connection.respond(303, "")
        response.headers["Location"] = "/"
        cookie = f"{_cookie_name(connection)}={self.key}; Path=/; HttpOnly; SameSite=Strict"
        response.headers["Set-Cookie"] = cookie
        response.headers["Cache-Control"] = "no-store"
        return response

    def _is_key(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "surrogateescape"), self.key.encode())


def open_server(gate: KeyGate, host: str, port: int, label: str) -> "ViserServer":
    """Start a viser server that asks `gate` first, on `port` or the next free one.

    Raises ModuleNotFoundError without viser, OSError when the port cannot be used, and InputError where this version of
    viser serves its pages in a way that `gate` does not know.
    """
    import viser

    port = _free_port(host, port)
    with _one_at_a_time, _asking_first(gate):
        server = viser.ViserServer(host=host, port=port, label=label, verbose=False)
    if not gate.in_place:
        server.stop()
        raise InputError(f"viser {viser.__version__} cannot be kept to whoever has the key; install viser 1.1.")
    return server


@contextlib.contextmanager
def _asking_first(gate: KeyGate) -> Iterator[None]:
    """Put `gate` before the requests of the server that viser starts meanwhile; viser has no setting for it."""
    from websockets.asyncio import server as sockets

    plain = sockets.serve

    def serve(handler: Any, *arguments: Any, process_request: Any = None, **options: Any) -> Any:
        if not getattr(handler, "__module__", "").startswith("viser."):
            return plain(handler, *arguments, process_request=process_request, **options)
        gate.in_place = True

        def answer(connection: "ServerConnection", request: "Request") -> "Response | None":
            response = gate.answer(connection, request)
            if response is None and process_request is not None:
                response = process_request(connection, request)
            if response is not None:
                gate.add_headers(response, "".join(request.headers.get_all("Host")))
            return response

        return plain(handler, *arguments, process_request=answer, **options)

    setattr(sockets, "serve", serve)  # noqa: B010 - a type checker refuses the assignment
    try:
        yield
    finally:
        setattr(sockets, "serve", plain)  # noqa: B010


def _free_port(host: str, port: int) -> int:
    """Return `port` or the next free one: viser itself would wait for ever for one past the last."""
    family, kind, protocol, _, _ = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    for candidate in range(port, min(port + _PORTS_TRIED, 1 << 16)):
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, candidate))
            return candidate
    raise OSError(errno.EADDRINUSE, "it and those after it are in use")


def _cookie_name(connection: "ServerConnection") -> str:
    """Return the cookie's name: cookies do not know ports, and two pages may run side by side."""
    return f"hmpfit_view_{connection.local_address[1]}"
