"""How generated hands move in time: minimum-jerk moves, slow drift, tremor. numpy only."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def minimum_jerk(phase: Floats) -> Floats:
    """Return the minimum-jerk profile of a phase in [0, 1] (Flash and Hogan 1985): 10 p^3 - 15 p^4 + 6 p^5."""
    p = np.clip(phase, 0.0, 1.0)
    return p**3 * (10 - 15 * p + 6 * p * p)


def through(
    postures: Floats,
    move_s: Floats,
    hold_s: Floats,
    times_s: Floats,
    generator: np.random.Generator,
    stagger: float = 0.15,
) -> Floats:
    """Move through postures [N, D]: start at the first, then move for move_s[i], hold for hold_s[i], [N - 1] each.

    Each coordinate starts early or late by up to `stagger` of its move and takes its own time; moves may overlap, and
    add up. Returns [T, D] at times_s [T].
    """
    starts = np.concatenate(([0.0], np.cumsum(move_s + hold_s)[:-1]))
    out = np.repeat(postures[:1], len(times_s), axis=0)
    for i, (start, duration) in enumerate(zip(starts, move_s)):
        change = postures[i + 1] - postures[i]
        delay = generator.uniform(-stagger, stagger, len(change)) * duration
        length = duration * generator.uniform(1 - stagger, 1 + stagger, len(change))
        first = np.searchsorted(times_s, start - stagger * duration)
        out[first:] += minimum_jerk((times_s[first:, None] - start - delay) / length) * change
    return out


def smooth_noise(count: int, channels: int, fps: float, cutoff_hz: float, generator: np.random.Generator) -> Floats:
    """Return unit-variance noise [count, channels] with a Gaussian spectrum of the given cutoff."""
    width = max(fps / (2 * np.pi * cutoff_hz), 1e-3)
    reach = int(np.ceil(4 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= np.linalg.norm(kernel)
    white = generator.normal(size=(count + 2 * reach, channels))
    spectrum = np.fft.rfft(white, len(white) + len(kernel), axis=0)
    spectrum *= np.fft.rfft(kernel, len(white) + len(kernel))[:, None]
    return np.fft.irfft(spectrum, len(white) + len(kernel), axis=0)[2 * reach : 2 * reach + count]


def tremor(count: int, channels: int, fps: float, generator: np.random.Generator) -> Floats:
    """Return unit-variance physiological tremor [count, channels], 6-12 Hz or what the frame rate can carry."""
    carrier = np.exp(2j * np.pi * min(generator.uniform(6, 12), 0.45 * fps) * np.arange(count)[:, None] / fps)
    beat = smooth_noise(count, 2 * channels, fps, 1.0, generator)
    return (carrier * (beat[:, :channels] + 1j * beat[:, channels:])).real
