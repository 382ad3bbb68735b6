"""AMASS, both releases, as finger motion of right hands at 30 frames a second, for `hmpfit train-prior`.

SMPL-H files (`*_poses.npz`, 156 columns) and SMPL-X files (`*_stageii.npz`, 165 columns) of any dataset folder below
the root, and ARCTIC's `*.mano.npy`. Hands that hardly move are dropped, left hands mirrored, rates changed by SLERP.
What was read is kept as one memory-mapped array in the cache. Source: the data set's own tools.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hmpfit.datasets.cache import cache_home
from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.opening import LARGE_MOST
from hmpfit.files.pickled_values import read_object_npy
from hmpfit.files.replacing import replace_file
from hmpfit.files.schemas import ANGLE_MOST, Fields
from hmpfit.files.structured import read_json_table
from hmpfit.geometry import rotations
from hmpfit.records import Floats

log = logging.getLogger("hmpfit")

FPS = 30.0
SHORTEST_S = 1.0
RATES_HZ = (10.0, 1000.0)  # motion capture and video
MIDDLE = 0.9  # the share of frames kept, for T-poses and calibration at the ends
UNTRIMMED = ("TCDHands", "TCD_handMocap")
LEAST_VARIANCE = 5e-3  # rad^2, mean over the 45 angles: below it the fingers were not captured
_COLUMNS = {156: (66, 111), 165: (75, 120)}  # width of `poses` -> first column of the left and of the right hand
_RATES = ("mocap_framerate", "mocap_frame_rate")
VERSION = 2  # of what the cache holds
# The body joints whose turns add up to a wrist's orientation in the world (SMPL's tree, pelvis to wrist).
_TO_WRIST = {"left": (0, 3, 6, 9, 13, 16, 18, 20), "right": (0, 3, 6, 9, 14, 17, 19, 21)}

HandsMean = Mapping[str, Floats]  # "right", "left" -> [45]


@dataclass(frozen=True)
class AmassClips:
    """Finger motion, one entry per hand and sequence; poses are views of one memory-mapped array."""

    poses: tuple[Floats, ...]  # each [T, 15, 3] absolute axis-angle of a right hand, float32
    wrists: tuple[Floats, ...]  # each [T, 3] the wrist's axis-angle in the world, as a right hand
    datasets: tuple[str, ...]
    subjects: tuple[str, ...]
    files: int
    still_hands: dict[str, int]  # dataset -> hands dropped because they hardly move
    skipped: tuple[tuple[str, str], ...]  # (path, reason)


def read_amass(root: Path, cache: Path | None = None, hands_mean: HandsMean | None = None) -> AmassClips:
    """Read every sequence below `root`; a file that cannot be used is reported, counted and skipped.

    `hands_mean` is MANO's mean pose per side, in right-hand form, which ARCTIC's angles are relative to.

    Raises InputError when there are no AMASS files, or when none of them has finger motion (naming the datasets).
    """
    files = sorted(path for pattern in ("*_poses.npz", "*_stageii.npz", "*.mano.npy") for path in root.rglob(pattern))
    if not files:
        raise InputError(
            f"'{root}' holds no AMASS files; looked for *_poses.npz (SMPL-H), *_stageii.npz (SMPL-X) and ARCTIC's "
            "*.mano.npy in its folders."
        )
    folder = (cache or cache_home()) / _fingerprint(root, files, hands_mean is not None)
    if not (folder / "index.json").is_file():
        _fill(folder, root, files, hands_mean)
    index = read_json_table(folder / "index.json", LARGE_MOST)
    for path, reason in index["skipped"]:
        log.warning("'%s' was skipped: %s", path, reason)
    if not index["lengths"]:
        dropped = ", ".join(f"{name} ({count} still hands)" for name, count in index["still"].items())
        raise InputError(
            f"None of the {len(files)} files below '{root}' has finger motion: {dropped or 'all were unreadable'}. "
            "Body-only datasets have their fingers at rest; use GRAB, TCDHands or SAMP."
        )
    whole = np.load(folder / "poses.npy", mmap_mode="r")
    ends = np.cumsum(index["lengths"])
    turns = [whole[end - length : end] for end, length in zip(ends, index["lengths"], strict=True)]
    wrists, poses = tuple(turn[:, 0] for turn in turns), tuple(turn[:, 1:] for turn in turns)
    skipped = tuple((path, reason) for path, reason in index["skipped"])
    return AmassClips(
        poses, wrists, tuple(index["datasets"]), tuple(index["subjects"]), len(files), index["still"], skipped
    )


def read_sequence(path: Path, trim: bool, hands_mean: HandsMean | None = None) -> dict[str, Floats]:
    """Return the turns [T, 16, 3] of wrist (in the world) and fingers of "right" and "left", both as right hands.

    At 30 frames a second.

    Raises InputError with the reason when the file is corrupt, has another layout, no frame rate, or poses that are not
    finite.
    """
    relative = path.suffix == ".npy"
    if relative and hands_mean is None:
        raise InputError("ARCTIC's angles are relative to MANO's mean pose; give your MANO files with --hand-model")
    hands, rate = _arctic(path) if relative else _smpl(path)
    out = {}
    for side, pose in hands.items():
        if not np.isfinite(pose).all():
            raise InputError(f"its {side} hand's poses are not finite")
        if trim:
            cut = round(len(pose) * (1 - MIDDLE) / 2)
            pose = pose[cut : len(pose) - cut]
        if len(pose) / rate < SHORTEST_S:
            raise InputError(f"it is shorter than {SHORTEST_S:g} s")
        turned = pose * ([1.0, -1.0, -1.0] if side == "left" else [1.0, 1.0, 1.0])
        if relative and hands_mean is not None:
            turned[:, 1:] += np.asarray(hands_mean[side]).reshape(15, 3)
        out[side] = _at_rate(turned, rate)
    return out


def moves(pose: Floats) -> bool:
    """Return whether fingers [T, 15, 3] move: the mean over their 45 angles of each one's variance over time."""
    return float(pose.var(axis=0).mean()) > LEAST_VARIANCE


