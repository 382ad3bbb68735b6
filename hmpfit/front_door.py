"""The Python API: `fit_video`, `read_result`, and the one type that both return.

Above everything but the commands, because a result can pose its hands, project them, and write any export.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hmpfit.errors import InputError
from hmpfit.files.structured import read_json_table
from hmpfit.progress import Progress
from hmpfit.records import STATUS_NAMES, FitRecord, Floats, hand_names

Hands = Literal["auto", "left", "right", "both"]
Device = Literal["auto", "cpu", "cuda"]
Frames = tuple[int, int]


@dataclass(frozen=True)
class FrameOfHands:
    """One frame of a result: H hands at `time_s` in frame `index` of the clip."""

    index: int
    time_s: float
    joints: Floats  # [H, 21, 3] camera-frame meters, OpenPose order
    joint_std_mm: Floats  # [H, 21]
    status: tuple[str, ...]  # [H] "detected", "interpolated" or "extrapolated"


@dataclass(frozen=True, repr=False)
class FitResult(FitRecord):
    """The hands of a clip: every array of `result.npz` as records, and what can be done with them.

    Axes are hands, frames, joints, xyz; camera-frame meters; joints in OpenPose order.
    """

    hand_model: str = "open"

    def vertices(self) -> Floats:
        """Return the meshes [H, T, V, 3], camera-frame meters. Raises InputError when the hand model is not there."""
        from hmpfit.hands.mano import pose_hands

        found = pose_hands(self._models(), self.motion, vertices=True).vertices
        assert found is not None
        return found

    def project(self, points: Floats | None = None) -> Floats:
        """Return the pixels [H, T, N, 2] of camera-frame points [H, T, N, 3]; of the joints unless others are given."""
        from hmpfit.geometry.cameras import project_array

        given = self.joints if points is None else points
        return project_array(given, self.camera.K[:, None], self.camera.distortion)

    def frames(self) -> Iterator[FrameOfHands]:
        """Yield the frames in order."""
        for index, time_s in enumerate(self.tracks.times_s):
            names = tuple(STATUS_NAMES[int(status)] for status in self.motion.status[:, index])
            yield FrameOfHands(index, float(time_s), self.joints[:, index], self.joint_std_mm[:, index], names)

    def save(self, path: str | Path) -> Path:
        """Write `result.npz` and return its path; a path without the suffix is a folder. Raises RunFolderError."""
        from hmpfit.results.npz import write_result

        file = Path(path) if Path(path).suffix == ".npz" else Path(path) / "result.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_result(file, self)
        return file

    def export(self, to: str, out: str | Path) -> list[Path]:
        """Write the hands as `hmpfit export --to NAME` does, below the folder `out`, and return the files.

        Raises UnknownNameError, listing the formats, and InputError for what a format cannot hold.
        """
        from hmpfit import registry
        from hmpfit.interfaces.exporter import ExportOptions
        from hmpfit.results.npz import StoredResult

        base, _, variant = to.partition(":")
        stored = StoredResult(**{field.name: getattr(self, field.name) for field in fields(StoredResult)})
        options = ExportOptions(variant=variant or None)
        write = registry.load("exporters", base)
        files: list[Path] = write(stored, self._models(), Path(out), options)
        return files

    def __repr__(self) -> str:
        """Return a line with the numbers of hands and frames and their quality."""
        shown = ", ".join(f"{name}: {detail}" for name, detail in self._hands())
        return f"<FitResult of {len(self.tracks.times_s)} frames; {shown}>"

    def _repr_html_(self) -> str:
        """Return the same as a table, for notebooks."""
        rows = "".join(f"<tr><td>{name}</td><td>{detail}</td></tr>" for name, detail in self._hands())
        return f"<table><caption>{len(self.tracks.times_s)} frames</caption>{rows}</table>"

    def _hands(self) -> Iterator[tuple[str, str]]:
        for hand, name in enumerate(hand_names(self.motion.is_right)):
            counts = [f"{(self.motion.status[hand] == value).sum()} {text}" for value, text in enumerate(STATUS_NAMES)]
            detail = ", ".join(reversed(counts))
            if self.joint_std_wrist_mm is not None and np.isfinite(self.joint_std_wrist_mm[hand]).all():
                detail += f", joints known to {np.median(self.joint_std_wrist_mm[hand, :, 1:]):.0f} mm"
            yield f"{name} hand", detail

    def _models(self) -> Any:
        from hmpfit.hands.model_files import load_hand_models

        return load_hand_models(self.hand_model)


def fit_video(
    video: str | Path,
    *,
    out: str | Path | None = None,
    hands: Hands = "auto",
    max_hands: int | None = None,
    frames: Frames | None = None,
    fps: float | None = None,
    hide_keypoints: Sequence[Frames] = (),
    init: str = "keypoints",
    checkpoint: str | Path | None = None,
    keypoints: str = "blend",
    boxes: str | Path | None = None,
    prior: str | Path = "default",
    hand_model: str | Path = "open",
    hand_size_mm: float | None = None,
    shape_from: str | Path | None = None,
    intrinsics: str | Path | None = None,
    camera_motion: str = "auto",
    recipe: str | Path = "default",
    assignments: Sequence[str] = (),
    solver: str | None = None,
    views: int | None = None,
    device: Device = "auto",
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
    **more: Any,
) -> FitResult:
    """Fit the hands of a video, photo or folder of images (a path or web address); return what `hmpfit run` writes.

    The keywords are the options of `hmpfit run`; `frames` and `hide_keypoints` are half-open pairs of source frames,
    `assignments` what `--set` takes, `hand_size_mm` is `--hand-size`, `camera_motion` is `--camera`; `more` are the
    rarer ones (`hand_landmarker`, `mmpose_onnx`, `workers`, ...). With `out` the run folder is written and reused like
    the command's; without it nothing is left on the disk. Camera-frame meters, joints in OpenPose order.
    Raises InputError, UnknownNameError and NoHandError, each with one sentence.
    """
    from hmpfit.pipeline.api import fit_to_record

    settings = _settings(
        hands=hands, max_hands=max_hands, frames=frames, fps=fps, hide_keypoints=hide_keypoints, init=init,
        checkpoint=checkpoint, keypoints=keypoints, boxes=boxes, prior=prior, hand_model=hand_model,
        hand_size_mm=hand_size_mm, shape_from=shape_from, intrinsics=intrinsics, camera_motion=camera_motion,
        recipe=recipe, assignments=assignments, solver=solver, views=views, device=device, seed=seed,
        overwrite=overwrite, **more,
    )  # fmt: skip
    record = fit_to_record(video, out, progress, **settings)
    return _result(record, str(hand_model))


def read_result(path: str | Path, hand_model: str | Path = "open") -> FitResult:
    """Read a run folder or its `result.npz`; `hand_model` is the one that the run was made with.

    What `result.json` beside it says of the run is `provenance` and `recipe`; solver reports are not kept. Raises
    InputError when the file is missing, damaged, or made with another hand model.
    """
    from hmpfit.results.matching import read_with_model

    stored, _ = read_with_model(Path(path), str(hand_model))
    summary = (Path(path) if Path(path).is_dir() else Path(path).parent) / "result.json"
    told = read_json_table(summary) if summary.is_file() else {}
    known = {field.name: getattr(stored, field.name) for field in fields(stored)}
    recipe = told.pop("recipe", {})
    record = FitRecord(**known, reports=(), windows=(), recipe=recipe, provenance=told)
    return _result(record, str(hand_model))


def _result(record: FitRecord, hand_model: str) -> FitResult:
    return FitResult(**{field.name: getattr(record, field.name) for field in fields(record)}, hand_model=hand_model)


def _settings(**given: Any) -> dict[str, Any]:
    """Return keywords as the settings take them: paths as text, stretches as pairs of int. Raises InputError."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    plain["frames"] = _pair("frames", plain["frames"])
    plain["hide_keypoints"] = tuple(_pair("hide_keypoints", stretch) for stretch in plain["hide_keypoints"])
    return plain | {"assignments": tuple(plain["assignments"])}


def _pair(name: str, value: Any) -> Any:
    """Return a (start, stop) pair as it is. Raises InputError for anything else that was given."""
    if value is None:
        return None
    whole = isinstance(value, Sequence) and len(value) == 2 and all(isinstance(end, int | np.integer) for end in value)
    if isinstance(value, str) or not whole:
        raise InputError(f"{name} takes a pair of whole numbers such as (0, 20), the end not included; not {value!r}.")
    return int(value[0]), int(value[1])
