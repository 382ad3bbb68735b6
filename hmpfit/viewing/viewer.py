"""`hmpfit view`: a run, or two side by side, in 3D in the browser, with viser: hands, uncertainty, camera, picture.

Needs no display and no network: viser serves the page itself. Where the camera moves through a known world all is shown
there, with the camera's path; else the camera's axes are kept. "Up" is the (first) image's up.
"""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.exporters.animation import frames_per_second
from hmpfit.hands.model import HandModels
from hmpfit.records import Floats
from hmpfit.results.frames import move_result
from hmpfit.results.npz import StoredResult
from hmpfit.video.clip import open_clip
from hmpfit.viewing.first_view import eye_on_hands, picture_distance
from hmpfit.viewing.keyed_server import KeyGate, open_server
from hmpfit.viewing.overlay import LEFT_RGB, RIGHT_RGB
from hmpfit.viewing.pictures import PicturesAhead
from hmpfit.viewing.shown_hands import ShownHands

IMAGE_SIDE_PX = 480  # of the picture in the frustum: enough to recognize, little to send
LOOPBACK = "127.0.0.1"
OVER, BESIDE, HIDDEN = "over the first", "beside it", "hidden"
_OTHER_RGB = ((255, 150, 30), (40, 190, 110))  # of a second run's right and left hands
_FRUSTUM_SCALE = 0.15
_SPEEDS = ("0.25", "0.5", "1", "2")
_IDLE_S = 0.05
_LEAST_BESIDE_M, _BESIDE_WIDTHS = 0.2, 1.2


@dataclass(frozen=True)
class OtherRun:
    """A second result to show with the first, of the same video; `first_frame` as the first's."""

    result: StoredResult
    first_frame: int
    name: str


