"""Detection rate on rendered hands that nothing hides, a check of the generated clips."""

from dataclasses import dataclass

import numpy as np

from hmpfit.errors import InputError, NoHandError
from hmpfit.geometry.cameras import project_array
from hmpfit.hands.matching import match_hands
from hmpfit.interfaces.dataset import OCCLUDED_SHARE, Sequence
from hmpfit.keypoints import mediapipe


@dataclass(frozen=True)
class DetectionRate:
    """Frames of hands in sight (at most `OCCLUDED_SHARE` of the joints hidden), and those in which they were found."""

    in_sight: int
    found: int
    hidden: int  # frames of hands that are hidden more than that
    hidden_found: int

    @property
    def share(self) -> float:
        """Share of the frames in sight in which the hand was found; NaN when there are none."""
        return self.found / self.in_sight if self.in_sight else float("nan")


def detection_rate(sequence: Sequence, workers: int = 1) -> DetectionRate:
    """Run detector and tracker over a clip with truth and count hand by hand of the same side.

    Raises InputError when the truth does not say which joints can be seen, or the clip cannot be read.
    """
    truth = sequence.truth()
    if truth.visible is None:
        raise InputError(f"The truth of '{sequence.name}' has no visibility; hmpfit synthesize writes it.")
    hidden = truth.valid & ((~truth.visible).mean(-1) > OCCLUDED_SHARE)
    in_sight = truth.valid & ~hidden
    found = np.zeros_like(in_sight)
    hands = {(True,): "right", (False,): "left", (True, False): "both"}.get(tuple(truth.is_right.tolist()), "auto")
    options = mediapipe.MediaPipeOptions(hands, views=0, workers=workers, max_hands=len(truth.is_right))
    try:
        tracks = mediapipe.extract(sequence.clip, sequence.camera, options)
    except NoHandError:
        tracks = None
    if tracks is not None:
        pixels = project_array(truth.joints_m, sequence.camera.K[:, None])
        pixels = np.where(truth.valid[..., None, None], pixels, np.nan)
        for hand, row in enumerate(match_hands(tracks.xy_px, tracks.is_right, pixels, truth.is_right)):
            if row >= 0:
                found[hand] = tracks.seen[row]
    counts = (in_sight.sum(), (in_sight & found).sum(), hidden.sum(), (hidden & found).sum())
    return DetectionRate(*(int(count) for count in counts))


def total(rates: list[DetectionRate]) -> DetectionRate:
    """Add up the counts of several clips."""
    return DetectionRate(*(sum(getattr(rate, name) for rate in rates) for name in DetectionRate.__dataclass_fields__))
