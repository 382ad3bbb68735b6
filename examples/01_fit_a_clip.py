"""Fit the hands of a video and read the answer.    python examples/01_fit_a_clip.py VIDEO [FOLDER]"""

import sys

import hmpfit
from hmpfit.records import DETECTED
from hmpfit.skeleton import openpose

video = sys.argv[1]
# With a folder the run is kept (result.npz, overlay.mp4, report.html) and read again next time.
result = hmpfit.fit_video(video, out=sys.argv[2] if len(sys.argv) > 2 else None, recipe="default", seed=0)

for hand, is_right in enumerate(result.motion.is_right):
    joints = result.joints[hand]  # [frames, 21, 3] meters, camera axes: x right, y down, z forward
    seen = result.motion.status[hand] == DETECTED
    wrist, thumb, index = (joints[:, openpose(name)] for name in ("wrist", "thumb_tip", "index_tip"))
    pinch_mm = 1000 * ((thumb - index) ** 2).sum(-1) ** 0.5
    print(f"{'right' if is_right else 'left'} hand: seen in {seen.sum()} of {len(seen)} frames")
    print(f"  wrist starts at {wrist[0].round(3).tolist()} m and ends at {wrist[-1].round(3).tolist()} m")
    print(f"  thumb and index finger come as near as {pinch_mm.min():.0f} mm, in frame {pinch_mm.argmin()}")
    assert result.joint_std_wrist_mm is not None
    print(f"  joints known to {result.joint_std_wrist_mm[hand][seen].mean():.0f} mm from the wrist on average")
