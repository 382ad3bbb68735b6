"""Training data of `hmpfit train-prior`: AMASS, recordings and generated motion as collections of clips.

Apart from the command because the training itself may import neither readers nor generators.
"""

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.errors import InputError
from hmpfit.files.archives import read_npz
from hmpfit.files.replacing import replace_file

FPS = 30.0
HELD_OUT_SHARE = 0.1  # of the subjects, for validation
TAKE_S = 5.3
AMASS_ENDS = ("_poses.npz", "_stageii.npz")
_KEPT = ("name", "pose", "valid")


def collect(
    amass: Sequence[Path], motion: Sequence[Path], motion_share: float, generated: int, hold_out: Sequence[str],
    models: Any, rng: np.random.Generator, out: Path, progress: TerminalProgress,
) -> tuple[list[Any], list[Any], dict[str, Any]]:  # fmt: skip
    """Return training collections, held-out ones (by subject), and their description for the card.

    `motion_share` is each recordings folder's weight beside 1 of AMASS or generated motion. Generated motion and poses
    of recordings are kept in `out`, so that a resumed training does not make them anew.
    """
    from hmpfit.datasets.amass import read_amass
    from hmpfit.training.priors.sample_windows import Clips

    train: list[Any] = []
    held: list[Any] = []
    told: list[str] = []
    skipped: list[str] = []

    def add(
        poses: Sequence[Any], subjects: Sequence[str], valid: Sequence[Any] | None, share: float,
        wrists: Sequence[Any] | None = None,
    ) -> None:  # fmt: skip
        names = sorted(set(subjects))
        chosen = set(rng.permutation(names)[: max(1, round(HELD_OUT_SHARE * len(names)))]) if len(names) > 1 else set()
        for into, wanted in ((train, False), (held, True)):
            rows = [row for row, subject in enumerate(subjects) if (subject in chosen) == wanted]
            if rows:
                picked = None if valid is None else [valid[row] for row in rows]
                turned = None if wrists is None else [wrists[row] for row in rows]
                into.append(
                    Clips([poses[row] for row in rows], picked, turned, share=share, warp=0.0 if wanted else 0.2)
                )

    mean = None if models.right.name == "open" else {"right": models.right.hands_mean, "left": models.left.hands_mean}
    for root in amass:
        clips = read_amass(root, hands_mean=mean)
        add(clips.poses, clips.subjects, None, 1.0, clips.wrists)
        still = ", ".join(f"{count} still hands of {name}" for name, count in clips.still_hands.items())
        told.append(
            f"{len(clips.poses)} hands of {clips.files} AMASS files" + (f" ({still} left out)" if still else "")
        )
        skipped += [f"{path}: {reason}" for path, reason in clips.skipped]
    for place, path in enumerate(motion):
        names, poses, valid = _kept(out / f"recordings_{place}.npz", path, hold_out, models)
        add(poses, names, valid, motion_share)
        told.append(f"{len(poses)} recorded hands of {path.name}")
    if generated:
        add(_generated(generated, rng, out, progress), [str(take) for take in range(generated)], None, 1.0)
        told.append(f"{generated} generated takes")
    return train, held or train, {"data": "; ".join(told), "skipped": skipped}


def _generated(count: int, rng: np.random.Generator, out: Path, progress: TerminalProgress) -> Any:
    """Return `count` generated takes, memory-mapped [count, T, 15, 3], every kind of motion as often."""
    from hmpfit.synthesis.motion import KINDS, TRAINING, generate_motion

    path, own = out / "generated.npy", np.random.default_rng(rng.integers(2**63))
    if not path.is_file():
        advance = progress.phase("generating motion", count)
        takes = np.empty((count, round(TAKE_S * FPS), 15, 3), dtype=np.float32)
        for take in range(count):
            takes[take] = generate_motion(list(KINDS)[take % len(KINDS)], TAKE_S, FPS, own, TRAINING)
            advance(1)
        with (out / "generated.part").open("wb") as stream:
            np.save(stream, takes)
        replace_file(out / "generated.part", path)
    return np.load(path, mmap_mode="r")


def _kept(file: Path, path: Path, hold_out: Sequence[str], models: Any) -> tuple[list[str], list[Any], list[Any]]:
    """Return `recordings` of a path, from the file that keeps them or, made now, into it."""
    if not file.is_file():
        found = recordings(path, hold_out, models)
        arrays = {f"{kind}_{row}": part for kind, parts in zip(_KEPT, found) for row, part in enumerate(parts)}
        with file.with_suffix(".part").open("wb") as stream:
            np.savez(stream, **arrays)
        file.with_suffix(".part").replace(file)
    stored = read_npz(file)
    count = len(stored) // len(_KEPT)
    names, poses, valid = ([stored[f"{kind}_{row}"] for row in range(count)] for kind in _KEPT)
    return [str(name) for name in names], poses, valid


def recordings(path: Path, hold_out: Sequence[str], models: Any) -> tuple[list[str], list[Any], list[Any]]:
    """Return names, poses and valid frames of the recorded hands below a path that are seen for a second and move."""
    from hmpfit.datasets.amass import moves

    files = sorted(path.rglob("*.npz")) if path.is_dir() else [path]
    files = [file for file in files if not any(fnmatch(file.name, f"{pattern}*") for pattern in hold_out)]
    if not files:
        raise InputError(f"'{path}' holds no recordings (*.npz) that are not held out.")
    found = [hand for file in files for hand in hands_in(file, models)]
    found = [(name, pose, valid) for name, pose, valid in found if valid.sum() >= FPS and moves(pose[valid])]
    if not found:
        raise InputError(f"'{path}' holds no recorded hand that is seen for a second and moves.")
    return [name for name, _, _ in found], [pose for _, pose, _ in found], [valid for _, _, valid in found]


def hands_in(file: Path, models: Any, fps: float = FPS) -> list[tuple[str, Any, Any]]:
    """Return (name, poses [T, 15, 3], valid [T]) of every hand in one recording, in right-hand form.

    Joint positions (Leap, or ours) are turned into poses by inverse kinematics; AMASS's files hold poses, and hands of
    them that hardly move are left out. Raises InputError.
    """
    from hmpfit.datasets.amass import moves, read_sequence
    from hmpfit.datasets.joint_motion import read_motion, recording_to_hand_pose
    from hmpfit.hands.kinematics import Kinematics

    if file.name.endswith(AMASS_ENDS):
        try:
            hands = read_sequence(file, trim=False)
        except InputError as error:
            raise InputError(f"'{file}' cannot be used: {error}.") from error
        poses = [turns[:, 1:] for turns in hands.values()]
        return [(file.stem, pose, np.ones(len(pose), dtype=bool)) for pose in poses if moves(pose)]
    kinematics = Kinematics.of(models.right, landmark_offsets=False)
    converted = [recording_to_hand_pose(recorded, kinematics, fps) for recorded in read_motion(file)]
    return [(file.stem, hand.hand_pose, hand.valid) for hand in converted]
