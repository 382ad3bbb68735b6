"""Track hands frame by frame, causally: each hand is searched where it was, palms are detected now and then.

The offline detector decides with the whole clip in view (`keypoints.tracking`); here only the past is known. The
networks, regions, confidence and camera turn are the same.
"""

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from hmpfit.geometry.cameras import rays, rotation_from_optical_axis
from hmpfit.keypoints.detection import distinct
from hmpfit.keypoints.doubtful_hands import doubtful_so_far
from hmpfit.keypoints.landmarker_files import LandmarkerFiles
from hmpfit.keypoints.measured_hands import Sighting
from hmpfit.keypoints.networks import LandmarkNetwork
from hmpfit.keypoints.occlusion import OcclusionClassifier
from hmpfit.keypoints.palm_detector import PalmDetector
from hmpfit.keypoints.refinement import RefineOptions, measure_hand
from hmpfit.keypoints.regions import Regions, from_landmarks
from hmpfit.keypoints.tracklets import distance, log_odds
from hmpfit.live.records import Image, LiveFrame, SeenFrame, SeenHand
from hmpfit.records import Camera, Floats

_SAME_HAND = 0.25  # mean landmark distance, in hand boxes' diagonals, below which two hands are one
_OFF_CENTER, _OFF_TURN, _OFF_SIZE = 0.04, 0.2, 0.15  # share of the side, radians, logarithm: then it is cropped anew
_VIEWS_KEPT = 150  # looks with views by which a hand is doubted: half a minute
_REGION_MEMORY_S = 0.07  # time constant of the region that follows a hand


@dataclass(frozen=True)
class TrackerOptions:
    """How hands are sought and kept. `hands` as `--hands`; `views` and `views_every_s` as in the recipe."""

    hands: str = "auto"
    max_hands: int = 2
    refine: RefineOptions = field(default_factory=RefineOptions)
    palm_score: float = 0.5
    presence: float = 0.5
    palms_every_s: float = 0.1  # while no hand is followed
    more_palms_every_s: float = 0.5  # while hands are followed and more may come
    lost_s: float = 0.2  # without sight, until a hand is given up
    side_memory_s: float = 1.0  # over which a hand's side is voted


@dataclass
class _Followed:
    """A hand that is being followed."""

    hand_id: int
    is_right: bool
    xy_px: Floats
    seen_s: float
    odds: float  # of being a right hand, a running mean of log-odds
    votes_s: float = 0.0
    velocity: Floats = field(default_factory=lambda: np.zeros(2))
    region: Regions | None = None
    viewed_s: float = -np.inf
    view_presence: deque[float] = field(default_factory=lambda: deque(maxlen=_VIEWS_KEPT))
    confidence: Floats = field(default_factory=lambda: np.zeros(21))

    @property
    def doubtful(self) -> bool:
        """Whether its views say that it is no hand: a paw is followed, so that it is not found anew, and not shown."""
        return doubtful_so_far(self.view_presence)

    def region_at(self, time_s: float) -> Regions:
        """Return the next region: around the last landmarks, extrapolated and smoothed."""
        gap = time_s - self.seen_s
        wanted = from_landmarks(self.xy_px + self.velocity * min(gap, 0.1))
        before = self.region
        if before is None or gap > 0.15:
            return wanted
        share = 1 - np.exp(-gap / _REGION_MEMORY_S)
        turn = (wanted.angle - before.angle + np.pi) % (2 * np.pi) - np.pi
        side = before.side_px * (wanted.side_px / before.side_px) ** share
        return Regions(wanted.center_px, side, before.angle + share * turn)


