"""Frames kept for going backwards: the images of the clip, whether they are still kept or decoded once more."""

from collections.abc import Iterator

import numpy as np

from hmpfit.keypoints.frames import decoded
from hmpfit.keypoints.recent_frames import RecentFrames


class Stream:
    """A clip whose frames show their number, and that counts what is read."""

    width, height = 4000, 4000  # four such frames are all that is kept
    times_s = np.arange(40) / 30

    def __init__(self) -> None:
        self.read: list[int] = []

    def images(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        for frame in range(40)[start:stop]:
            self.read.append(frame)
            yield frame, np.full((1, 1, 3), frame, np.uint8)


def test_recent_frames_are_not_decoded_again_and_earlier_ones_are() -> None:
    clip = Stream()
    recent = RecentFrames(clip)
    for frame, image in decoded(clip, 0, 30):
        recent.put(frame, image)
    earlier = recent.earlier()
    assert [int(earlier(frame)[0, 0, 0]) for frame in (29, 28, 27, 26)] == [29, 28, 27, 26]
    assert clip.read == list(range(30))
    assert [int(earlier(frame)[0, 0, 0]) for frame in range(25, -1, -1)] == list(range(25, -1, -1))
    assert len(clip.read) <= 30 + 26 + 4
