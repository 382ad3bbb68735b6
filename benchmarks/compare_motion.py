"""Compare generated finger motion with recorded: range of every joint, speed and its spectrum, principal components.

    python benchmarks/compare_motion.py ../shared/inputs/motion --takes 320

Prints Markdown. A generator that moves too far, too fast or in too many independent ways would show here.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from hmpfit.command_line.prior_data import recordings
from hmpfit.hands.model_files import load_hand_models
from hmpfit.skeleton import MANO_HAND_JOINTS
from hmpfit.synthesis.motion import KINDS, generate_motion

Floats = NDArray[np.floating]
FPS, TAKE_S = 30.0, 5.3
LEAST_FRAMES = 32  # of a stretch whose spectrum is taken
BANDS_HZ = ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 15.0))
COMPONENTS = (1, 2, 3, 5, 8, 12, 20)
PERCENTILES = (5, 95)


def stretches(poses: Sequence[Floats], valid: Sequence[NDArray[np.bool_]]) -> list[Floats]:
    """Cut motions [T, 15, 3] into runs of valid frames that are long enough for a spectrum."""
    found = []
    for pose, good in zip(poses, valid, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate(([False], good, [False])).astype(int)))
        for start, stop in edges.reshape(-1, 2):
            if stop - start >= LEAST_FRAMES:
                found.append(np.asarray(pose[start:stop], dtype=float))
    return found


def ranges(motions: Sequence[Floats]) -> Floats:
    """Return each joint's 5th and 95th percentile of its turn about its own main axis, degrees, [15, 2].

    The main axis is the first principal direction of that joint's axis-angle, flexion for fingers.
    """
    poses = np.concatenate(motions)
    out = np.empty((15, 2))
    for joint in range(15):
        turns = poses[:, joint]
        _, _, axes = np.linalg.svd(turns, full_matrices=False)
        axis = axes[0] * np.sign(axes[0][np.abs(axes[0]).argmax()])
        out[joint] = np.percentile(np.rad2deg(turns @ axis), PERCENTILES)
    return out


def speeds(motions: Sequence[Floats]) -> Floats:
    """Return percentiles 50, 90, 99 of the joints' speed, degrees a second."""
    steps = np.concatenate([np.linalg.norm(np.diff(motion, axis=0), axis=-1).ravel() for motion in motions])
    return np.percentile(np.rad2deg(steps) * FPS, (50, 90, 99))


def spectrum(motions: Sequence[Floats]) -> Floats:
    """Return the share of the power of joint velocity in each band, [len(BANDS_HZ)]; motions count by their length."""
    total = np.zeros(len(BANDS_HZ))
    for motion in motions:
        velocity = np.diff(motion, axis=0).reshape(len(motion) - 1, -1) * FPS
        hertz, power = welch(velocity, FPS, nperseg=min(64, len(velocity)), axis=0)
        whole = power.sum(1)
        total += len(motion) * np.array([whole[(hertz >= low) & (hertz < high)].sum() for low, high in BANDS_HZ])
    return total / total.sum()


def components(motions: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return the mean pose's principal axes [45, 45] and the share of variance that each holds."""
    poses = np.concatenate(motions).reshape(-1, 45)
    _, deviations, axes = np.linalg.svd(poses - poses.mean(0), full_matrices=False)
    return axes, deviations**2 / (deviations**2).sum()


def held_by(motions: Sequence[Floats], axes: Floats, count: int) -> float:
    """Return the share of the motions' variance that lies along the first `count` axes of another collection."""
    poses = np.concatenate(motions).reshape(-1, 45)
    centered = poses - poses.mean(0)
    return float(((centered @ axes[:count].T) ** 2).sum() / (centered**2).sum())


@click.command()
@click.argument("motion", type=click.Path(exists=True, path_type=Path))
@click.option("--takes", default=320, show_default=True, help="Generated takes of 5.3 s, every kind as often.")
@click.option("--seed", default=0, show_default=True)
def main(motion: Path, takes: int, seed: int) -> None:
    """Print how generated motion compares with the recordings in MOTION."""
    names, poses, valid = recordings(motion, (), load_hand_models("open"))
    real = stretches(poses, valid)
    rng = np.random.default_rng(seed)
    kinds = list(KINDS)
    made = [generate_motion(kinds[take % len(kinds)], TAKE_S, FPS, rng) for take in range(takes)]
    frames = [sum(len(part) for part in parts) for parts in (real, made)]
    click.echo(f"Recorded: {len(names)} hands, {frames[0]} frames. Generated: {takes} takes, {frames[1]} frames.\n")
    click.echo("| joint | recorded, 5-95 % of frames | generated | overlap of the two |\n|---|---:|---:|---:|")
    for name, a, b in zip(MANO_HAND_JOINTS, ranges(real), ranges(made), strict=True):
        shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0])) / max(a[1] - a[0], 1e-9)
        click.echo(f"| {name} | {a[0]:.0f} to {a[1]:.0f}° | {b[0]:.0f} to {b[1]:.0f}° | {shared:.0%} |")
    click.echo("\n| | recorded | generated |\n|---|---:|---:|")
    for percent, a, b in zip((50, 90, 99), speeds(real), speeds(made), strict=True):
        click.echo(f"| speed of a joint, {percent} % are below | {a:.0f} °/s | {b:.0f} °/s |")
    for (low, high), a, b in zip(BANDS_HZ, spectrum(real), spectrum(made), strict=True):
        click.echo(f"| power of the speed, {low:g} to {high:g} Hz | {a:.1%} | {b:.1%} |")
    (_, of_real), (made_axes, of_made) = components(real), components(made)
    for count in COMPONENTS:
        click.echo(f"| variance in {count} components | {of_real[:count].sum():.1%} | {of_made[:count].sum():.1%} |")
    for count in (5, 12, 20):
        by_other = held_by(real, made_axes, count)
        click.echo(f"| recorded variance in {count} generated components | {by_other:.1%} | |")


if __name__ == "__main__":
    main()
