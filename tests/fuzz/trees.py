"""Datasets and training folders as fuzzed families: whole trees in miniature, of which one file is damaged.

Separate from `families.py`, whose inputs are one or two files.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hmpfit.errors import HmpfitError
from tests.fuzz.families import Family


def _ho3d(folder: Path) -> None:
    from tests.dataset_fixtures.ho3d import write_ho3d

    write_ho3d(folder, 6, pictures=False)


def _dexycb(folder: Path) -> None:
    from tests.dataset_fixtures.single_camera import write_dexycb

    write_dexycb(folder)


def _freihand(folder: Path) -> None:
    from tests.dataset_fixtures.single_camera import write_freihand

    write_freihand(folder)


def _hic(folder: Path) -> None:
    from tests.dataset_fixtures.single_camera import write_hic

    write_hic(folder)


def _interhand(folder: Path) -> None:
    from tests.dataset_fixtures.many_cameras import write_interhand

    write_interhand(folder)


def _arctic(folder: Path) -> None:
    from tests.dataset_fixtures.many_cameras import write_arctic

    write_arctic(folder)


def _hundred_doh(folder: Path) -> None:
    from tests.dataset_fixtures.hundred_doh import write_hundred_doh

    write_hundred_doh(folder)


def _synthetic(folder: Path) -> None:
    from tests.fuzz.families import FRAMES, models
    from tests.made_result import two_hands, write_run

    (folder / "clip").mkdir()
    write_run(folder / "clip", two_hands(models(), FRAMES), models())
    (folder / "clip" / "result.npz").rename(folder / "clip" / "truth.npz")
    (folder / "clip" / "result.json").unlink()


def _use(kind: str, split: str | None = None) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        from hmpfit.datasets.opening import open_dataset
        from tests.dataset_fixtures.hands import MODELS

        dataset = open_dataset(f"{kind}:{folder}", split, MODELS)
        for sequence in dataset.sequences[:3]:
            with contextlib.suppress(HmpfitError):
                assert sequence.camera is not None
            with contextlib.suppress(HmpfitError):
                sequence.truth()

    return use


def _shards(folder: Path) -> None:
    from hmpfit.datasets.shards import write_index, write_shard
    from hmpfit.regressors.samples import HandClip

    rng = np.random.default_rng(0)
    clips = [
        HandClip(
            images=rng.integers(0, 255, (2, 32, 32, 3)).astype(np.uint8),
            K=np.diag([100.0, 100.0, 1.0]), is_right=np.array([True]),
            joints_px=rng.normal(size=(1, 2, 21, 2)), joints_m=rng.normal(size=(1, 2, 21, 3)),
            global_orient=rng.normal(size=(1, 2, 3)), hand_pose=rng.normal(size=(1, 2, 15, 3)),
            betas=rng.normal(size=(1, 10)),
        )
        for _ in range(2)
    ]  # fmt: skip
    write_shard(folder / "shard_000.npz", clips)
    write_index(folder, [("shard_000.npz", 2)], {"about": "a test"})


def _use_shards(folder: Path) -> None:
    from hmpfit.datasets.shards import Shards

    shards = Shards(folder)
    for index in range(min(len(shards), 3)):
        shards[index]


TREES: dict[str, Family] = {
    "ho3d": Family(_ho3d, _use("ho3d", "train"), "**/*.*"),
    "dexycb": Family(_dexycb, _use("dexycb", "train"), "**/*.*"),
    "freihand": Family(_freihand, _use("freihand"), "**/*.json"),
    "hic": Family(_hic, _use("hic"), "**/*.*"),
    "interhand": Family(_interhand, _use("interhand", "train"), "**/*.json"),
    "arctic": Family(_arctic, _use("arctic"), "**/*.*"),
    "hundred_doh": Family(_hundred_doh, _use("100doh", "test"), "**/*.[tx]*"),
    "synthetic": Family(_synthetic, _use("synthetic"), "**/*.npz"),
    "shards": Family(_shards, _use_shards),
}