def _smpl(path: Path) -> tuple[dict[str, Floats], float]:
    try:
        stored = Fields(read_npz(path, ("poses", *_RATES).__contains__), path, "a file of AMASS")
    except UnreadableFileError as error:
        raise InputError(f"it cannot be read: {error.reason}") from None
    if "poses" not in stored:
        raise InputError("it lacks 'poses'")
    key = next((key for key in _RATES if key in stored), None)
    if key is None:
        raise InputError("it has no frame rate")
    try:
        rate = stored.number(key, *RATES_HZ)
        poses = stored.array("poses", (None, None), low=-ANGLE_MOST, high=ANGLE_MOST)
    except UnreadableFileError as error:
        raise InputError(error.reason) from None
    if poses.shape[1] not in _COLUMNS:
        raise InputError(f"its poses have the shape {poses.shape}; 156 columns (SMPL-H) or 165 (SMPL-X) are read")
    left, right = _COLUMNS[poses.shape[1]]
    fingers = {"left": poses[:, left : left + 45], "right": poses[:, right : right + 45]}
    return {
        side: np.concatenate((_wrist(poses, side)[:, None], angles.reshape(-1, 15, 3)), axis=1)
        for side, angles in fingers.items()
    }, rate


def _wrist(poses: Floats, side: str) -> Floats:
    """Return a wrist's orientation in the world, axis-angle [T, 3]."""
    chain = [poses[:, 3 * joint : 3 * joint + 3] for joint in _TO_WRIST[side]]
    turned = rotations.exp(torch.as_tensor(chain[0]))
    for angles in chain[1:]:
        turned = turned @ rotations.exp(torch.as_tensor(angles))
    return rotations.log(turned).numpy()


def _arctic(path: Path) -> tuple[dict[str, Floats], float]:
    """Read ARCTIC's parameters, relative to MANO's mean pose."""
    try:
        content = read_object_npy(path, "an annotation of ARCTIC")
    except UnreadableFileError as error:
        raise InputError(f"it cannot be read: {error.reason}") from None
    hands: dict[str, Floats] = {}
    for side in ("left", "right"):
        if not isinstance(content.get(side), dict) or "pose" not in content[side]:
            raise InputError(f"it has no '{side}' with 'pose'")
        pose = np.asarray(content[side]["pose"], dtype=np.float64).reshape(-1, 15, 3)
        rot = np.asarray(content[side].get("rot", np.zeros((len(pose), 3))), dtype=np.float64).reshape(-1, 1, 3)
        hands[side] = np.concatenate((rot, pose), axis=1)
    return hands, FPS


def _at_rate(pose: Floats, rate: float) -> Floats:
    """Interpolate joints' rotations at 30 frames a second by SLERP; at that rate already they stay as they are."""
    if abs(rate - FPS) < 1e-3:
        return pose.astype(np.float32)
    count = int(np.floor((len(pose) - 1) / rate * FPS + 1e-6)) + 1
    at = np.arange(count) * rate / FPS
    low = np.minimum(at.astype(int), len(pose) - 2)
    first, second = (rotations.exp(torch.as_tensor(pose[frames])) for frames in (low, low + 1))
    share = torch.as_tensor(at - low)[:, None].expand(first.shape[:2])
    return rotations.log(rotations.slerp(first, second, share)).numpy().astype(np.float32)


def _fill(folder: Path, root: Path, files: list[Path], hands_mean: HandsMean | None) -> None:
    poses: list[Floats] = []
    index: dict[str, Any] = {"lengths": [], "datasets": [], "subjects": [], "skipped": [], "still": {}}
    for path in files:
        parts = path.relative_to(root).parts
        dataset = parts[0] if len(parts) > 1 else root.name
        subject = parts[-2] if len(parts) > 1 else root.name
        try:
            hands = read_sequence(path, dataset not in UNTRIMMED, hands_mean)
        except InputError as error:
            index["skipped"].append([str(path), str(error)])
            continue
        for pose in hands.values():
            if not moves(pose[:, 1:]):
                index["still"][dataset] = index["still"].get(dataset, 0) + 1
                continue
            poses.append(pose)
            index["lengths"].append(len(pose))
            index["datasets"].append(dataset)
            index["subjects"].append(f"{dataset}/{subject}")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "poses.npy", np.concatenate(poses) if poses else np.zeros((0, 16, 3), np.float32))
    partial = folder / ".index.partial"
    partial.write_text(json.dumps(index))
    replace_file(partial, folder / "index.json")  # last: a cache without an index is no cache


def _fingerprint(root: Path, files: list[Path], with_mean: bool) -> str:
    said = hashlib.sha256(f"{VERSION} {root.resolve()} {with_mean}".encode())
    for path in files:
        stat = path.stat()
        said.update(f"{path} {stat.st_size} {stat.st_mtime_ns}".encode())
    return f"amass-{said.hexdigest()[:16]}"
