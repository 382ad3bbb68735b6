"""Draw what a synthetic clip shows: finger motion from the generator or from recordings, staged before a camera."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hmpfit.datasets.joint_motion import read_motion, recording_to_hand_pose
from hmpfit.errors import HmpfitError, InputError
from hmpfit.geometry.rigid_transforms import inverse
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.hands.rigid_motion import move_hands
from hmpfit.records import Camera, Floats, HandMotion
from hmpfit.synthesis.clips import Appearance
from hmpfit.synthesis.motion import KINDS, generate_motion
from hmpfit.synthesis.places import Place, sample_place
from hmpfit.synthesis.staging import sample_appearance, sample_camera, stage
from hmpfit.synthesis.two_hands import sample_two_hands

log = logging.getLogger("hmpfit")

FPS = 30.0
_PLACE = 19  # of the random stream of rooms and camera paths, so that hands are those of clips without
_SHORTEST_S = 1.0  # of a usable stretch of a recording
SIDES = {"right": [True], "left": [False], "both": [True, False]}


@dataclass(frozen=True)
class SampledScene:
    """A scene before it is rendered; joints are [H, T, 21, 3], camera axes, meters."""

    motion: HandMotion
    joints: Floats
    camera: Camera
    look: Appearance
    generator: np.random.Generator
    place: Place | None = None


@dataclass(frozen=True)
class Recordings:
    """Stretches of recorded finger motion as right hands' poses [T, 15, 3] at `FPS`."""

    poses: tuple[Floats, ...]

    @classmethod
    def read(cls, path: Path, models: HandModels) -> "Recordings":
        """Read a recording or a folder of them; one that cannot be read is reported and left out.

        Raises InputError when nothing usable of at least a second is found.
        """
        files = sorted(path.rglob("*.npz")) if path.is_dir() else [path]
        kinematics = Kinematics.of(models.right, landmark_offsets=False)
        poses: list[Floats] = []
        reasons: list[str] = []
        for file in files:
            try:
                for recorded in read_motion(file):
                    found = recording_to_hand_pose(recorded, kinematics, FPS)
                    poses += [found.hand_pose[a:b] for a, b in _stretches(found.valid) if b - a >= _SHORTEST_S * FPS]
            except HmpfitError as error:
                reasons.append(str(error))
                log.warning("%s", error)
        if not poses:
            why = f" ({reasons[0]})" if reasons else ""
            raise InputError(f"'{path}' holds no recording of joints with a stretch of {_SHORTEST_S:g} s or more{why}.")
        return cls(tuple(poses))

    def draw(self, frames: int, generator: np.random.Generator) -> Floats:
        """Draw a stretch of `frames` frames; one that is too short runs forth and back."""
        pose = self.poses[int(generator.integers(len(self.poses)))]
        if len(pose) < frames:
            forth_and_back = np.concatenate((pose, pose[-2:0:-1]))
            return forth_and_back[np.arange(frames) % len(forth_and_back)]
        start = int(generator.integers(len(pose) - frames + 1))
        return pose[start : start + frames]


def sample_scene(
    models: HandModels,
    seed: int,
    frames: int,
    hands: str,
    width: int,
    height: int,
    recordings: Recordings | None,
    contact: str = "none",
    camera_path: str | None = None,
) -> SampledScene:
    """Draw the scene of one clip; the same arguments give the same scene. `hands`: "right", "left" or "both".

    `camera_path`: a name in `camera_paths.KINDS` for a room in which the camera moves so; None for a still camera
    before a flat backdrop.

    `contact`: "none", or how two hands meet: a name in `two_hands.CONTACTS` or "mixed". Raises InputError where hands
    that are to meet are not both there, or would move as recorded.
    """
    generator = np.random.default_rng(seed)
    if contact != "none":
        if hands != "both" or recordings is not None:
            raise InputError("--contact is for --hands both with generated motion; leave one of them out.")
        motion = sample_two_hands(contact, frames / FPS, FPS, models, generator)
        return _seen(motion, models, width, height, generator, camera_path, seed)
    poses = []
    for _ in SIDES[hands]:
        if recordings is not None:
            poses.append(recordings.draw(frames, generator))
        else:
            kind = str(generator.choice([name for name in KINDS if name != "rest"]))
            poses.append(generate_motion(kind, frames / FPS, FPS, generator))
    motion = stage(poses, SIDES[hands], models, FPS, generator)
    return _seen(motion, models, width, height, generator, camera_path, seed)


def _seen(
    motion: HandMotion, models: HandModels, width: int, height: int, generator: np.random.Generator,
    camera_path: str | None, seed: int,
) -> SampledScene:  # fmt: skip
    camera, place = sample_camera(width, height, generator), None
    if camera_path is not None:
        place = sample_place(camera_path, motion.transl.shape[1], FPS, np.random.default_rng((seed, _PLACE)))
        motion = replace(motion, transl=motion.transl + place.carried_m)
        motion = move_hands(motion, models, inverse(place.world_from_camera))
    return SampledScene(
        motion, pose_hands(models, motion).joints, camera, sample_appearance(generator), generator, place
    )


def _stretches(valid: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], valid, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
