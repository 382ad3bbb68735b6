"""The `file:PATH` source: keypoints from another detector, as npz or JSON.

Keys, in both forms: `xy_px` [H, T, 21, 2] (or [T, 21, 2] for one hand), pixels, OpenPose order, NaN/null where unseen;
`is_right` [H] (or one boolean); optional `confidence` [H, T, 21] (default 1 where finite), `times_s` [T] seconds from
the video's first frame (default: one row a frame), `world_m` [H, T, 21, 3] hand-centered meters in camera axes.
A run's own `result.npz` is read too (its `keypoints_px` and `keypoint_confidence`), and the JSON of other detectors
(`interchange.py`): OpenPose's folder of one file per frame, COCO-WholeBody, mmpose.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.opening import reason_of
from hmpfit.files.schemas import PIXELS, SECONDS, Fields
from hmpfit.files.structured import read_json
from hmpfit.interfaces.context import RunContext, argument_of
from hmpfit.interfaces.keypoint_source import KeypointSource, SourceInputs
from hmpfit.keypoints.frames import FrameSource
from hmpfit.keypoints.interchange import read_folder, read_list
from hmpfit.records import Camera, Floats, KeypointTracks

_ALIASES = {"keypoints_px": "xy_px", "keypoint_confidence": "confidence"}
CONFIDENCE_MOST = 100.0  # some detectors count in percent or a little beyond 1; what is above 1 counts as 1
WORLD_M_MOST = 10.0
_KEYS = ("xy_px", "is_right", "confidence", "times_s", "world_m")


def read_keypoints(path: str | Path, clip: FrameSource, camera: Camera) -> KeypointTracks:
    """Read keypoints for the frames of a clip; frames are matched by time when the file has times.

    Raises InputError, naming the file and the key, when something is missing or has another shape.
    """
    path = Path(path)
    content = _load(path)
    for key in ("xy_px", "is_right"):
        if key not in content:
            raise InputError(f"The keypoint file {path} has no '{key}'; it needs xy_px and is_right, and may have "
                             f"{', '.join(_KEYS[2:])}.")  # fmt: skip
    xy = _array(content["xy_px"], path, "xy_px", PIXELS)
    one_hand = xy.ndim == 3
    xy = xy[None] if one_hand else xy
    is_right = np.atleast_1d(_array(content["is_right"], path, "is_right", 1)) > 0.5
    if xy.ndim != 4 or xy.shape[2:] != (21, 2) or is_right.shape != xy.shape[:1]:
        raise InputError(f"The keypoint file {path} has xy_px {xy.shape} and is_right {is_right.shape}; expected "
                         "[H, T, 21, 2] and [H].")  # fmt: skip
    finite = np.isfinite(xy).all(axis=-1)
    if 0 in xy.shape:
        raise InputError(f"The keypoint file {path} holds no hands or no frames.")
    alpha = _optional(content, "confidence", xy.shape[:3], one_hand, path, CONFIDENCE_MOST)
    alpha = np.where(finite, 1.0 if alpha is None else np.clip(np.nan_to_num(alpha), 0, 1), 0.0)
    world = _optional(content, "world_m", (*xy.shape[:3], 3), one_hand, path, WORLD_M_MOST)
    frames = _frames(content, xy.shape[1], np.asarray(clip.times_s), path)
    found = frames >= 0
    take = np.where(found, frames, 0)
    seen = (alpha > 0).any(axis=-1)[:, take] & found
    return KeypointTracks(
        xy_px=np.where(seen[..., None, None], xy[:, take], np.nan),
        confidence=np.where(seen[..., None], alpha[:, take], 0.0),
        seen=seen,
        is_right=is_right,
        times_s=np.asarray(clip.times_s, dtype=np.float64),
        world_m=None if world is None else np.where(seen[..., None, None], world[:, take], np.nan),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.is_dir():
            content = read_folder(path)
        elif path.suffix.lower() == ".json":
            content = read_json(path)
            content = read_list(content) or content
            if not isinstance(content, dict):
                raise ValueError("neither named arrays nor a list of OpenPose or COCO-WholeBody entries")
        else:
            content = dict(read_npz(path, {*_KEYS, *_ALIASES}.__contains__))
    except UnreadableFileError as error:
        if not path.exists():
            raise InputError(f"The keypoint file {path} does not exist.") from None
        raise InputError(f"The keypoint file {path} cannot be read as npz or JSON: {error.reason}.") from None
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"The keypoint file {path} is of no known form: {reason_of(error)}.") from None
    return {_ALIASES.get(str(key), str(key)): value for key, value in content.items()}


def _array(value: Any, path: Path, key: str, most: float) -> Floats:
    """Return an array of any shape whose numbers, but for NaN, lie within -most and most."""
    numbers = Fields({key: value}, path, "a keypoint file").any_array(key)
    if numbers.dtype.kind not in "biuf":
        raise InputError(f"The keypoint file {path} has a '{key}' that is not an array of numbers.")
    numbers = numbers.astype(np.float64)
    worst = np.nanmax(np.abs(numbers), initial=0.0)
    if worst > most:
        raise InputError(f"The keypoint file {path} has {worst:.4g} in '{key}'; at most {most:g} is plausible.")
    return numbers


def _optional(
    content: dict[str, Any], key: str, shape: tuple[int, ...], one_hand: bool, path: Path, most: float
) -> Floats | None:
    if content.get(key) is None:
        return None
    value = _array(content[key], path, key, most)
    value = value[None] if one_hand and value.ndim == len(shape) - 1 else value
    if value.shape != shape:
        raise InputError(f"The keypoint file {path} has {key} of shape {value.shape}; expected {list(shape)}.")
    return value


def _frames(content: dict[str, Any], count: int, clip_times: Floats, path: Path) -> np.ndarray:
    """Return for each clip frame the file's frame, -1 where it has none."""
    if content.get("times_s") is None:
        if count != len(clip_times):
            raise InputError(
                f"The keypoint file {path} has {count} frames and no times_s; the clip has {len(clip_times)}."
            )
        return np.arange(count)
    times = _array(content["times_s"], path, "times_s", SECONDS)
    if times.shape != (count,) or not (np.diff(times) > 0).all() or np.isnan(times).any():
        raise InputError(f"The keypoint file {path} has times_s of shape {times.shape}; expected {count} rising times.")
    after = np.clip(np.searchsorted(times, clip_times), 0, count - 1)
    before = np.clip(after - 1, 0, count - 1)
    nearest = np.where(np.abs(times[before] - clip_times) < np.abs(times[after] - clip_times), before, after)
    step = float(np.median(np.diff(clip_times))) if len(clip_times) > 1 else np.inf
    return np.where(np.abs(times[nearest] - clip_times) <= step / 2 + 1e-9, nearest, -1)


def extract(context: RunContext, inputs: SourceInputs) -> KeypointTracks:
    """Return the tracks of the file that `--keypoints file:PATH` names."""
    return read_keypoints(argument_of(context.settings.keypoints), context.clip, context.camera)


SOURCE = KeypointSource(extract, files=lambda settings: {"keypoints": argument_of(settings.keypoints)})
