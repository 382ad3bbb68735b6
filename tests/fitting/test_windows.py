"""Windows over clips of any length and rate."""

import pytest
import torch

from hmpfit.fitting.windows import lay_windows, resample_poses
from hmpfit.geometry import rotations

LENGTH, OVERLAP = 128 / 30, 32 / 30


@pytest.mark.parametrize("fps", [12.0, 25.0, 29.97, 60.0, 240.0])
@pytest.mark.parametrize("frames", [1, 2, 97, 128, 129, 600])
def test_every_frame_lies_in_its_windows(fps, frames):
    times = torch.arange(frames, dtype=torch.float64) / fps + 3.0
    layout = lay_windows(times, LENGTH, OVERLAP)
    torch.testing.assert_close(layout.share.sum(-1), torch.ones(frames, dtype=torch.float64))
    covered = [frame for a, b in layout.segments for frame in range(a, b)]
    assert covered == list(range(frames))
    for w, (a, b) in enumerate(layout.windows):
        into = times[a:b] - layout.start_s[w]
        assert into.min() > -1e-6 and into.max() < LENGTH + 1e-6


def test_the_first_frames_of_a_longer_clip_keep_their_windows():
    times = torch.arange(400, dtype=torch.float64) / 30
    long, short = lay_windows(times, LENGTH, OVERLAP), lay_windows(times[:200], LENGTH, OVERLAP)
    assert torch.equal(long.share[:150], short.share[:150]) and torch.equal(long.own[:150], short.own[:150])


def test_a_hole_in_the_timestamps_leaves_windows_out():
    times = torch.cat((torch.arange(50.0), torch.arange(50.0) + 600)).double() / 30
    layout = lay_windows(times, LENGTH, OVERLAP)
    assert len(layout.segments) == 2 and layout.overlap.sum() == 0


def test_resampling_hits_known_frames_and_marks_what_is_unknown():
    times = torch.arange(40, dtype=torch.float64) / 20
    angles = torch.stack((times, 0 * times, 0 * times), -1)[None, :, None].expand(1, -1, 15, -1)
    known = torch.ones(1, 40, dtype=torch.bool)
    known[:, 10:20] = False
    at = torch.arange(90, dtype=torch.float64) / 30
    poses, mask = resample_poses(rotations.exp(angles), known, times, at)
    inside = at <= times[-1]
    torch.testing.assert_close(rotations.log(poses)[0, inside, 3, 0], at[inside], atol=1e-9, rtol=1e-9)
    assert not mask[0, ~inside].any()
    gap = (at > times[9] + 1e-6) & (at < times[20] - 1e-6)
    assert torch.equal(mask[0, inside], ~gap[inside])
