"""Corrupted crops as features of the frozen landmark network, kept in shards: heads train on them without any picture.

Separate from the loop. Every clip of a source is drawn several times, each draw a function of the seed and its number;
a source has a folder of shards of its own, so that whole clips can be left out. What is stored is what
`regressors.samples` draws, without the picture, and how the detector's own landmarks should have been.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.replacing import replace_file
from hmpfit.files.structured import read_json_table
from hmpfit.geometry.rotations import exp
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model import HandModels
from hmpfit.regressors.backbone.frozen import FrozenTower
from hmpfit.regressors.samples import Augmentation, ClipSource, HandClip, View, sample_placed_crop
from hmpfit.training.regressors.corruption import CorruptionOptions, Donor, corrupt

PER_SHARD = 256
INDEX = "features.json"
VERSION = 1


@dataclass(frozen=True)
class CropSampling:
    """How crops are drawn: `rounds` times each clip, crops off by what tracks are off."""

    rounds: int = 4
    seed: int = 0
    view: View = field(default_factory=lambda: View(size=224, frames=2, region=True))
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(0.15, 20.0, 0.8, 0.2, shift=0.06))
    corruption: CorruptionOptions = field(default_factory=CorruptionOptions)


def feature_folder(
    source: ClipSource,
    donors: Sequence[HandClip],
    models: HandModels,
    place: Path,
    sampling: CropSampling = CropSampling(),
    on_clip: Callable[[int], None] | None = None,
) -> Path:
    """Compute the features of a source, `rounds` draws of every clip, and return their folder below `place`.

    What is there already is kept. Surfaces and hands of `donors` cover others; `on_clip(number)` reports progress.
    """
    said = f"{VERSION} {source.name} {len(source)} {sampling} {models.right.fingerprint} {len(donors)}"
    name = f"{source.name.replace(':', '_').replace('/', '_')[-60:]}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
    folder = place / name
    if (folder / INDEX).is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    lent = [_donor(clip) for clip in donors]
    tower, kin = FrozenTower(), Kinematics.of(models.right)
    numbers = [(round_, clip) for round_ in range(sampling.rounds) for clip in range(len(source))]
    shards = []
    for first in range(0, len(numbers), PER_SHARD):
        chosen = numbers[first : first + PER_SHARD]
        file = folder / f"{first:06d}.npz"
        if not file.is_file():
            rows = [_row(source[clip], (sampling.seed, round_, clip), sampling, lent, tower) for round_, clip in chosen]
            arrays = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
            arrays |= _landmarks(arrays, kin)
            _write(file, arrays)
        shards.append((file.name, len(chosen)))
        if on_clip is not None:
            on_clip(len(chosen))
    (folder / INDEX).write_text(json.dumps({"source": source.name, "shards": shards}) + "\n", encoding="utf-8")
    return folder


def read_features(folders: Iterable[Path]) -> dict[str, Tensor]:
    """Return all samples of some folders as one batch of tensors; features stay in half precision.

    Raises InputError for a folder without features.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for folder in folders:
        try:
            names = [str(name) for name, _ in read_json_table(folder / INDEX)["shards"]]
            for name in names:
                for key, values in read_npz(folder / Path(name).name).items():
                    parts.setdefault(key, []).append(values)
        except (OSError, ValueError, KeyError, TypeError, UnreadableFileError) as error:
            raise InputError(f"'{folder}' is not a folder of features ({error}); make it anew.") from error
    return {key: torch.from_numpy(np.concatenate(rows)) for key, rows in parts.items()}


def _row(
    clip: HandClip, number: tuple[int, int, int], sampling: CropSampling, lent: Sequence[Donor], tower: FrozenTower
) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(number)
    sample, placed, crop = sample_placed_crop(clip, sampling.view, sampling.augmentation, generator)
    pixels = np.ascontiguousarray((sample["image"] * 255).round().astype(np.uint8).transpose(0, 2, 3, 1))
    corrupted = corrupt(pixels, sample["joints_2d"][0].astype(np.float64), lent, generator, sampling.corruption)
    features = tower(corrupted.images)
    focal = float(placed.K[0, 0]) / crop.side_px  # of the crop's own camera, in crops
    out: dict[str, np.ndarray] = {key: value for key, value in sample.items() if key != "image"}
    out |= {"maps": features.maps.half().numpy(), "pooled": features.pooled.half().numpy()}
    out |= {"numbers": features.numbers.numpy(), "covered": corrupted.covered, "focal": np.array(focal, np.float32)}
    out["is_hand"] = np.isfinite(sample["joints_2d"][0]).all((-1, -2)) & (corrupted.covered.mean(-1) < 0.9)
    return out


def _landmarks(arrays: dict[str, Any], kin: Kinematics) -> dict[str, np.ndarray]:
    """Return where the detector's 21 landmarks lie on the hands, [N, 1, F, 21, 3] meters like `joints_3d`."""
    orient, pose = (torch.as_tensor(arrays[name], dtype=torch.float64) for name in ("global_orient", "hand_pose"))
    betas = torch.as_tensor(arrays["betas"], dtype=torch.float64)[:, :, None].expand(*orient.shape[:-1], 10)
    still = torch.zeros(3, dtype=torch.float64)
    points = landmark_points(kin, exp(orient), exp(pose), betas, still).numpy()
    wrist = (kin.rest(betas)[0][..., 0, :]).numpy()
    return {"landmarks_3d": (points - wrist[..., None, :] + arrays["joints_3d"][..., :1, :]).astype(np.float32)}


def _donor(clip: HandClip) -> Donor:
    image = clip.images[-1]
    known = np.isfinite(clip.joints_px[0, -1]).all()
    joints = clip.joints_px[0, -1] / image.shape[0] if known else np.full((21, 2), np.nan)
    return Donor(image, joints)


def _write(file: Path, arrays: dict[str, np.ndarray]) -> None:
    partial = file.with_suffix(".part")
    with partial.open("wb") as stream:
        np.savez(stream, **arrays)
    replace_file(partial, file)
