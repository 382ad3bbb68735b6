"""The first step: hands detected and tracked, or read from a file; and landmarks that only score a fit."""

from dataclasses import dataclass, replace

from hmpfit import registry
from hmpfit.initializers.depth_signs import DepthSigns, find_reversed_depths, with_depths
from hmpfit.initializers.focal_length import turned_landmarks
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.initializer import Initializer
from hmpfit.interfaces.keypoint_source import KeypointSource, SourceInputs
from hmpfit.keypoints import mediapipe
from hmpfit.pipeline.input_fingerprints import clip_fingerprint, file_fingerprints, hand_model_fingerprints
from hmpfit.pipeline.stage_files import StoreStage
from hmpfit.records import Floats, KeypointTracks

DETECTOR = "mediapipe"  # the shared detector


@dataclass(frozen=True)
class Detected:
    """Tracks before there is a motion: the detector's, and those of a source that is a detector of its own."""

    detector: KeypointTracks | None
    source: KeypointTracks | None

    @property
    def start(self) -> KeypointTracks | None:
        """What an initializer starts from."""
        return self.source if self.detector is None else self.detector


def source_name(context: RunContext) -> str:
    """Return the name of the run's keypoint source."""
    return context.settings.keypoints.partition(":")[0]


def load_source(name: str) -> KeypointSource:
    """Return a keypoint source by name."""
    source: KeypointSource = registry.load("keypoints", name)
    return source


def load_initializer(context: RunContext) -> Initializer:
    """Return the run's initializer."""
    initializer: Initializer = registry.load("initializers", context.settings.init.partition(":")[0])
    return initializer


def detect(context: RunContext, stage: StoreStage, settle_depths: bool = True) -> Detected:
    """Return the tracks that the source and the initializer of a run require, without the withheld frames.

    `settle_depths` False leaves the 3D landmarks as the detector has them.
    """

    def settled(tracks: KeypointTracks) -> KeypointTracks:
        return _with_settled_depths(context, stage, tracks) if settle_depths else tracks

    name, initializer = source_name(context), load_initializer(context)
    source = load_source(name)
    own = None if source.requires else source_tracks(context, stage, name, SourceInputs())
    lacks_landmarks = own is not None and own.world_m is None and initializer.requires == "landmarks_3d"
    if own is not None and not source.shared and not lacks_landmarks:
        return Detected(None, settled(own))
    detector = settled(detector_tracks(context, stage))
    if own is None or name == DETECTOR:
        return Detected(detector, None if own is None else detector)
    return Detected(detector, settled(own))


def _with_settled_depths(context: RunContext, stage: StoreStage, tracks: KeypointTracks) -> KeypointTracks:
    """Return tracks whose 3D landmarks are turned round in frames in which the recipe's hand needs that."""
    if not context.settings.recipe.initializer.turn_depths or tracks.world_m is None:
        return tracks
    depends_on = (tracks, context.camera, hand_model_fingerprints(context.models))

    def compute() -> DepthSigns:
        return find_reversed_depths(tracks, context.camera, context.models)

    signs: DepthSigns = stage("depth_signs", DepthSigns, depends_on, compute)
    return with_depths(tracks, context.camera, signs)


def detector_tracks(context: RunContext, stage: StoreStage) -> KeypointTracks:
    """Return the detector's tracks, without the withheld frames."""
    return source_tracks(context, stage, DETECTOR, SourceInputs())


def source_tracks(context: RunContext, stage: StoreStage, name: str, inputs: SourceInputs) -> KeypointTracks:
    """Return the tracks of the source called `name`, without the withheld frames, as a stage file."""
    settings, source = context.settings, load_source(name)
    first = context.detector_camera if source.shared else None
    camera = context.camera if first is None else first
    depends_on = (
        name, clip_fingerprint(context), context.hidden, camera, settings.hands, settings.max_hands, settings.seed,
        settings.recipe.keypoints, file_fingerprints(source.files(settings)), inputs.detected, inputs.initial,
    )  # fmt: skip

    def compute() -> KeypointTracks:
        return source.extract(replace(context, camera=camera), inputs).keep_frames(~context.hidden)

    file = "tracks" if source.shared else "source_tracks"
    found: KeypointTracks = stage(file, KeypointTracks, depends_on, compute)
    return found if first is None else turned_landmarks(found, first, context.camera)


def hidden_landmarks(context: RunContext, stage: StoreStage, tracks: KeypointTracks) -> Floats | None:
    """Return landmarks [H, T, 21, 2] of the withheld frames, never given to the fit; NaN elsewhere."""
    if not context.hidden.any():
        return None
    settings = context.settings
    options = mediapipe.options_of(settings, views=0)
    depends_on = (
        clip_fingerprint(context), context.hidden, tracks.xy_px, tracks.is_right, settings.hands, settings.max_hands,
        file_fingerprints(mediapipe.SOURCE.files(settings)),
    )  # fmt: skip

    def compute() -> KeypointTracks:
        return mediapipe.score_hidden(
            context.clip, context.camera, tracks, options, frames_hidden=context.hidden, progress=context.progress
        )

    scored: KeypointTracks = stage("hidden", KeypointTracks, depends_on, compute)
    return scored.xy_px
