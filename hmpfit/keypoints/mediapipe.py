"""The `mediapipe` source: from a clip's pixels to one track a hand, by MediaPipe's networks.

Puts detection, following, tracking and refinement together; what is withheld from one is withheld from all.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from hmpfit.errors import NoHandError
from hmpfit.free_memory import release_free_memory
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.keypoint_source import KeypointSource, SourceInputs
from hmpfit.keypoints.appearance import more_than_two, palm_colors, split_by_color
from hmpfit.keypoints.arms import count_votes
from hmpfit.keypoints.box_files import read_boxes
from hmpfit.keypoints.confidence import GAMMA_PER_DIAGONAL, drop_low_confidence_frames
from hmpfit.keypoints.detection import detect
from hmpfit.keypoints.extend_tracklets import extend_tracklets
from hmpfit.keypoints.frames import FrameSource
from hmpfit.keypoints.held_object_search import SearchOptions, search_missing_hands
from hmpfit.keypoints.landmarker_files import VARIABLE, LandmarkerFiles, load_landmarker
from hmpfit.keypoints.networks import LandmarkNetwork, prepare
from hmpfit.keypoints.persons import group_hands, sides_of_pairs
from hmpfit.keypoints.refinement import Measurements, RefineOptions, camera_tracks, refine_tracks
from hmpfit.keypoints.second_detection import detect_missed_hands
from hmpfit.keypoints.split_at_meetings import split_at_meetings
from hmpfit.keypoints.tracking import HandTracks, track, with_sides
from hmpfit.keypoints.tracklets import link, split_by_vote
from hmpfit.keypoints.tracks_in_boxes import tracks_of_boxes
from hmpfit.recipes.settings import RunSettings
from hmpfit.records import Bools, Camera, KeypointTracks

_SAID = {None: np.nan, True: 1.0, False: 0.0}


@dataclass(frozen=True)
class MediaPipeOptions:
    """What the user may choose. `gamma` is in hand boxes' diagonals; `workers` None is one a core.

    Views are drawn at most `views_every_s` apart (0: in every frame) and wherever that would not do. Frames that lack
    hands are searched for held objects `search_every_s` apart (0: never).
    """

    hands: str = "auto"
    views: int = 4
    gamma: float = GAMMA_PER_DIAGONAL
    gamma_px: float = 0.0  # above 0: pixels, in the place of `gamma`
    seed: int = 0
    landmarker: str | Path | None = None
    workers: int | None = None
    views_every_s: float = 0.0
    max_hands: int | None = None
    search_every_s: float = 0.0


class Phases(Protocol):
    """Where progress goes (`hmpfit.progress.Progress` is one)."""

    def phase(self, name: str, total: int) -> Callable[[int], None]:
        """Begin a phase of `total` steps and return the function that advances it."""


def extract(
    clip: FrameSource,
    camera: Camera,
    options: MediaPipeOptions = MediaPipeOptions(),
    *,
    frames_hidden: Bools | None = None,
    progress: Phases | None = None,
    measured: Measurements | None = None,
) -> KeypointTracks:
    """Follow the hands of a clip and measure their landmarks, confidence and world landmarks.

    The pixels of hidden frames [T] are never read. `measured` is what `find_and_measure` returned for the same clip
    and options. Raises NoHandError and InputError (no landmarker).
    """
    measured = measured or find_and_measure(clip, options, frames_hidden, progress)
    found = _under_camera(measured, clip, camera, options, drop_doubtful=options.hands == "auto")
    if not found.seen.any():
        why = "".join(f" ({one.reason})" for one in found.dropped[:1])
        raise NoHandError(f"What looked like a hand in some frames is none on a closer look{why}; no hand was found.")
    return found


def find_and_measure(
    clip: FrameSource,
    options: MediaPipeOptions = MediaPipeOptions(),
    frames_hidden: Bools | None = None,
    progress: Phases | None = None,
) -> Measurements:
    """Follow the hands of a clip and measure them, for `extract`: all that takes long, and what needs no camera."""
    files = load_landmarker(options.landmarker)
    prepare(files.palm, files.landmarks)
    tracks = find_tracks(clip, files, options, frames_hidden, progress)
    return _measured(clip, tracks, options, progress, drop_doubtful=options.hands == "auto")


def measure_tracked_hands(
    clip: FrameSource,
    camera: Camera,
    tracks: HandTracks,
    options: MediaPipeOptions = MediaPipeOptions(),
    progress: Phases | None = None,
) -> KeypointTracks:
    """Measure landmarks, confidence and world landmarks of hands whose rough landmarks are known."""
    measured = _measured(clip, tracks, options, progress, drop_doubtful=False)
    return _under_camera(measured, clip, camera, options, drop_doubtful=False)


def _measured(
    clip: FrameSource, tracks: HandTracks, options: MediaPipeOptions, progress: Phases | None, drop_doubtful: bool
) -> Measurements:
    return refine_tracks(
        clip,
        tracks,
        load_landmarker(options.landmarker),
        _refine_options(options, drop_doubtful),
        workers=options.workers,
        on_progress=_report(progress, "measuring landmarks"),
    )


def _under_camera(
    measured: Measurements, clip: FrameSource, camera: Camera, options: MediaPipeOptions, drop_doubtful: bool
) -> KeypointTracks:
    files, chosen = load_landmarker(options.landmarker), _refine_options(options, drop_doubtful)
    return camera_tracks(measured, clip, camera, files, chosen, options.workers)


def _refine_options(options: MediaPipeOptions, drop_doubtful: bool) -> RefineOptions:
    return RefineOptions(
        views=options.views,
        gamma=options.gamma,
        gamma_px=options.gamma_px,
        seed=options.seed,
        views_every_s=options.views_every_s,
        drop_doubtful=drop_doubtful,
    )


def find_tracks(
    clip: FrameSource,
    files: LandmarkerFiles,
    options: MediaPipeOptions,
    frames_hidden: Bools | None = None,
    progress: Phases | None = None,
) -> HandTracks:
    """Detect hands, follow them where the detector loses them, and sort them into hands of persons."""
    workers = options.workers
    report = _report(progress, "finding hands")
    detections = detect(clip, files, workers=workers, frames_hidden=frames_hidden, on_progress=report)
    release_free_memory()  # of networks: the next pass has its own
    detections, bodies = detect_missed_hands(clip, detections, files, workers=workers, frames_hidden=frames_hidden)
    release_free_memory()
    search = SearchOptions(every_s=options.search_every_s)
    detections = search_missing_hands(clip, detections, files, search, workers=workers, frames_hidden=frames_hidden)
    tracklets = split_by_vote(detections, link(detections))
    if more_than_two(tracklets):
        detections = replace(detections, color=palm_colors(clip, detections, workers))
        tracklets = split_at_meetings(detections, split_by_color(detections, tracklets))
    report = _report(progress, "following hands")
    extensions = extend_tracklets(
        clip, detections, tracklets, files, workers=workers, frames_hidden=frames_hidden, on_progress=report
    )
    release_free_memory()
    tracks = track(detections, tracklets, extensions, options.hands, options.max_hands, frames_hidden)
    arms = count_votes(tracks.xy_px, bodies)
    arm_right = np.array([_SAID[arms.side(hand)] for hand in range(len(tracks.is_right))])
    persons = group_hands(tracks.xy_px, tracks.is_right, tracks.hand_id, arms, tracks.color)
    if options.hands not in ("left", "right"):
        tracks = with_sides(tracks, sides_of_pairs(tracks.is_right, persons, tracks.right_log_odds, arms))
    return replace(tracks, person_id=persons, arm_right=arm_right)


def score_hidden(
    clip: FrameSource,
    camera: Camera,
    like: KeypointTracks,
    options: MediaPipeOptions = MediaPipeOptions(),
    *,
    frames_hidden: Bools,
    progress: Phases | None = None,
) -> KeypointTracks:
    """Measure landmarks of the hidden frames with everything visible: only to score a fit, never to feed it.

    The tracks are those of the hands `like`, in their order. They have no confidence (no augmented views) and are seen
    in hidden frames only.
    """
    files = load_landmarker(options.landmarker)
    tracks = find_tracks(clip, files, options, None, progress)
    rows = match_hands(tracks.xy_px, tracks.is_right, like.xy_px, like.is_right)
    found_px = pick_hands(tracks.xy_px, rows)
    tracks = replace(tracks, xy_px=found_px, seen=np.isfinite(found_px[:, :, 0, 0]), is_right=like.is_right)
    chosen = RefineOptions(views=0, seed=options.seed)
    report = _report(progress, "measuring hidden landmarks")
    measured = refine_tracks(
        clip, tracks, files, chosen, only=frames_hidden, workers=options.workers, on_progress=report
    )
    found = camera_tracks(measured, clip, camera, files, chosen)
    return KeypointTracks(
        xy_px=found.xy_px,
        confidence=np.zeros_like(found.confidence),
        seen=found.seen & frames_hidden,
        is_right=like.is_right,
        times_s=found.times_s,
        hand_id=like.hand_id,
        person_id=like.person_id,
    )


def _report(progress: Phases | None, name: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    advance: list[Callable[[int], None]] = []
    reached = [0]

    def report(done: int, total: int) -> None:
        if not advance:
            advance.append(progress.phase(name, total))
        advance[0](done - reached[0])
        reached[0] = done

    return report


def options_of(settings: RunSettings, views: int | None = None) -> MediaPipeOptions:
    """Return what the settings of a run mean here; `views` in the place of theirs."""
    recipe = settings.recipe.keypoints
    return MediaPipeOptions(
        hands=settings.hands,
        max_hands=settings.max_hands,
        views=settings.views if views is None else views,
        gamma=recipe.gamma,
        gamma_px=recipe.gamma_px,
        seed=settings.seed,
        landmarker=settings.hand_landmarker,
        workers=settings.workers,
        views_every_s=recipe.views_every_s,
        search_every_s=recipe.search_every_s,
    )


def in_boxes(context: RunContext) -> KeypointTracks:
    """Measure the hands of the boxes of `--boxes`, row for row; frames in which MediaPipe sees none are unseen.

    Hands that are followed as without boxes keep the frames that no box contradicts; the other boxes are searched.
    """
    clip, settings, options = context.clip, context.settings, options_of(context.settings)
    assert settings.boxes is not None
    boxes = read_boxes(settings.boxes, clip.frames, clip.width, clip.height, clip.first_frame)
    files = load_landmarker(settings.hand_landmarker)
    prepare(files.palm, files.landmarks)
    try:
        tracks = find_tracks(
            clip, files, replace(options, hands="auto", max_hands=None), context.hidden, context.progress
        )
    except NoHandError:
        tracks = None
    advance = context.progress.phase("looking into boxes", clip.frames)
    rough = tracks_of_boxes(clip, boxes, tracks, LandmarkNetwork(files.landmarks), context.hidden, advance)
    return measure_tracked_hands(clip, context.camera, rough, options, context.progress)


def _extract(context: RunContext, inputs: SourceInputs) -> KeypointTracks:
    if context.settings.boxes is not None:
        return _believed(in_boxes(context), context)
    found = extract(
        context.clip,
        context.camera,
        options_of(context.settings),
        frames_hidden=context.hidden,
        progress=context.progress,
        measured=None if context.measured is None else context.measured(),
    )
    return _believed(found, context)


def _believed(found: KeypointTracks, context: RunContext) -> KeypointTracks:
    """Return the tracks without the landmarks that the recipe does not trust."""
    recipe = context.settings.recipe.keypoints
    return drop_low_confidence_frames(found, recipe.least_frame_confidence)


def _files(settings: RunSettings) -> dict[str, str | None]:
    return {"hand_landmarker": settings.hand_landmarker or os.environ.get(VARIABLE), "boxes": settings.boxes}


SOURCE = KeypointSource(_extract, files=_files, shared=True)
