"""The demo's motion: one right hand that opens, makes a fist, points, counts and pinches while it turns and travels.

Separate from `motion`, whose kinds are drawn at random for training; this one is a script, and its wrist moves too.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, HandMotion
from hmpfit.synthesis.hand_degrees_of_freedom import DOFS, Subject, angles_to_hand_pose
from hmpfit.synthesis.handshapes import SHAPES
from hmpfit.synthesis.motion import EVERYTHING, Scene
from hmpfit.synthesis.timing import through

SCRIPT = ("open", "fist", "point", "2", "three", "4", "open", "9", "8", "7", "6", "open", "relaxed")
MOVE_S, HOLD_S = 0.34, 0.16

# Model axes -> camera axes for a hand held up, palm to the camera: fingers (-x) up, palm (-y) towards the camera.
PALM_TO_CAMERA = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

# Slow turns and travel around the middle of the picture: amplitude, and cycles over the clip.
_TURN_DEG = ((18.0, 1.3), (32.0, 1.0), (22.0, 0.8))  # about the camera's x, y, z
_TRAVEL_M = ((0.045, 1.1), (0.02, 1.7), (0.06, 0.9))
_CENTER_M = (0.0, 0.06, 0.47)


def demo_motion(
    models: HandModels, generator: np.random.Generator, seconds: float = 6.0, fps: float = 30.0
) -> HandMotion:
    """Return the scripted motion of one right hand in camera axes, T = round(seconds * fps) frames.

    The person (shape, proportions of movement, pace of the turns) is drawn from the generator.
    """
    times_s = np.arange(max(round(seconds * fps), 1)) / fps
    subject = Subject.sample(generator)
    scene = Scene(subject, times_s, fps, generator, EVERYTHING)
    wanted = max(2, int(np.ceil(seconds / (MOVE_S + HOLD_S))) + 1)
    postures = np.array([scene.posture(SHAPES[SCRIPT[i % len(SCRIPT)]], looseness=1.5) for i in range(wanted)])
    moves, holds = np.full(wanted - 1, MOVE_S), np.full(wanted - 1, HOLD_S)
    angles = through(postures, moves, holds, times_s - 0.2, generator) + 0.4 * scene.noise(0.6, len(DOFS))

    phase = times_s / max(seconds, 1e-9)
    turns = np.deg2rad(np.stack([wave(phase, *turn, generator) for turn in _TURN_DEG], axis=1))
    orient = Rotation.from_euler("xyz", turns) * Rotation.from_matrix(PALM_TO_CAMERA)
    wrist = np.stack([wave(phase, *move, generator) for move in _TRAVEL_M], axis=1) + np.array(_CENTER_M)
    betas = generator.normal(0, 0.5, 10)
    model = models.right
    rest_wrist = model.J_regressor[0] @ (model.v_template + model.shapedirs @ betas)
    return HandMotion(
        global_orient=orient.as_rotvec()[None],
        hand_pose=angles_to_hand_pose(angles, subject)[None],
        transl=(wrist - rest_wrist)[None],
        betas=betas[None],
        is_right=np.array([True]),
        status=np.full((1, len(times_s)), DETECTED, np.uint8),
    )


def wave(
    phase: NDArray[np.float64], amplitude: float, cycles: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return two slow sines with drawn phases, within the amplitude, at a phase that runs from 0 to 1."""
    first, second = generator.uniform(0, 1, 2)
    slow, quick = np.sin(2 * np.pi * (cycles * phase + first)), np.sin(2 * np.pi * (2.3 * cycles * phase + second))
    return amplitude * (0.75 * slow + 0.25 * quick)
