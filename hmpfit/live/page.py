"""The live page: pictures with the hands' bones over them, and the hands in 3D.

Costs nothing while no browser shows it. Separate from `viewing.viewer`, which shows a finished result frame by frame.
"""

import threading
import time
from collections import OrderedDict
from typing import Any

import numpy as np

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.live.records import Image, LiveEstimate, LiveFrame, LiveHand
from hmpfit.records import DETECTED, Camera
from hmpfit.skeleton import BONES
from hmpfit.viewing.drawing import draw_bones
from hmpfit.viewing.keyed_server import KeyGate, open_server
from hmpfit.viewing.overlay import LEFT_RGB, RIGHT_RGB

_SIDE_PX = 640  # of the picture that is sent
_EVERY_S = 1 / 15
_KEPT = 120  # pictures that wait for their hands


class LivePage:
    """A running viser server, for browsers that have its `key`.

    Raises MissingExtraError without viser, InputError when the port cannot be used.
    """

    def __init__(self, camera: Camera, host: str, port: int) -> None:
        gate = KeyGate()
        self.key = gate.key
        try:
            self.server = open_server(gate, host, port, "hmpfit live")
        except ModuleNotFoundError as error:
            raise MissingExtraError("the live page", "viser", "pip install viser (or hmpfit[live])") from error
        except OSError as error:
            raise InputError(f"Port {port} cannot be used ({error.strerror}); choose another --view-port.") from error
        self._camera, self._scale = camera, min(1.0, _SIDE_PX / max(camera.width, camera.height))
        self._pictures: OrderedDict[int, Image] = OrderedDict()
        self._lock = threading.Lock()
        self._shown_s = 0.0
        self._bones: dict[str, Any] = {}
        scene, gui = self.server.scene, self.server.gui
        scene.set_up_direction("-y")
        view = float(2 * np.arctan2(camera.height / 2, camera.K[0, 1, 1]))
        scene.add_camera_frustum("/camera", view, camera.width / camera.height, scale=0.15, thickness=0.002)
        first = self.server.initial_camera
        first.position, first.look_at, first.up = (0.0, -0.15, -0.25), (0.0, 0.0, 0.6), (0.0, -1.0, 0.0)
        self._text = gui.add_markdown("waiting for hands")
        size = max(2, round(camera.height * self._scale)), max(2, round(camera.width * self._scale))
        self._image = gui.add_image(np.zeros((*size, 3), np.uint8), format="jpeg", jpeg_quality=80)

    @property
    def port(self) -> int:
        """The port that the server listens on; viser takes the next free one when the wanted one is busy."""
        return int(self.server.get_port())

    @property
    def watched(self) -> bool:
        """Whether a browser has the page open."""
        return bool(self.server.get_clients())

    def frame(self, frame: LiveFrame) -> None:
        """Keep a picture until its hands are known, if a browser has the page open."""
        if not self.watched:
            return
        import cv2

        size = max(2, round(frame.image.shape[1] * self._scale)), max(2, round(frame.image.shape[0] * self._scale))
        small = np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        with self._lock:
            self._pictures[frame.number] = small
            while len(self._pictures) > _KEPT:
                self._pictures.popitem(last=False)

    def show(self, estimates: list[LiveEstimate], words: str) -> None:
        """Show the newest frame, a few times a second."""
        if not estimates or not self.watched or time.monotonic() - self._shown_s < _EVERY_S:
            return
        self._shown_s = time.monotonic()
        newest = estimates[-1]
        with self._lock:
            image = self._pictures.get(newest.number)
            for number in [number for number in self._pictures if number <= newest.number]:
                del self._pictures[number]
        with self.server.atomic():
            if image is not None:
                for hand in newest.hands:
                    draw_bones(image, hand.landmarks_px * self._scale, None, 2)
                self._image.image = image
            self._text.content = words
            self._show_bones(newest)

    def close(self) -> None:
        """Stop the server."""
        self.server.stop()

    def _show_bones(self, estimate: LiveEstimate) -> None:
        names = {f"/hand_{hand.hand_id}": hand for hand in estimate.hands}
        for name in [name for name in self._bones if name not in names]:
            self._bones.pop(name).remove()
        for name, hand in names.items():
            points = hand.joints.astype(np.float32)[np.array(BONES)]
            if name in self._bones:
                self._bones[name].points = points
            else:
                self._bones[name] = self.server.scene.add_line_segments(name, points, _color(hand), thickness=0.004)


def _color(hand: LiveHand) -> tuple[int, int, int]:
    color = RIGHT_RGB if hand.is_right else LEFT_RGB
    return color if hand.status == DETECTED else (color[0] // 2, color[1] // 2, color[2] // 2)
