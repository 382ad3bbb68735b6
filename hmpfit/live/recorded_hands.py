"""Collect a session's hands frame by frame, and make a result of them at the end.

Kept in float32: two hands for an hour at 30 frames a second are about 0.5 GB.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import hmpfit
from hmpfit.hands.mano import pose_hands
from hmpfit.initializers.gaps import fill_gaps
from hmpfit.interfaces.context import RunContext
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.live.records import LiveEstimate, SeenFrame
from hmpfit.pipeline.input_fingerprints import clip_fingerprint, hand_model_fingerprints
from hmpfit.pipeline.size import hand_size
from hmpfit.recipes.checking import table_of
from hmpfit.records import DETECTED, Bools, FitRecord, HandMotion, KeypointTracks
from hmpfit.results.jitter import mesh_center_px
from hmpfit.results.trust import status_of_trust, trusted_frames

LEAST_SHARE, LEAST_FRAMES = 0.05, 10  # of the frames, for which a hand must have been known to be in the result


@dataclass
class RecordedHands:
    """Sightings and estimates by the number of a frame."""

    _frames: list[int] = field(default_factory=list)
    _seen: dict[int, list[tuple[int, bool, np.ndarray]]] = field(default_factory=dict)
    _known: dict[int, list[tuple[int, bool, np.ndarray]]] = field(default_factory=dict)

    def saw(self, seen: SeenFrame) -> None:
        """Keep what was seen in a frame."""
        self._frames.append(seen.number)
        self._seen[seen.number] = [
            (hand.hand_id, hand.is_right, _packed(hand.xy_px, hand.world_m, hand.confidence)) for hand in seen.hands
        ]

    def know(self, estimate: LiveEstimate) -> None:
        """Keep the hands of a frame."""
        self._known[estimate.number] = [
            (
                hand.hand_id, hand.is_right,
                _packed(hand.global_orient, hand.hand_pose, hand.joints[0], hand.betas),
            )
            for hand in estimate.hands
        ]  # fmt: skip

    @staticmethod
    def nothing_hidden(frames: int) -> Bools:
        """Return that no frame was withheld."""
        return np.zeros(frames, dtype=bool)

    def result(self, context: RunContext, source: str, prior: str) -> FitRecord | None:
        """Return the result of a recording, whose clip is the context's; None where no hand was there long enough."""
        frames = {number: n for n, number in enumerate(self._frames[: context.clip.frames])}
        counts: dict[tuple[int, bool], int] = {}
        for number, hands in self._known.items():
            for name, side, _ in hands if number in frames else ():
                counts[name, side] = counts.get((name, side), 0) + 1
        least = max(LEAST_FRAMES, LEAST_SHARE * len(frames))
        rows = {hand: row for row, hand in enumerate(sorted(h for h, count in counts.items() if count >= least))}
        if not rows:
            return None
        motion = self._motion(context, frames, rows)
        tracks = self._tracks(context, frames, rows)
        everywhere = replace(motion, status=np.full_like(motion.status, DETECTED))
        motion = replace(motion, status=status_of_trust(motion.status, trusted_frames(tracks)))
        unknown = np.full(tracks.confidence.shape, np.nan)
        return FitRecord(
            motion=motion,
            joints=pose_hands(context.models, motion).joints,
            joint_std_mm=unknown,
            joint_std_wrist_mm=unknown,
            hand_size=hand_size(context, motion),
            landmarks_px=projected_tracks(everywhere, context.models, context.camera, context.clip.times_s).xy_px,
            mesh_center_px=mesh_center_px(context.models, motion, context.camera),
            camera=context.camera,
            tracks=tracks,
            reports=(),
            windows=((0, context.clip.frames),),
            recipe=table_of(context.settings.recipe),
            provenance=_provenance(context, source, prior),
        )

    def _motion(self, context: RunContext, frames: dict[int, int], rows: dict[tuple[int, bool], int]) -> HandMotion:
        """Return the motion with one shape a hand, the last; wrists stay where they were, gaps are filled."""
        shape = len(rows), context.clip.frames
        values, known = np.zeros((*shape, 3 + 45 + 3 + 10)), np.zeros(shape, dtype=bool)
        for number, hands in self._known.items():
            for name, side, packed in hands:
                if number in frames and (name, side) in rows:
                    at = rows[name, side], frames[number]
                    values[at], known[at] = packed, True
        last = known.shape[1] - 1 - known[:, ::-1].argmax(1)
        motion = HandMotion(
            global_orient=values[..., :3],
            hand_pose=values[..., 3:48].reshape(*shape, 15, 3),
            transl=np.zeros((*shape, 3)),
            betas=values[np.arange(shape[0]), last, 51:],
            is_right=np.array([side for _, side in rows], dtype=bool),
            status=np.where(known, DETECTED, 0).astype(np.uint8),
        )
        root = pose_hands(context.models, motion).joints[:, :, 0]
        return fill_gaps(replace(motion, transl=values[..., 48:51] - root), known, context.clip.times_s)

    def _tracks(self, context: RunContext, frames: dict[int, int], rows: dict[tuple[int, bool], int]) -> KeypointTracks:
        shape = len(rows), context.clip.frames
        xy, world = np.full((*shape, 21, 2), np.nan), np.full((*shape, 21, 3), np.nan)
        confidence, seen = np.zeros((*shape, 21)), np.zeros(shape, dtype=bool)
        for number, hands in self._seen.items():
            for name, side, packed in hands:
                if number in frames and (name, side) in rows:
                    at = rows[name, side], frames[number]
                    xy[at], world[at] = packed[:42].reshape(21, 2), packed[42:105].reshape(21, 3)
                    confidence[at], seen[at] = packed[105:], True
        sides = np.array([side for _, side in rows], dtype=bool)
        return KeypointTracks(xy, confidence, seen, sides, context.clip.times_s, world)


def _packed(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(part, dtype=np.float32).ravel() for part in parts])


def _provenance(context: RunContext, source: str, prior: str) -> dict[str, Any]:
    settings = context.settings
    return {
        "video": str(context.clip.path),
        "live": source,
        "still": False,
        "mirrored": False,  # the recording has been turned back already
        "first_frame": 0,
        "hand_model": context.models.right.name,
        "prior": prior,
        "initializer": settings.init,
        "keypoints": settings.keypoints,
        "solver": "fixed_lag",
        "seed": settings.seed,
        "version": hmpfit.__version__,
        "fingerprints": {"clip": clip_fingerprint(context), "hand_model": hand_model_fingerprints(context.models)},
    }
