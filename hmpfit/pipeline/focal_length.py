"""Estimate an unknown camera's focal length from hands and scene, between detection and first guess."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hmpfit.camera_motion.hand_masks import HandMasks
from hmpfit.camera_motion.point_tracks import Image, working_images
from hmpfit.camera_motion.stillness import sampled_frames
from hmpfit.errors import InputError
from hmpfit.geometry.intrinsics import ESTIMATE
from hmpfit.initializers.depth_signs import find_reversed_depths, with_depths
from hmpfit.initializers.focal_length import LINE_FOCALS, FocalEstimate, estimate_focal, weighed_frames, with_focal
from hmpfit.interfaces.context import RunContext, Samples
from hmpfit.keypoints.frames import stretches
from hmpfit.pipeline.detect import detect
from hmpfit.pipeline.input_fingerprints import clip_fingerprint, hand_model_fingerprints
from hmpfit.pipeline.stage_files import StoreStage
from hmpfit.process_copies import Send, beside, can_copy, side_by_side
from hmpfit.records import KeypointTracks
from hmpfit.vanishing_points.focal_evidence import LineEvidence, focal_evidence
from hmpfit.vanishing_points.line_segments import scene_segments

LINE_FRAMES = 7  # from which the scene's lines are taken
_READ_THROUGH = 900  # frames: a shorter clip is decoded once, which costs less than a seek for each of some frames


def estimates_focal(context: RunContext) -> bool:
    """Return whether neither the user nor the file nor the recipe gives the focal length."""
    told = context.settings.recipe.camera.focal_px > 0
    asked = context.settings.intrinsics in (None, ESTIMATE)
    return asked and context.camera.source == "assumed" and not told


def with_estimated_camera(context: RunContext, stage: StoreStage) -> RunContext:
    """Return the context with a camera of the estimated focal length, where none is given.

    Keypoints without 3D landmarks keep the assumed one. Raises InputError when they were asked for an estimate.
    """
    if not estimates_focal(context):
        return context
    tracks = detect(context, stage, settle_depths=False).start
    if tracks is None or tracks.world_m is None:
        if context.settings.intrinsics is None:
            return context
        raise InputError("--intrinsics estimate needs 3D landmarks, which these keypoints lack; use --keypoints blend.")
    depends_on = (
        tracks, context.camera, hand_model_fingerprints(context.models), clip_fingerprint(context),
        context.clip.first_frame, context.clip.frames, context.settings.recipe.initializer.turn_depths,
    )  # fmt: skip

    def compute() -> FocalEstimate:
        with _lines_beside(context, tracks) as lines:  # pictures are read and searched while the hands are posed
            return estimate_focal(_settled(context, tracks), context.camera, context.models, lines)

    found: FocalEstimate = stage("focal_length", FocalEstimate, depends_on, compute)
    camera = with_focal(context.camera, found.focal_px)
    camera = replace(camera, source="estimated", focal_log_std=found.log_std)
    return replace(context, camera=camera, detector_camera=context.camera)


def _settled(context: RunContext, tracks: KeypointTracks) -> KeypointTracks:
    """Return tracks whose 3D landmarks are turned round where the recipe wants that, in the frames that count."""
    if not context.settings.recipe.initializer.turn_depths:
        return tracks
    signs = find_reversed_depths(tracks, context.camera, context.models, weighed_frames(tracks))
    return with_depths(tracks, context.camera, signs)


@contextmanager
def _lines_beside(context: RunContext, tracks: KeypointTracks) -> Iterator[Callable[[], LineEvidence]]:
    """Look for the scene's lines in a copy of this process or on a thread; yield the function that waits for them."""
    if not can_copy():
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(_lines, context, tracks).result
        return
    with beside(lambda _: (_lines(context, tracks), context.scene.samples)) as copy:

        def wait() -> LineEvidence:
            lines, context.scene.samples = copy.result()
            return lines

        yield wait


def _lines(context: RunContext, tracks: KeypointTracks) -> LineEvidence:
    """Return the evidence of the scene's lines, from some frames evenly over the clip."""
    clip = context.clip
    frames = np.unique(np.linspace(0, clip.frames - 1, min(LINE_FRAMES, clip.frames)).round().astype(int)).tolist()
    if clip.frames <= _READ_THROUGH:
        images = _read_through(context, set(frames))
    else:
        images = [pair for frame in frames for pair in clip.images(frame, frame + 1)]
    views = scene_segments(images, HandMasks.of(tracks).outside, context.camera.K[0, :2, 2])
    return focal_evidence(views, LINE_FOCALS)


def _read_through(context: RunContext, frames: set[int]) -> list[tuple[int, Image]]:
    """Return the images of some frames; in the same pass the camera's samples are read, where that step needs them."""
    clip, samples = context.clip, set[int]()
    if context.settings.camera_motion == "auto" and clip.frames > 2:
        samples = set(sampled_frames(clip.times_s).tolist())

    def read(part: NDArray[np.int64], _: Send) -> tuple[list[tuple[int, Image]], Samples]:
        images: list[tuple[int, Image]] = []

        def sampled() -> Iterator[tuple[int, Image]]:
            for frame, make_image in clip.chosen(part.tolist()):
                image = make_image()
                images.extend([(frame, image)] if frame in frames else [])
                if frame in samples:
                    yield frame, image

        return images, list(working_images(sampled()))

    parts = side_by_side([partial(read, part) for part in stretches(np.array(sorted(frames | samples)))])
    context.scene.samples = [sample for _, found in parts for sample in found] or None
    return [image for images, _ in parts for image in images]
