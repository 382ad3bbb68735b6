"""The `mmpose` source: any of mmpose's hand models, or an ONNX export, on the boxes of our own tracks.

Where the hand is comes from the tracks (between two seen frames, from the boxes around); what its 21 points are comes
from mmpose, whose scores, clipped to 0..1, are the confidences. mmpose's hand models list the points in OpenPose order.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.keypoint_source import KeypointSource, SourceInputs
from hmpfit.keypoints.frames import FrameSource
from hmpfit.keypoints.mmpose_imports import mmpose_api, read_mmpose_weights
from hmpfit.recipes.settings import RunSettings
from hmpfit.records import Bools, Floats, KeypointTracks

log = logging.getLogger("hmpfit")

Estimator = Callable[[Any, Floats], tuple[Floats, Floats]]  # image, boxes [N, 4] -> xy_px [N, 21, 2], scores [N, 21]
BOX_MARGIN = 0.15  # of the box's longer side, on every side: points lie inside the skin
PADDING = 1.25  # mmpose's own enlargement of boxes, for ONNX models
_MEAN, _STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])  # ImageNet's, RGB


def measure_tracks(
    clip: FrameSource,
    tracks: KeypointTracks,
    estimate: Estimator,
    hidden: Bools,
    on_frame: Callable[[int], None] | None = None,
) -> KeypointTracks:
    """Return the tracks with mmpose's points in the place of the detector's.

    Frames that are `hidden` [T] or lie before or after the hand was first or last seen have no evidence. 3D landmarks
    of the tracks stay as they are.
    """
    boxes = _boxes(tracks)
    wanted = np.isfinite(boxes).all(-1) & ~hidden
    xy, confidence = np.full(tracks.xy_px.shape, np.nan), np.zeros(tracks.confidence.shape)
    for frame, image in clip.images():
        hands = np.flatnonzero(wanted[:, frame])
        if len(hands):
            found, scores = estimate(image, boxes[hands, frame])
            xy[hands, frame], confidence[hands, frame] = found, np.clip(scores, 0, 1)
        if on_frame is not None:
            on_frame(frame)
    return replace(tracks, xy_px=xy, confidence=confidence, seen=wanted)


def load_estimator(config: str | None, checkpoint: str | None, onnx: str | None, device: str = "cpu") -> Estimator:
    """Return an estimator from mmpose's config and checkpoint, or from an ONNX export of an RTMPose hand model.

    `config` is a path or the name of a packaged one (`rtmpose-m_8xb256-210e_hand5-256x256`).
    Raises InputError when the files are missing or do not fit, MissingExtraError when mmpose or onnxruntime is missing.
    """
    if onnx is not None:
        return _onnx(Path(onnx))
    if config is None or checkpoint is None:
        raise InputError("--keypoints mmpose needs --mmpose-config and --mmpose-checkpoint, or --mmpose-onnx.")
    api = mmpose_api()
    from mmengine.config import Config

    try:
        settings = Config.fromfile(str(_config(config)))
    except Exception as error:  # mmengine runs the file
        raise InputError(f"The mmpose config '{config}' cannot be read ({type(error).__name__}: {error}).") from error
    settings.model.backbone.init_cfg = None  # its address of pre-trained weights is not needed and not reachable
    logging.getLogger("mmengine").setLevel(logging.ERROR)
    model = api.init_model(settings, None, device=device)
    _load_weights(model, Path(checkpoint), config)

    def estimate(image: Any, boxes: Floats) -> tuple[Floats, Floats]:
        samples = api.inference_topdown(model, image[..., ::-1], boxes.astype(np.float32))  # mmpose reads BGR
        found = np.concatenate([sample.pred_instances.keypoints for sample in samples])
        scores = np.concatenate([sample.pred_instances.keypoint_scores for sample in samples])
        if found.shape[1] != 21:
            raise InputError(f"The mmpose config '{config}' finds {found.shape[1]} points; a hand model finds 21.")
        return found, scores

    return estimate


def _config(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    import mmpose

    folder = Path(mmpose.__file__).parent / ".mim" / "configs" / "hand_2d_keypoint"
    packaged = {path.stem: path for path in sorted(folder.rglob("*.py"))}
    if Path(name).stem in packaged:
        return packaged[Path(name).stem]
    raise InputError(f"There is no mmpose config '{name}'; give a path or a packaged one: {', '.join(packaged)}.")


def _load_weights(model: Any, checkpoint: Path, config: str) -> None:
    state, wanted = read_mmpose_weights(checkpoint), model.state_dict()
    wrong = [key for key, value in wanted.items() if key not in state or state[key].shape != value.shape]
    if wrong:
        raise InputError(
            f"The checkpoint '{checkpoint}' does not fit the config '{config}': {len(wrong)} weights are missing or of "
            f"another shape, first '{wrong[0]}'."
        )
    extra = set(state) - set(wanted)
    if extra:
        log.info("'%s' holds %d weights that the model has no use for.", checkpoint, len(extra))
    model.load_state_dict({key: state[key] for key in wanted})


def _onnx(path: Path) -> Estimator:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("--mmpose-onnx", "onnxruntime", "pip install onnxruntime") from error
    if not path.is_file():
        raise InputError(f"The ONNX model '{path}' does not exist.")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    except Exception as error:
        raise InputError(f"'{path}' is not a readable ONNX model ({type(error).__name__}).") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 2:
        raise InputError(f"'{path}' has {len(outputs)} outputs; an RTMPose export has two, simcc_x and simcc_y.")
    height, width = (int(side) if isinstance(side, int) else 256 for side in inputs[0].shape[2:])

    def estimate(image: Any, boxes: Floats) -> tuple[Floats, Floats]:
        return simcc_estimate(lambda batch: session.run(None, {inputs[0].name: batch}), image, boxes, width, height)

    return estimate


def simcc_estimate(
    network: Callable[[Any], Any], image: Any, boxes: Floats, width: int, height: int
) -> tuple[Floats, Floats]:
    """Run an RTMPose network on boxes [N, 4] of an RGB image and read its two 1D distributions per point.

    `network` maps crops [N, 3, height, width] to (simcc_x [N, 21, width * k], simcc_y [N, 21, height * k]); a point is
    where both peak, its score the lower peak. Source: RTMPose (Jiang et al. 2023), section 3.
    """
    import cv2

    crops, back = [], []
    for x0, y0, x1, y1 in boxes:
        side = PADDING * max((x1 - x0) / width, (y1 - y0) / height)  # image pixels per crop pixel
        corner = np.array([(x0 + x1) / 2 - side * width / 2, (y0 + y1) / 2 - side * height / 2])
        matrix = np.array([[1 / side, 0, -corner[0] / side], [0, 1 / side, -corner[1] / side]])
        crop = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
        crops.append(((crop - _MEAN) / _STD).transpose(2, 0, 1))
        back.append((side, corner))
    along_x, along_y = (np.asarray(values) for values in network(np.stack(crops).astype(np.float32)))
    places = [along_x.argmax(-1) * width / along_x.shape[-1], along_y.argmax(-1) * height / along_y.shape[-1]]
    sides, corners = np.array([side for side, _ in back]), np.stack([corner for _, corner in back])
    found: Floats = np.stack(places, axis=-1) * sides[:, None, None] + corners[:, None]
    return found, np.minimum(along_x.max(-1), along_y.max(-1))


def _boxes(tracks: KeypointTracks) -> Floats:
    """Return boxes [H, T, 4] around the points, linear between seen frames, NaN before the first and after the last."""
    hands, frames = tracks.seen.shape
    low, high = tracks.xy_px.min(axis=2), tracks.xy_px.max(axis=2)
    margin = BOX_MARGIN * (high - low).max(-1, keepdims=True)
    tight = np.concatenate((low - margin, high + margin), axis=-1)
    out, index = np.full((hands, frames, 4), np.nan), np.arange(frames)
    for hand in range(hands):
        seen = np.flatnonzero(tracks.seen[hand])
        if len(seen):
            inside = slice(seen[0], seen[-1] + 1)
            for side in range(4):
                out[hand, inside, side] = np.interp(index[inside], seen, tight[hand, seen, side])
    return out


def extract(context: RunContext, inputs: SourceInputs) -> KeypointTracks:
    """Measure the detector's tracks with the model that the `--mmpose-` options name."""
    assert inputs.detected is not None
    settings = context.settings
    estimate = load_estimator(
        settings.mmpose_config, settings.mmpose_checkpoint, settings.mmpose_onnx, device=context.device
    )
    advance = context.progress.phase("mmpose", context.clip.frames)
    return measure_tracks(context.clip, inputs.detected, estimate, context.hidden, lambda _: advance(1))


def _files(settings: RunSettings) -> dict[str, str | None]:
    names = ("mmpose_config", "mmpose_checkpoint", "mmpose_onnx")
    return {name: getattr(settings, name) for name in names}


SOURCE = KeypointSource(extract, requires=frozenset({"detector"}), files=_files)
