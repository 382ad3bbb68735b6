"""`hmpfit view`: a run in 3D in the browser, with viser: hands, skeletons, uncertainty, camera and its image.

Needs no display and no network: viser serves the page itself. Where the camera moves through a known world all is shown
there, with the camera's path; else the camera's axes are kept. "Up" is the (first) image's up.
"""

import contextlib
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.exporters.animation import frames_per_second, hand_labels, hand_vertices
from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, STATUS_NAMES, Floats
from hmpfit.results.frames import move_result
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import BONES
from hmpfit.video.clip import Clip, open_clip
from hmpfit.viewing.first_view import eye_on_hands, picture_distance
from hmpfit.viewing.overlay import LEFT_RGB, RIGHT_RGB

IMAGE_SIDE_PX = 480  # of the picture in the frustum: enough to recognize, little to send
SURE_MM, UNSURE_MM = 5.0, 40.0  # green and red ends of the joints' colors
LOOPBACK = "127.0.0.1"
_FRUSTUM_SCALE = 0.15
_SPEEDS = ("0.25", "0.5", "1", "2")


class Viewer:
    """A running viser server that shows one frame of a result at a time.

    `video` may be None: then the frustum is empty. Only this machine can open the page unless `host` says otherwise.
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
    ) -> None:
        try:
            import viser
        except ModuleNotFoundError as error:
            raise MissingExtraError("hmpfit view", "viser", "pip install viser (or hmpfit[view])") from error
        path = result.world_from_camera
        moves = path is not None and result.camera_motion is not None and result.camera_motion.moves
        self._path = path if moves else None
        result = result if self._path is None else move_result(result, models, self._path)
        self.result, self.labels = result, hand_labels(result)
        self._vertices = hand_vertices(result, models)
        self._clip = None if video is None else open_clip(video, mirrored=mirrored)
        self._first = first_frame
        self._lock, self._closed = threading.Lock(), threading.Event()
        self.frames = len(result.tracks.times_s)
        _check_host(host)
        self.host = host
        try:
            self.server = viser.ViserServer(host=host, port=port, label="hmpfit", verbose=False)
        except OSError as error:
            raise InputError(f"Port {port} cannot be used ({error.strerror}); choose another with --port.") from error
        self._build(models)
        self.show(0)

    @property
    def port(self) -> int:
        """The port that the server listens on; viser takes the next free one when the wanted one is busy."""
        return int(self.server.get_port())

    @property
    def address(self) -> str:
        """The page's address as a browser on this machine opens it."""
        host = "localhost" if self.open_to_others and self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def open_to_others(self) -> bool:
        """Whether other machines can open the page."""
        return self.host != "localhost" and not self.host.startswith("127.") and self.host != "::1"

    def show(self, frame: int) -> None:
        """Show one frame: meshes, joints colored by their uncertainty, bones, statuses, picture."""
        frame = int(np.clip(frame, 0, self.frames - 1))
        with self._lock, self.server.atomic():
            for hand, label in enumerate(self.labels):
                joints = self.result.joints[hand, frame].astype(np.float32)
                self.meshes[label].vertices = self._vertices[hand, frame].astype(np.float32)
                self.meshes[label].opacity = 0.9 if self.result.motion.status[hand, frame] == DETECTED else 0.45
                self.joints[label].points = joints
                self.joints[label].colors = _colors(self.result.from_wrist_mm[hand, frame])
                self.bones[label].points = joints[np.array(BONES)]
            self.text.content = _words(self.result, self.labels, frame, self._first)
            if self._path is not None:
                self.frustum.position = self._path[frame, :3, 3]
                x, y, z, w = Rotation.from_matrix(self._path[frame, :3, :3]).as_quat()
                self.frustum.wxyz = (w, x, y, z)
            if self._clip is not None:
                self.frustum.image = _picture(self._clip, frame + self._first)

    def play_until_closed(self) -> None:
        """Advance the slider in real time while "play" is ticked; returns on KeyboardInterrupt and after `close`."""
        rate = frames_per_second(self.result)
        while not self._closed.wait(1.0 / (rate * float(self.speed.value))):
            if self.play.value:
                self.slider.value = (self.slider.value + 1) % self.frames

    def close(self) -> None:
        """Stop the server."""
        self._closed.set()
        self.server.stop()

    def _build(self, models: HandModels) -> None:
        scene, gui, camera = self.server.scene, self.server.gui, self.result.camera
        scene.set_up_direction("-y")
        K = camera.K[0]
        view = float(2 * np.arctan2(camera.height / 2, K[1, 1]))
        start = np.eye(4) if self._path is None else np.asarray(self._path[0], dtype=float)
        places = self.result.joints[:, 0].reshape(-1, 3)
        scale = _look_at_hands(self.server, places, start, view, camera.width / camera.height)
        self.meshes: dict[str, Any] = {}
        self.joints: dict[str, Any] = {}
        self.bones: dict[str, Any] = {}
        for hand, label in enumerate(self.labels):
            is_right = bool(self.result.motion.is_right[hand])
            faces = models.side(is_right).faces if is_right else models.side(is_right).faces[:, ::-1]
            points = self.result.joints[hand, 0].astype(np.float32)
            color = RIGHT_RGB if is_right else LEFT_RGB
            self.meshes[label] = scene.add_mesh_simple(
                f"/{label}_hand/mesh", self._vertices[hand, 0].astype(np.float32), faces, color=color, side="double"
            )
            self.joints[label] = scene.add_point_cloud(
                f"/{label}_hand/joints",
                points,
                (0, 200, 0),
                point_size=0.008,
                point_shape="circle",
                precision="float32",
            )
            self.bones[label] = scene.add_line_segments(
                f"/{label}_hand/bones", points[np.array(BONES)], color, thickness=0.003
            )
        self.frustum = scene.add_camera_frustum(
            "/camera", view, camera.width / camera.height, scale=scale, thickness=0.002
        )
        if self._path is not None:
            steps = np.stack((self._path[:-1, :3, 3], self._path[1:, :3, 3]), axis=1).astype(np.float32)
            scene.add_line_segments("/camera_path", steps, (120, 120, 120), thickness=0.002)
        self.slider: Any = gui.add_slider("frame", 0, max(self.frames - 1, 1), 1, 0)
        self.play = gui.add_checkbox("play", False)
        self.speed = gui.add_dropdown("speed", _SPEEDS, initial_value="1")
        shown = gui.add_checkbox("meshes", True)
        self.text = gui.add_markdown("")
        self.slider.on_update(lambda _: self.show(int(self.slider.value)))

        def show_meshes(_: Any) -> None:
            for mesh in self.meshes.values():
                mesh.visible = shown.value

        shown.on_update(show_meshes)


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


