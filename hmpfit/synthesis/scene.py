"""One take of generated motion: who moves, when, with what vocabulary, and how a posture is made. numpy only."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.synthesis.hand_degrees_of_freedom import DIP, DOFS, INDEX, MCP, PIP, SPREAD, Subject
from hmpfit.synthesis.handshapes import FINGER_CODES, GRASPS, SHAPES, THUMBS, Handshape
from hmpfit.synthesis.pinches import pinched
from hmpfit.synthesis.timing import smooth_noise, through

Floats = NDArray[np.float64]

# Turns, in degrees, that lay the fingers of the splayed flat hand side by side.
FINGERS_TOGETHER = np.array([-6.0, 0.0, 6.0, 14.0])


@dataclass(frozen=True)
class Vocabulary:
    """Which words and grasp types may occur."""

    words: tuple[str, ...]
    grasps: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """One take: who moves, when, and with what vocabulary."""

    subject: Subject
    times_s: Floats  # [T]
    fps: float
    generator: np.random.Generator
    vocabulary: Vocabulary

    @property
    def seconds(self) -> float:
        """Length of the take."""
        return len(self.times_s) / self.fps

    @property
    def shapes(self) -> dict[str, Handshape]:
        """All postures of the vocabulary."""
        left_out = {name + end for name in GRASPS if name not in self.vocabulary.grasps for end in ("", "_open")}
        return {name: shape for name, shape in SHAPES.items() if name not in left_out}

    def uniform(self, low: float, high: float) -> float:
        """Draw a number."""
        return float(self.generator.uniform(low, high))

    def noise(self, cutoff_hz: float, channels: int = len(DOFS)) -> Floats:
        """Draw smooth unit noise [T, channels]."""
        return smooth_noise(len(self.times_s), channels, self.fps, cutoff_hz, self.generator)

    def posture(self, shape: Handshape, gap_mm: float = 0.0, looseness: float = 3.0) -> Floats:
        """Return a handshape's angles [21], as this subject happens to make it this time."""
        angles = np.zeros(len(DOFS))
        for f, code in enumerate(shape.fingers):
            angles[[MCP[f], PIP[f], DIP[f]]] = FINGER_CODES[code]
        angles[SPREAD] = FINGERS_TOGETHER + shape.spread * np.array([1.0, 0.15, -0.5, -1.4])
        angles[INDEX["thumb_bend"] :] = THUMBS[shape.thumb]
        angles += self.generator.normal(0, looseness, len(DOFS)) * np.where(
            np.isin(np.arange(len(DOFS)), SPREAD), 0.5, 1
        )
        return pinched(angles, shape.pinched, self.subject, gap_mm) if shape.pinched else angles

    def sequence(self, shapes: list[Handshape], move_s: tuple[float, float], hold_s: tuple[float, float]) -> Floats:
        """Move through handshapes, durations drawn from the ranges and repeated until the take is full, [T, 21]."""
        pace = self.subject.pace
        moves: list[float] = []
        holds: list[float] = []
        postures = [self.posture(shapes[0])]
        i = 0
        while sum(moves) + sum(holds) < self.seconds + 1:
            i += 1
            moves.append(pace * self.uniform(*move_s))
            holds.append(pace * self.uniform(*hold_s))
            postures.append(self.posture(shapes[i % len(shapes)]))
        start = self.uniform(0, 0.5)
        return through(np.array(postures), np.array(moves), np.array(holds), self.times_s + start, self.generator)

    def choose(self, names: Mapping[str, Handshape] | tuple[Handshape, ...], count: int) -> list[Handshape]:
        """Draw handshapes, with repetition."""
        pool = list(names.values()) if isinstance(names, Mapping) else list(names)
        return [pool[i] for i in self.generator.integers(0, len(pool), count)]
