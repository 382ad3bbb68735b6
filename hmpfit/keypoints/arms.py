"""Assign hands to people by their arms: hands at the wrists of bodies that are seen well.

Separate from `pose_detector`, which finds bodies, and from `persons`, which decides. MediaPipe's pose network imagines
bodies around single hands: only a body whose face and shoulders are in sight says anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hmpfit.keypoints.pose_detector import LEFT_ELBOW, LEFT_WRIST, RIGHT_ELBOW, RIGHT_WRIST, Bodies
from hmpfit.keypoints.tracklets import sizes
from hmpfit.records import Floats, Ids
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST

_FACE, _SHOULDERS, _MOUTH = slice(0, 11), (11, 12), (9, 10)
_FACE_VISIBLE, _SHOULDERS_VISIBLE, _ARM_VISIBLE = 0.8, 0.8, 0.5
_AT_THE_WRIST = 0.5  # hand diagonals between a hand's wrist and a body's
_ALONG = -0.2  # cosine between forearm and hand, below which the hand points back into the arm
_LEAST_LOOKS, _LEAST_SHARE = 2, 0.8
_CROP_PER_FOREARM = 1.5


@dataclass(frozen=True)
class ArmVotes:
    """Votes of bodies on the sides and owners of H hands, in numbers of frames."""

    right: Ids  # [H] at a right wrist
    left: Ids  # [H] at a left wrist
    together: Ids  # [H, H] at both wrists of one body
    apart: Ids  # [H, H] at wrists of two bodies, or one at a body's other arm

    def side(self, hand: int) -> bool | None:
        """Return whether a hand's arm is a right one; None where the votes are not clear."""
        right, left = int(self.right[hand]), int(self.left[hand])
        if max(right, left) < max(_LEAST_LOOKS, _LEAST_SHARE * (right + left)):
            return None
        return right > left


def count_votes(xy_px: Floats, bodies: Mapping[int, Bodies]) -> ArmVotes:
    """Count, over frames in which bodies were looked for, whose wrist each hand [H, T, 21, 2] (NaN unseen) is at."""
    hands = len(xy_px)
    votes = ArmVotes(*(np.zeros(shape, dtype=np.int64) for shape in (hands, hands, (hands, hands), (hands, hands))))
    for frame, found in bodies.items():
        held = [(hand, *at) for hand in range(hands) if (at := _wrist_at(xy_px[hand, frame], found)) is not None]
        for hand, body, right in held:
            (votes.right if right else votes.left)[hand] += 1
            for other, its_body, its_right in held:
                if other != hand:
                    same = body == its_body and right != its_right
                    (votes.together if same else votes.apart)[hand, other] += 1
    return votes


def crops_at_wrists(found: Bodies, known: Floats) -> list[Floats]:
    """Return areas (left, top, right, bottom) around wrists at which no known hand [N, 21, 2] is."""
    out = []
    for body in np.flatnonzero(_seen_well(found)):
        for elbow, wrist, _ in _arms(found, body):
            forearm = float(np.linalg.norm(wrist - elbow))
            away = np.linalg.norm(known[:, OPENPOSE_WRIST] - wrist, axis=-1) / np.maximum(sizes(known), 1e-9)
            if forearm > 0 and away.min(initial=np.inf) > _AT_THE_WRIST:
                center = wrist + 0.3 * (wrist - elbow)
                half = _CROP_PER_FOREARM * forearm / 2
                out.append(np.concatenate((center - half, center + half)))
    return out


def _wrist_at(hand_px: Floats, found: Bodies) -> tuple[int, bool] | None:
    """Return the body and the side of the wrist that a hand [21, 2] is at."""
    if not np.isfinite(hand_px).all():
        return None
    best, nearest = None, _AT_THE_WRIST
    along = hand_px[OPENPOSE_MIDDLE_MCP] - hand_px[OPENPOSE_WRIST]
    for body in np.flatnonzero(_seen_well(found)):
        for elbow, wrist, right in _arms(found, body):
            away = float(np.linalg.norm(hand_px[OPENPOSE_WRIST] - wrist) / max(float(sizes(hand_px)), 1e-9))
            arm = wrist - elbow
            cosine = float(arm @ along / max(float(np.linalg.norm(arm) * np.linalg.norm(along)), 1e-9))
            if away < nearest and cosine > _ALONG:
                best, nearest = (int(body), right), away
    return best


def _arms(found: Bodies, body: int) -> list[tuple[Floats, Floats, bool]]:
    """Return elbow, wrist and whether it is a right one, of the arms that are seen."""
    out = []
    for elbow, wrist, right in ((RIGHT_ELBOW, RIGHT_WRIST, True), (LEFT_ELBOW, LEFT_WRIST, False)):
        if found.visibility[body, [elbow, wrist]].min() >= _ARM_VISIBLE:
            out.append((found.xy_px[body, elbow], found.xy_px[body, wrist], right))
    return out


def _seen_well(found: Bodies) -> np.ndarray:
    """Return which bodies have a face above shoulders, all in sight, and are no fancy about a hand."""
    face = found.visibility[:, _FACE].mean(-1) >= _FACE_VISIBLE
    shoulders = found.visibility[:, _SHOULDERS].min(-1, initial=1.0) >= _SHOULDERS_VISIBLE
    right, left = (found.xy_px[:, point] for point in (_SHOULDERS[1], _SHOULDERS[0]))
    mouth = found.xy_px[:, _MOUTH].mean(axis=1)
    width = np.linalg.norm(right - left, axis=-1)
    above = ((right + left) / 2 - mouth)[:, 1] > 0.2 * width
    return np.asarray(face & shoulders & above)
