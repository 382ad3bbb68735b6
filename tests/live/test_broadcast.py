"""The WebSocket of `hmpfit live`: who may listen, and what they hear."""

import json
from collections.abc import Iterator

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.live.broadcast import MOST_WAITING, Broadcast, _Listener
from hmpfit.live.messages import SCHEMA, end_message, frame_message, header
from hmpfit.live.records import LiveCounts, LiveEstimate, LiveHand
from tests.live.made_stream import CAMERA

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")


@pytest.fixture
def broadcast() -> Iterator[Broadcast]:
    opened = Broadcast("127.0.0.1", 0, ["http://localhost:3000"])
    yield opened
    opened.close()


def _estimate() -> LiveEstimate:
    hand = LiveHand(
        3, False, 2, np.zeros(3), np.zeros((15, 3)), np.array([0.1, 0, 0.5]), np.zeros(10), np.ones((21, 3)) / 3,
        np.zeros((21, 2)),
    )  # fmt: skip
    return LiveEstimate(7, 0.25, 0.4, (hand,))


def test_a_listener_hears_what_numbers_mean_and_then_the_frames(broadcast: Broadcast) -> None:
    broadcast.tell(header(CAMERA, 30.0), first=True)
    with client.connect(f"ws://127.0.0.1:{broadcast.port}") as listener:
        start = json.loads(listener.recv(timeout=5))
        assert (start["schema"], start["type"], len(start["joint_names"])) == (SCHEMA, "start", 21)
        broadcast.tell(frame_message(_estimate()))
        frame = json.loads(listener.recv(timeout=5))
        assert frame["frame"] == 7 and frame["hands"][0]["side"] == "left"
        assert np.shape(frame["hands"][0]["joints"]) == (21, 3) and frame["hands"][0]["joints"][0][0] == 0.33333
        broadcast.tell(end_message(LiveCounts(10, 1, 9), "ended"))
        assert json.loads(listener.recv(timeout=5))["dropped"] == 1


def test_pages_from_elsewhere_are_refused_and_allowed_ones_are_not(broadcast: Broadcast) -> None:
    address = f"ws://127.0.0.1:{broadcast.port}"
    for origin in ("http://evil.example", "http://localhost:8080", "null"):
        with pytest.raises(exceptions.InvalidStatus):
            client.connect(address, origin=origin)
    with client.connect(address, origin="http://localhost:3000"):
        pass


def test_a_listener_may_not_send_much(broadcast: Broadcast) -> None:
    with client.connect(f"ws://127.0.0.1:{broadcast.port}") as listener:
        listener.send("x" * 100_000)
        with pytest.raises(exceptions.ConnectionClosed):
            listener.recv(timeout=5)


def test_a_slow_listener_loses_the_oldest_messages() -> None:
    listener = _Listener()
    for n in range(MOST_WAITING + 5):
        listener.put(str(n))
    assert listener.take() == "5"


def test_a_port_that_is_taken_is_said(broadcast: Broadcast) -> None:
    with pytest.raises(InputError, match="choose another"):
        Broadcast("127.0.0.1", broadcast.port)