class HandTracker:
    """Follows hands through frames that come one by one; one instance serves one thread."""

    def __init__(self, files: LandmarkerFiles, camera: Camera, options: TrackerOptions = TrackerOptions()) -> None:
        self._palms = PalmDetector(files.palm, options.palm_score, 2 * options.max_hands)
        self._network = LandmarkNetwork(files.landmarks, with_features=True)
        self._judge = OcclusionClassifier.load()
        self._camera, self._options = camera, options
        self._followed: list[_Followed] = []
        self._next_id = 0
        self._searched_s = -np.inf

    def __call__(self, frame: LiveFrame) -> SeenFrame:
        """Return the hands of the next frame; frames come in the order of time."""
        image, time_s = frame.image, frame.time_s
        hands = []
        for one in list(self._followed):
            region = one.region_at(time_s)
            sighting = self._measure(one, image, region, frame)
            if sighting.presence >= self._options.presence and _is_off(region, from_landmarks(sighting.xy_px)):
                region = from_landmarks(sighting.xy_px)  # it moved otherwise than foretold
                sighting = self._measure(one, image, region, frame)
            if sighting.presence >= self._options.presence:
                self._move(one, sighting, region, time_s)
                if self._counts(one):
                    hands.append(self._seen(one, sighting, region))
            elif time_s - one.seen_s > self._options.lost_s:
                self._followed.remove(one)
        hands = self._without_twins(hands)
        if self._search_is_due(time_s):
            self._search(image, time_s)
        return SeenFrame(frame.number, time_s, frame.arrived_s, tuple(hands))

    def _measure(self, one: _Followed, image: Image, region: Regions, frame: LiveFrame) -> Sighting:
        refine = self._options.refine
        since = frame.time_s - one.viewed_s
        viewed = refine.views > 0 and (since == 0 or since >= refine.views_every_s - 1e-4)
        sighting = measure_hand(
            self._network, image, region, not one.is_right, frame.number, refine, viewed, self._judge
        )
        if sighting.alpha is not None:
            one.viewed_s, one.confidence = frame.time_s, sighting.alpha
            one.view_presence.append(sighting.view_presence)
        return replace(sighting, alpha=one.confidence)

    def _move(self, one: _Followed, sighting: Sighting, region: Regions, time_s: float) -> None:
        gap = max(time_s - one.seen_s, 1e-3)
        moved = (sighting.xy_px - one.xy_px).mean(0) / gap
        one.velocity = 0.5 * one.velocity + 0.5 * moved
        one.xy_px, one.seen_s, one.region = sighting.xy_px, time_s, region
        right = sighting.right if one.is_right else 1 - sighting.right
        share = min(gap / max(min(one.votes_s + gap, self._options.side_memory_s), 1e-3), 1.0)
        one.odds += share * (float(log_odds(np.array(right))) - one.odds)
        one.votes_s += gap
        told = {"left": False, "right": True}.get(self._options.hands)
        clear = abs(one.odds) > 1.0 and one.votes_s > 0.25
        if told is None and clear and (one.odds > 0) != one.is_right:
            one.is_right, one.hand_id = not one.is_right, self._new_id()  # another hand than was thought

    def _seen(self, one: _Followed, sighting: Sighting, region: Regions) -> SeenHand:
        K = self._camera.K[0]
        turn = rotation_from_optical_axis(rays(region.center_px, K, self._camera.distortion))
        return SeenHand(
            one.hand_id, one.is_right, sighting.xy_px, sighting.world_m @ turn.T, one.confidence.copy(),
            sighting.covered,
        )  # fmt: skip

    def _without_twins(self, hands: list[SeenHand]) -> list[SeenHand]:
        """Return the hands without the younger of two that lie on each other, which is no longer followed."""
        kept: list[SeenHand] = []
        for hand in sorted(hands, key=lambda hand: hand.hand_id):
            if any(distance(hand.xy_px, other.xy_px) < _SAME_HAND for other in kept):
                self._followed = [one for one in self._followed if one.hand_id != hand.hand_id]
            else:
                kept.append(hand)
        return kept

    def _counts(self, one: _Followed) -> bool:
        """Return whether a followed hand is one; what the user says is there is not doubted."""
        return self._options.hands != "auto" or not one.doubtful

    def _enough(self) -> bool:
        return sum(map(self._counts, self._followed)) >= self._options.max_hands

    def _search_is_due(self, time_s: float) -> bool:
        if self._enough():
            return False
        every = self._options.more_palms_every_s if self._followed else self._options.palms_every_s
        return time_s - self._searched_s >= every - 1e-4

    def _search(self, image: Image, time_s: float) -> None:
        """Detect palms in the whole picture; a new hand is followed from the next frame on."""
        self._searched_s = time_s
        palms = self._palms(image)
        if not len(palms.score):
            return
        found = self._network(image, palms.regions)
        for row in distinct(found, found.presence * palms.score, self._options.presence):
            xy = found.xy_px[row]
            known = any(distance(xy, one.xy_px) < 2 * _SAME_HAND for one in self._followed)
            if known or self._enough():
                continue
            odds = float(log_odds(found.right[row]))
            is_right = self._side(odds)
            if is_right is not None:
                self._followed.append(_Followed(self._new_id(), is_right, xy, time_s, odds))

    def _side(self, odds: float) -> bool | None:
        """Return the side of a new hand, or None where that side is not wanted."""
        told = self._options.hands
        if told in ("left", "right"):
            return told == "right"
        is_right = odds > 0
        if told == "both" and any(one.is_right == is_right for one in self._followed):
            return None
        return is_right

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1


def _is_off(used: Regions, wanted: Regions) -> bool:
    """Return whether a hand lay elsewhere in its crop than in the network's training."""
    shift = float(np.linalg.norm(used.center_px - wanted.center_px) / wanted.side_px)
    turn = abs(float((used.angle - wanted.angle + np.pi) % (2 * np.pi) - np.pi))
    size = abs(float(np.log(used.side_px / wanted.side_px)))
    return shift > _OFF_CENTER or turn > _OFF_TURN or size > _OFF_SIZE
