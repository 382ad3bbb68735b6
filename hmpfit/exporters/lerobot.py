"""LeRobot v3.0 data sets: wrist pose and finger state per frame, the next frame as action, the clip as video.

Every export adds its episodes to the data set in the folder, so that many runs make one. A person is an episode: two
slots, right and left, of which one may be empty. The files themselves are `lerobot_files.py`'s.
"""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from hmpfit.errors import InputError
from hmpfit.exporters.animation import frames_per_second
from hmpfit.exporters.lerobot_files import DatasetFolder, Episode
from hmpfit.exporters.persons import persons
from hmpfit.geometry.rotations import exp, to_6d
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import MANO_HAND_JOINTS, OPENPOSE_21
from hmpfit.video.clip import Clip, open_clip

SIDES = ("right", "left")
ABSENT, UNKNOWN_MM = -1, -1.0  # status of an empty slot; standard deviation where none was computed
_WRIST = ("x", "y", "z", *(f"rot6d_{number}" for number in range(6)))
STATE_NAMES = (*_WRIST, *(f"{joint}_{axis}" for joint in MANO_HAND_JOINTS for axis in "xyz"))
_LOG = logging.getLogger("hmpfit")


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Add the result's episodes to the data set in `out/lerobot` (made if missing) and return its `meta/info.json`.

    `observation.state` and `action` [108]: per hand, right then left, the wrist's place (meters) and turn (first two
    columns of its matrix), then 15 absolute finger angles as axis-angle. `observation.joints` [126] are the 21 joints,
    `observation.status` [2] (-1: no such hand) and `observation.joint_std_mm` [42] are for masks. `timestamp` counts
    frames at the data set's constant rate; `observation.time_s` is the clip's own time. A result that is in the data
    set already is not added again. Raises InputError when the rate or the features differ, MissingExtraError without
    pyarrow.
    """
    folder = DatasetFolder(out / "lerobot", frames_per_second(result))
    clip = _clip(result, options)
    for person, hands in enumerate(persons(result)):
        digest = hashlib.sha256(f"{person}{options.frame}{options.task}".encode())
        digest.update(np.ascontiguousarray(result.joints).tobytes())
        if folder.holds(digest.hexdigest()):
            _LOG.warning("the data set '%s' holds this result already; it was not added again", folder.root)
            continue
        images = None if clip is None else _images(clip, options)
        columns = _columns(result, hands)
        names = {column: _names(column) for column in columns}
        size = None if clip is None else (clip.width, clip.height)
        folder.add(Episode(columns, names, options.task, digest.hexdigest(), images, size))
    return [folder.root / "meta" / "info.json"]


def _clip(result: StoredResult, options: ExportOptions) -> Clip | None:
    if options.video is None:
        _LOG.warning("no clip is known for this result: the data set gets no video")
        return None
    if not options.video.exists():
        raise InputError(f"The clip '{options.video}' is not there any more; give --video PATH, or --video none.")
    frames = len(result.tracks.times_s)
    clip = open_clip(options.video, (options.first_frame, options.first_frame + frames), mirrored=options.mirrored)
    if clip.frames != frames:
        raise InputError(f"'{options.video}' has {clip.frames} of the result's {frames} frames: it is another clip.")
    return clip


def _images(clip: Clip, options: ExportOptions) -> Iterator[np.ndarray]:
    advance = options.progress.phase("video", clip.frames)
    for _, image in clip.images():
        yield image
        advance()


def _columns(result: StoredResult, hands: list[int]) -> dict[str, np.ndarray]:
    """Return the columns of an episode, [T, n] each, with zeros in the slot of a hand that is not there."""
    motion, frames = result.motion, len(result.tracks.times_s)
    state = np.zeros((frames, 2, len(STATE_NAMES)))
    joints, std_mm = np.zeros((frames, 2, 21, 3)), np.full((frames, 2, 21), UNKNOWN_MM)
    status = np.full((frames, 2), ABSENT)
    for hand in hands:
        slot = 0 if motion.is_right[hand] else 1
        turned = to_6d(exp(torch.as_tensor(motion.global_orient[hand], dtype=torch.float64))).numpy()
        fingers = motion.hand_pose[hand].reshape(frames, -1)
        state[:, slot] = np.concatenate((result.joints[hand, :, 0], turned, fingers), axis=1)
        joints[:, slot], status[:, slot] = result.joints[hand], motion.status[hand]
        std_mm[:, slot] = np.nan_to_num(result.joint_std_mm[hand], nan=UNKNOWN_MM)
    flat = state.reshape(frames, -1).astype(np.float32)
    return {
        "observation.state": flat,
        "action": np.concatenate((flat[1:], flat[-1:])),
        "observation.joints": joints.reshape(frames, -1).astype(np.float32),
        "observation.joint_std_mm": std_mm.reshape(frames, -1).astype(np.float32),
        "observation.status": status.astype(np.int64),
        "observation.time_s": result.tracks.times_s[:, None].astype(np.float32),
    }


def _names(column: str) -> list[str]:
    """Return the names of a column's numbers, as `info.json` lists them."""
    if column in ("observation.state", "action"):
        return [f"{side}_{name}" for side in SIDES for name in STATE_NAMES]
    if column == "observation.joints":
        return [f"{side}_{joint}_{axis}" for side in SIDES for joint in OPENPOSE_21 for axis in "xyz"]
    if column == "observation.joint_std_mm":
        return [f"{side}_{joint}" for side in SIDES for joint in OPENPOSE_21]
    return list(SIDES) if column == "observation.status" else ["time_s"]