def _words(result: StoredResult, labels: Sequence[str], frame: int, first_frame: int) -> str:
    """Return what the page says of a frame."""
    lines = [f"frame {frame + first_frame}, {result.tracks.times_s[frame]:.2f} s"]
    for hand, label in enumerate(labels):
        status = STATUS_NAMES[int(result.motion.status[hand, frame])]
        std_mm = float(np.median(result.from_wrist_mm[hand, frame, 1:]))
        known = f", joints known to {std_mm:.1f} mm" if np.isfinite(std_mm) else ""
        lines.append(f"{label} hand: {status}{known}")
    return "  \n".join(lines)


def _picture(clip: Clip, frame: int) -> NDArray[np.uint8]:
    """Return a frame of the clip, small enough to send."""
    import cv2

    _, image = next(iter(clip.images(frame, frame + 1)))
    scale = min(1.0, IMAGE_SIDE_PX / max(image.shape[:2]))
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)


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


def _colors(std_mm: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return RGB [21, 3] from green (sure) over yellow to red (unsure); gray where nothing is known."""
    share = np.clip((std_mm - SURE_MM) / (UNSURE_MM - SURE_MM), 0, 1)
    ramp = np.stack((np.minimum(2 * share, 1) * 230, np.minimum(2 - 2 * share, 1) * 200, 60 + 0 * share), axis=-1)
    return np.where(np.isfinite(std_mm)[:, None], np.nan_to_num(ramp), 150).astype(np.uint8)
