"""Motions made by formula, for training tests."""

import numpy as np


def waving_fingers(
    clips: int, rates_hz: tuple[float, float], mean: float, swing: float, frames: int = 150
) -> list[np.ndarray]:
    """Return finger poses [frames, 15, 3] (radians) at 30 frames/s whose joints flex as sines of those frequencies."""
    generator = np.random.default_rng(0)
    out = []
    for _ in range(clips):
        phase, rate = generator.uniform(0, 6, 15), generator.uniform(*rates_hz)
        flexion = mean + swing * np.sin(phase + 2 * np.pi * rate * np.arange(frames)[:, None] / 30)
        out.append(np.stack((0 * flexion, 0 * flexion, flexion), axis=-1))
    return out
