"""Warnings about a run, as plain sentences with frame numbers.

Separate from the report, because the viewer and scripts say the same sentences.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.cameras import FOCAL_LOG_STD
from hmpfit.records import DETECTED, EXTRAPOLATED, INTERPOLATED, Bools, CameraMotion, Floats, hand_names
from hmpfit.results.npz import StoredResult
from hmpfit.results.trust import LEAST_TRUSTED

SHORT_GAP_S = 0.2  # a gap up to this long is bridged well by any smooth motion; it is not worth a sentence
POOR_FIT = 0.06  # of the hand box's diagonal: residuals above it are seen by the naked eye
MIXED_VOTES = 0.7  # share of a hand's sightings that agree about its side, below which the side is in doubt
UNSURE_SCALE = 0.15  # relative standard deviation of the camera path's length
UNSURE_MM = 25.0  # a joint known no better than a finger's width


@dataclass(frozen=True)
class Caution:
    """A warning: its sentence, and the frames [first, end) of the result that it is about, None for all of them."""

    sentence: str
    frames: tuple[int, int] | None = None


def warnings(result: StoredResult, summary: Mapping[str, Any]) -> list[str]:
    """Return the sentences of `cautions`."""
    return [caution.sentence for caution in cautions(result, summary)]


def cautions(result: StoredResult, summary: Mapping[str, Any]) -> list[Caution]:
    """Return warnings of gaps, poor fits, unsure stretches, the assumed camera and stages that did not converge.

    Frame numbers in sentences are those of the source video, both ends included.
    """
    first = int(summary.get("first_frame") or 0)
    of_frames = [one for hand in range(len(result.motion.is_right)) for one in _of_hand(result, hand, first)]
    return of_frames + [Caution(sentence) for sentence in _of_the_whole(result, summary)]


def _of_the_whole(result: StoredResult, summary: Mapping[str, Any]) -> list[str]:
    """Return sentences on hands, camera and fit that hold for every frame."""
    said = [_other_arm(hand) for hand in summary.get("hands", ()) if _arm_differs(hand)]
    said += [_mixed_votes(hand) for hand in summary.get("hands", ()) if _is_mixed(hand.get("vote"))]
    said += _same_side(summary.get("hands", ()))
    said += _of_camera(float(result.camera.K[0, 0, 0]), summary.get("camera") or {})
    said += _of_world(result.camera_motion)
    for stage in summary.get("stages") or ():
        if stage["outcome"] == "out_of_steps":
            said.append(f"{_capital(stage['name'])} used all its {stage['steps']} steps before it settled.")
        elif stage["outcome"] == "not_finite":
            said.append(f"{_capital(stage['name'])} met numbers that are not finite; the best state before is kept.")
    if not summary.get("stages"):
        said.append("No solver ran: this is the initializer's motion with its gaps filled.")
    return said


def _of_camera(focal_px: float, camera: Mapping[str, Any]) -> list[str]:
    """Return sentences on a camera that is not known, or that was changed."""
    said, source = [], camera.get("source")
    spread = math.exp(camera.get("focal_log_std") or FOCAL_LOG_STD["assumed"])
    between = f"between {focal_px / spread:.0f} and {focal_px * spread:.0f} px"
    if source == "assumed":
        said.append(
            f"The camera is unknown: a focal length of {focal_px:.0f} px was assumed; two of three cameras lie "
            f"{between}. Poses are little affected, but distances from the camera scale with it; give --intrinsics if "
            "you know them."
        )
    elif source == "estimated":
        said.append(
            f"The camera is unknown: a focal length of {focal_px:.0f} px was estimated from perspective within the "
            f"hands; two of three cameras that look so lie {between}. Distances from the camera scale with it; give "
            "--intrinsics if you know them."
        )
    if camera.get("note"):
        said.append(f"The camera that was given: {camera['note']}")
    return said


def _of_world(camera_motion: CameraMotion | None) -> list[str]:
    """Return sentences on a world that is not, or not well, known."""
    if camera_motion is None:
        return []
    status, std = camera_motion.status, camera_motion.scale_std
    if status.endswith("scale unobserved"):
        return [
            "The camera moves and the hands do not tell how far (scale unobserved): there are no places in the world; "
            "give the camera's path with --camera file:PATH."
        ]
    if not camera_motion.known:
        return [
            "The camera moves and its path was not found: there are no places in the world, and the motion was kept "
            "smooth before the camera; give the path with --camera file:PATH."
        ]
    if status.startswith("unknown"):
        return ["Too little of the background can be followed to say whether the camera moves; it was taken as still."]
    if std > UNSURE_SCALE:
        return [f"The camera's path, and with it all places in the world, may be {std:.0%} too long or too short."]
    return []


def flagged_ranges(flags: Bools) -> Iterator[tuple[int, int]]:
    """Yield the runs of true values as half-open (start, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def residuals_px(result: StoredResult) -> Floats:
    """Return distances [H, T, 21] from the evidence to the fitted landmarks, NaN where there is no evidence."""
    return np.linalg.norm(result.landmarks_px - result.tracks.xy_px, axis=-1)


def medians(values: Floats) -> Floats:
    """Return the medians over the last axis without its NaNs, NaN where there are only NaNs."""
    known = np.isfinite(values)
    ordered = np.sort(np.where(known, values, np.inf), axis=-1)
    count = known.sum(-1)
    middle = np.take_along_axis(ordered, np.maximum(count - 1, 0)[..., None] // 2, axis=-1)[..., 0]
    return np.where(count > 0, middle, np.nan)


def _of_hand(result: StoredResult, hand: int, first: int) -> Iterator[Caution]:
    status, times_s = result.motion.status[hand], result.tracks.times_s
    side = hand_names(result.motion.is_right)[hand]
    step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
    for a, b in flagged_ranges(status == INTERPOLATED):
        if (b - a) * step_s > SHORT_GAP_S:
            why = _why(result, hand, a, b)
            said = f"{side} hand {why}; the pose is bridged from the frames around."
            yield Caution(f"{_frames(a, b, first)}: {said}", (a, b))
    for a, b in flagged_ranges(status == EXTRAPOLATED):
        where = "before it first appears" if a == 0 else "after it was last seen"
        why = _why(result, hand, a, b)
        where = where if why == "not seen" else why
        then = "the pose continues from the nearest seen frame"
        if not (status == DETECTED).any():
            then = "its pose is a guess, and it may be no hand"
        said = f"{side} hand {where}; {then}."
        yield Caution(f"{_frames(a, b, first)}: {said}", (a, b))
    diagonal = np.nanmedian(result.tracks.box_diagonal_px[hand]) if result.tracks.seen[hand].any() else np.nan
    poor = _steady((medians(residuals_px(result)[hand]) > POOR_FIT * diagonal) & (status == DETECTED))
    for a, b in flagged_ranges(poor):
        if (b - a) * step_s > SHORT_GAP_S:
            said = f"the {side} hand's fit and its keypoints disagree; look at the video there."
            yield Caution(f"{_frames(a, b, first)}: {said}", (a, b))
    std = result.from_wrist_mm[hand, :, 1:]
    if np.isfinite(std).all():
        share = (
            float((np.median(std, axis=-1)[status == DETECTED] > UNSURE_MM).mean()) if (status == DETECTED).any() else 0
        )
        if share > 0.5:
            known = f"known to no better than {UNSURE_MM:.0f} mm in {share:.0%} of its seen frames"
            yield Caution(f"The {side} hand's joints are {known}.")


def _why(result: StoredResult, hand: int, a: int, b: int) -> str:
    """Return why frames a..b do not count as detected."""
    tracks = result.tracks
    sighted = tracks.seen if tracks.sighted is None else tracks.sighted
    if sighted[hand, a:b].mean() <= 0.5:
        return "not seen"
    return f"seen, but fewer than {LEAST_TRUSTED} of its landmarks are trusted"


def _is_mixed(vote: Mapping[str, Any] | None) -> bool:
    return vote is not None and vote["agreement"] < MIXED_VOTES


def _arm_differs(hand: Mapping[str, Any]) -> bool:
    arm = (hand.get("vote") or {}).get("arm")
    return arm is not None and (arm == "right") != hand["is_right"]


def _other_arm(hand: Mapping[str, Any]) -> str:
    side = "right" if hand["is_right"] else "left"
    return (
        f"The {hand.get('name', side)} hand is at a {hand['vote']['arm']} arm: one of the two is taken for the other "
        "side. If it is the hand, its 3D pose is mirrored; --hands or --mirrored may set it right."
    )


def _same_side(hands: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each two hands of one person that are taken for the same side."""
    groups: dict[tuple[int, bool], list[Mapping[str, Any]]] = {}
    for hand in hands:
        if hand.get("person_id") is not None:
            groups.setdefault((int(hand["person_id"]), bool(hand["is_right"])), []).append(hand)
    said = []
    for pair in groups.values():
        if len(pair) == 2 and all(hand.get("vote") for hand in pair):
            doubted = min(pair, key=lambda hand: float(hand["vote"]["agreement"]))
            share = f"{doubted['vote']['agreement']:.0%}"
            said.append(
                f"The {pair[0]['name']} and the {pair[1]['name']} hand seem to be one person's: one of them is taken "
                f"for the other side, more likely the {doubted['name']} hand ({share} of its "
                "sightings agree about its side), and its 3D pose is then mirrored."
            )
    return said


def _mixed_votes(hand: Mapping[str, Any]) -> str:
    side = "right" if hand["is_right"] else "left"
    return (
        f"Only {hand['vote']['agreement']:.0%} of the sightings of the {hand.get('name', side)} hand take it for a "
        f"{side} hand; were it one of the other side, its 3D pose would be mirrored (--hands says which there are)."
    )


def _steady(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close holes of one frame, so that a flickering stretch is one sentence."""
    closed = flags.copy()
    closed[1:-1] |= flags[:-2] & flags[2:]
    return closed


def _frames(a: int, b: int, first: int) -> str:
    return f"Frames {a + first}–{b - 1 + first}" if b - a > 1 else f"Frame {a + first}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