class Viewer:
    """A running viser server that shows one frame of a result, and of a second one beside it, at a time.

    `video` may be None: then the frustum is empty. Only this machine can open the page unless `host` says otherwise,
    and only with the key in `address`; a page of this machine on `frame_port` may show it in a frame.

    Raises MissingExtraError without viser, InputError when host or port cannot be used.
    """

    def __init__(
        self,
        result: StoredResult,
        models: HandModels,
        video: Path | None,
        first_frame: int = 0,
        port: int = 8080,
        mirrored: bool = False,
        host: str = LOOPBACK,
        other: OtherRun | None = None,
        frame_port: int | None = None,
    ) -> None:
        results = [result] if other is None else [result, other.result]
        moves = all(one.camera_motion is not None and one.camera_motion.moves for one in results)
        self._path = result.world_from_camera if moves else None
        results = [_in_the_world(one, models) for one in results] if moves else results
        self._clip = None if video is None else PicturesAhead(open_clip(video, mirrored=mirrored), IMAGE_SIDE_PX)
        self._first = first_frame
        self._lock, self._closed = threading.Lock(), threading.Event()
        self.result, self.frames = results[0], len(result.tracks.times_s)
        _check_host(host)
        self.host = host
        gate = KeyGate(frame_port)
        self.key = gate.key
        try:
            self.server = open_server(gate, host, port, "hmpfit")
        except ModuleNotFoundError as error:
            raise MissingExtraError("hmpfit view", "viser", "pip install viser (or hmpfit[view])") from error
        except OSError as error:
            raise InputError(f"Port {port} cannot be used ({error.strerror}); choose another with --port.") from error
        self.shown = [ShownHands(self.server.scene, results[0], models, (RIGHT_RGB, LEFT_RGB), first_frame, "")]
        if other is not None:
            second = ShownHands(self.server.scene, results[1], models, _OTHER_RGB, other.first_frame, "/second")
            self.shown.append(second)
        width_m = float(np.ptp(self.result.joints[..., 0], axis=(0, 2)).max())  # of one frame's hands
        self._aside_m = max(_BESIDE_WIDTHS * width_m, _LEAST_BESIDE_M)
        self._build_scene()
        self._build_controls(other)
        self.show(0)

    @property
    def port(self) -> int:
        """The port that the server listens on; viser takes the next free one when the wanted one is busy."""
        return int(self.server.get_port())

    @property
    def address(self) -> str:
        """The page's address, with its key, as a browser on this machine opens it."""
        host = "localhost" if self.open_to_others and self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/?key={self.key}"

    @property
    def open_to_others(self) -> bool:
        """Whether other machines can open the page."""
        return self.host != "localhost" and not self.host.startswith("127.") and self.host != "::1"

    def show(self, frame: int) -> None:
        """Show one frame of the first result: meshes, joints colored by their uncertainty, bones, statuses, picture."""
        frame = int(np.clip(frame, 0, self.frames - 1))
        picture = None if self._clip is None else self._clip.get(frame + self._first)
        with self._lock, self.server.atomic():
            for number, hands in enumerate(self.shown):
                hands.show(frame + self._first, number == 0 or self.place.value != HIDDEN, self.show_meshes.value)
            self.text.content = self._words(frame)
            if self._path is not None:
                self.frustum.position = self._path[frame, :3, 3]
                x, y, z, w = Rotation.from_matrix(self._path[frame, :3, :3]).as_quat()
                self.frustum.wxyz = (w, x, y, z)
            if picture is not None:
                self.frustum.image = picture

    def play_until_closed(self) -> None:
        """Advance the slider in real time while "play" is ticked; returns on KeyboardInterrupt and after `close`.

        Where this machine is too slow frames are left out, so that the hands move at their own speed.
        """
        rate, due = frames_per_second(self.result), time.monotonic()
        while not self._closed.is_set():
            now = time.monotonic()
            if not self.play.value:
                due = now
                self._closed.wait(_IDLE_S)
            elif now < due:
                self._closed.wait(due - now)
            else:
                per_frame_s = 1.0 / (rate * float(self.speed.value))
                steps = 1 + int((now - due) / per_frame_s)
                due += steps * per_frame_s
                self.slider.value = (int(self.slider.value) + steps) % self.frames

    def close(self) -> None:
        """Stop the server."""
        self._closed.set()
        if self._clip is not None:
            self._clip.close()
        self.server.stop()

    def _build_scene(self) -> None:
        scene, camera = self.server.scene, self.result.camera
        scene.set_up_direction("-y")
        view = float(2 * np.arctan2(camera.height / 2, camera.K[0, 1, 1]))
        start = np.eye(4) if self._path is None else np.asarray(self._path[0], dtype=float)
        places = self.result.joints[:, 0].reshape(-1, 3)
        if len(self.shown) > 1:
            places = np.concatenate((places, places + np.array([self._aside_m, 0, 0])))
        scale = _look_at_hands(self.server, places, start, view, camera.width / camera.height)
        self.frustum = scene.add_camera_frustum(
            "/camera", view, camera.width / camera.height, scale=scale, thickness=0.0005
        )
        if self._path is not None:
            steps = np.stack((self._path[:-1, :3, 3], self._path[1:, :3, 3]), axis=1).astype(np.float32)
            scene.add_line_segments("/camera_path", steps, (120, 120, 120), thickness=0.002)

    def _build_controls(self, other: OtherRun | None) -> None:
        gui = self.server.gui
        self.slider: Any = gui.add_slider("frame", 0, max(self.frames - 1, 1), 1, 0)
        self.play = gui.add_checkbox("play", False)
        self.speed = gui.add_dropdown("speed", _SPEEDS, initial_value="1")
        self.show_meshes = gui.add_checkbox("meshes", True)
        self.place = gui.add_dropdown("second run", (BESIDE, OVER, HIDDEN), visible=other is not None)
        self.text = gui.add_markdown("")
        self._names = () if other is None else ("first (magenta, blue)", f"{other.name} (orange, green)")
        for control in (self.slider, self.show_meshes, self.place):
            control.on_update(lambda _: self._update())
        self._place_second()

    def _update(self) -> None:
        self._place_second()
        self.show(int(self.slider.value))

    def _place_second(self) -> None:
        if len(self.shown) > 1:
            self.shown[1].move((self._aside_m if self.place.value == BESIDE else 0.0, 0.0, 0.0))

    def _words(self, frame: int) -> str:
        """Return the page's text for a frame."""
        lines = [f"frame {frame + self._first}, {self.result.tracks.times_s[frame]:.2f} s"]
        for number, hands in enumerate(self.shown):
            lines += [f"**{self._names[number]}**"] if self._names else []
            lines += hands.words(frame + self._first)
        return "  \n".join(lines)


def _in_the_world(result: StoredResult, models: HandModels) -> StoredResult:
    assert result.world_from_camera is not None
    return move_result(result, models, result.world_from_camera)


def _look_at_hands(server: Any, joints: Floats, start: Floats, view: float, aspect: float) -> float:
    """Have browsers start looking at the first frame's hands; return a scale that keeps the picture before them."""
    joints = joints[np.isfinite(joints).all(axis=1)]
    if not len(joints):
        return _FRUSTUM_SCALE
    in_camera = (joints - start[:3, 3]) @ start[:3, :3]
    half_height = float(np.tan(view / 2))
    per_m = float(np.cbrt(half_height**2 * aspect / 3))  # viser keeps a frustum's volume, whatever its view
    plane_m = picture_distance(in_camera, _FRUSTUM_SCALE / per_m)
    eye, target = eye_on_hands(in_camera, np.array([half_height * aspect, half_height]) * plane_m, plane_m)
    first = server.initial_camera
    first.position = start[:3, :3] @ eye + start[:3, 3]
    first.look_at = start[:3, :3] @ target + start[:3, 3]
    first.up = (0.0, -1.0, 0.0)
    return plane_m * per_m


def _check_host(host: str) -> None:
    """Raise InputError where this machine cannot listen on a host."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM)[0]
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.bind(place)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"This machine cannot listen on '{host}' ({error}); use --host 127.0.0.1 for this machine alone, or one "
            "of its own addresses."
        ) from error
