"""A WebSocket server that sends every message to every listener: robots, Blender and pages of this machine.

Listens on this machine alone by default. A browser names the page that asks (Origin), and only pages that
were allowed by name get an answer: any page in the world could ask else. Programs name none. A listener that does not
keep up loses messages, never the others; what listeners send is not read.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from hmpfit.errors import InputError, MissingExtraError

MOST_LISTENERS = 16
MOST_WAITING = 64  # messages that wait for a slow listener: about two seconds
_MOST_RECEIVED = 1024  # bytes of a message that a listener may send


class Broadcast:
    """A running server. Raises MissingExtraError without `websockets`, InputError when the address cannot be used."""

    def __init__(self, host: str, port: int, origins: Sequence[str] = ()) -> None:
        try:
            from websockets.sync.server import serve
            from websockets.typing import Origin
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "hmpfit live --websocket", "websockets", "pip install websockets (or hmpfit[live])"
            ) from error
        self._listeners: dict[int, _Listener] = {}
        self._lock = threading.Lock()
        self._first: str | None = None
        try:
            self._server = serve(
                self._attend, host, port, origins=[None, *map(Origin, origins)], max_size=_MOST_RECEIVED,
                compression=None, server_header=None,
            )  # fmt: skip
        except OSError as error:
            raise InputError(
                f"The WebSocket cannot listen on {host}:{port} ({error.strerror or error}); choose another --port."
            ) from error
        self.port = int(self._server.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="hmpfit live websocket", daemon=True)
        self._thread.start()

    def tell(self, message: str, first: bool = False) -> None:
        """Give a message to every listener; the `first` is kept for those that come later."""
        with self._lock:
            if first:
                self._first = message
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener.put(message)

    def close(self) -> None:
        """Send what waits, as far as listeners take it, and end."""
        with self._lock:
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener.put(None)
        for listener in listeners:
            listener.done.wait(1.0)
        self._server.shutdown()
        self._thread.join(timeout=2.0)

    def _attend(self, connection: Any) -> None:
        listener = _Listener()
        with self._lock:
            if len(self._listeners) >= MOST_LISTENERS:
                connection.close(1013, "too many listeners")
                return
            self._listeners[id(listener)] = listener
            if self._first is not None:
                listener.put(self._first)
        try:
            while (message := listener.take()) is not None:
                connection.send(message)
        except Exception:  # whatever ends a listener's connection is its own affair
            pass
        finally:
            with self._lock:
                self._listeners.pop(id(listener), None)
            listener.done.set()
            with contextlib.suppress(Exception):
                connection.close()


class _Listener:
    """Messages that wait for one listener; None is the end."""

    def __init__(self) -> None:
        self._waiting: deque[str | None] = deque(maxlen=MOST_WAITING)
        self._changed = threading.Condition()
        self.done = threading.Event()

    def put(self, message: str | None) -> None:
        with self._changed:
            self._waiting.append(message)
            self._changed.notify()

    def take(self) -> str | None:
        with self._changed:
            while not self._waiting:
                self._changed.wait(1.0)
            return self._waiting.popleft()
