"""HIC (Hands in Action): one camera, one or two hands with MANO fits. Source: the data set's own tools.

The fits' stored meshes and joints are used as they are (camera frame, meters). Whether their angles are relative to the
mean pose is written nowhere: with the user's MANO the reading that gives the stored meshes back is taken.

`train` and `test` are the two-hand sequences, 01 to 07, each cut in time where STC's shares of windows fall.
"""

from functools import partial
from pathlib import Path

import numpy as np

from hmpfit.datasets.cache import Arrays, cached_arrays
from hmpfit.datasets.layout import numbers, pickled, require
from hmpfit.datasets.parameters import StoredHand, motion_of, place_hand
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import MANO_TIP_VERTICES, MANO_VERTICES
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence, Truth, log
from hmpfit.records import Camera, Floats, HandMotion
from hmpfit.skeleton import MANO21_TO_OPENPOSE

FPS = 30.0  # assumed: no loader states it
FITS = "IJCV16___Results_MANO___parms_for___joints21"
EXPECTED = (
    f"<sequence>/1/rgb/*.png and {FITS}/IJCV16___fakeGT___IJCV___<sequence>___Model_Hand_{{L,R}}___ncomps45/*.pkl"
)
PAIRS = tuple(f"{number:02d}" for number in range(1, 8))  # the sequences of two hands
# STC's windows of 20 frames: 806 to learn from, 375 to test on. Their selection is not published; 1307 frames have 1174
# such windows, one from each frame on. Cutting each sequence keeps every frame on one side.
TRAIN_SHARE = 806 / (806 + 375)
_NUMBERS = 61  # 48 angles, 3 of translation, 10 of shape
_SAME_M = 1e-3
_K = np.array([[[525.0, 0.0, 319.5], [0.0, 525.0, 239.5], [0.0, 0.0, 1.0]]])


def open_all(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open every sequence that has fits. Raises InputError when the folder is not HIC."""
    require(path / FITS, "HIC", EXPECTED, path)
    sequences, broken = [], []
    for folder in sorted(folder for folder in path.iterdir() if folder.name.isdigit()):
        if split != "all" and folder.name not in PAIRS:
            continue
        images = _part(sorted((folder / "1" / "rgb").glob("*.png")), split)
        fits = {
            is_right: path / FITS / f"IJCV16___fakeGT___IJCV___{folder.name}___Model_Hand_{letter}___ncomps45"
            for is_right, letter in ((True, "R"), (False, "L"))
        }
        sides = tuple(is_right for is_right, fit in fits.items() if fit.is_dir())
        if not images or not sides:
            broken.append((str(folder), "it has no images" if not images else "it has no fits"))
            continue
        ids = np.array([int(image.stem) for image in images])
        files = [[fits[is_right] / f"{image.stem}.pkl" for image in images] for is_right in sides]
        sequences.append(
            Sequence(
                name=folder.name, fps=FPS, images=tuple(images),
                frame_names=tuple(image.stem for image in images),
                times_s=(ids - ids[0]) / FPS, protocol="hic", sides=sides,
                read_camera=_camera,
                read_truth=partial(_truth, files, sides, models),
            )
        )  # fmt: skip
    return Dataset("hic", path, split, tuple(sequences), tuple(broken))


def _part(images: list[Path], split: str) -> list[Path]:
    """Return a sequence's frames that belong to a split."""
    cut = round(TRAIN_SHARE * len(images))
    return {"train": images[:cut], "test": images[cut:]}.get(split, images)


def _camera() -> Camera:
    return Camera(_K, 640, 480, source="given")


def _truth(files: list[list[Path]], sides: tuple[bool, ...], models: HandModels | None) -> Truth:
    flat = [file for hand in files for file in hand]
    arrays = cached_arrays("hic", str(flat[0].parent), flat, partial(_read, flat))
    shape = (len(sides), len(files[0]))
    joints = np.asarray(arrays["joints"], dtype=np.float64).reshape(*shape, 21, 3)
    vertices = np.asarray(arrays["vertices"], dtype=np.float64).reshape(*shape, -1, 3)
    broken = tuple((str(file), str(why)) for file, why in zip(arrays["broken_path"], arrays["broken_reason"]))
    valid = np.isfinite(joints).all((2, 3))
    fits = np.asarray(arrays["fits"], dtype=np.float64).reshape(*shape, _NUMBERS)
    motion = None if models is None else _motion(fits, vertices, sides, models)
    return Truth(np.array(sides), joints, valid, vertices, motion, broken=broken)


def _motion(fits: Floats, meshes: Floats, sides: tuple[bool, ...], models: HandModels) -> HandMotion | None:
    """Return the fits as a motion, or None when posing them gives the stored meshes back in neither reading."""
    posed = np.isfinite(fits).all(-1)
    if not posed.any():
        return None
    for flat_mean in (False, True):
        placed = [
            place_hand(
                models,
                StoredHand(is_right, own[:, :3], own[:, 3:48], own[:, 51:], own[:, 48:51], use, flat_mean),
                np.eye(3),
                np.zeros(3),
            )
            for is_right, own, use in zip(sides, fits, posed, strict=True)
        ]
        found = np.stack([hand.vertices for hand in placed])
        if found.shape == meshes.shape and np.abs(found - meshes)[posed].max() < _SAME_M:
            return motion_of(placed, np.array(sides), posed)
    log.warning("HIC's angles do not give its meshes back on this hand model, so there is no motion.")
    return None


def _read(files: list[Path]) -> Arrays:
    joints, vertices = np.full((len(files), 21, 3), np.nan), np.full((len(files), MANO_VERTICES, 3), np.nan)
    fits = np.full((len(files), _NUMBERS), np.nan)
    broken: list[tuple[str, str]] = []
    for row, file in enumerate(files):
        if not file.is_file():
            continue  # the hand is not annotated in this frame
        try:
            fit = pickled(file)
            mesh = numbers(fit["v"], (MANO_VERTICES, 3))
            chain = numbers(fit["J_transformed"], (16, 3))
            if all(key in fit for key in ("pose", "trans", "betas")):
                parts = [numbers(fit[key], (size,)) for key, size in (("pose", 48), ("trans", 3), ("betas", 10))]
                fits[row] = np.concatenate(parts)
        except KeyError as error:
            broken.append((str(file), f"it lacks {error}"))
        except (ValueError, TypeError) as error:
            broken.append((str(file), str(error)))
        else:
            vertices[row] = mesh
            joints[row] = np.concatenate((chain, mesh[list(MANO_TIP_VERTICES)]))[list(MANO21_TO_OPENPOSE)]
    paths, reasons = zip(*broken) if broken else ((), ())
    return {
        "joints": joints, "vertices": vertices, "fits": fits,
        "broken_path": np.array(paths, dtype=str), "broken_reason": np.array(reasons, dtype=str),
    }  # fmt: skip


def _recognizes(path: Path) -> bool:
    return (path / FITS).is_dir()


READER = Reader(EXPECTED, ("all", "train", "test"), open_all, _recognizes)
