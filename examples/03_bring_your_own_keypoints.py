"""Use the keypoints of your own detector.    python examples/03_bring_your_own_keypoints.py VIDEO

Any detector will do: pixels in OpenPose order, NaN where it saw nothing, a confidence if it has one. Here MediaPipe's
points with the fingertips' confidence cut to a tenth stand in for it.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import hmpfit
from hmpfit.skeleton import FINGERS, openpose

theirs = hmpfit.fit_video(sys.argv[1], solver="none").tracks
confidence = theirs.confidence.copy()
confidence[:, :, [openpose(f"{finger}_tip") for finger in FINGERS]] *= 0.1

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "keypoints.npz"
    np.savez(file, xy_px=theirs.xy_px, confidence=confidence, is_right=theirs.is_right, times_s=theirs.times_s)
    result = hmpfit.fit_video(sys.argv[1], keypoints=f"file:{file}")

off_px = np.linalg.norm(result.landmarks_px - theirs.xy_px, axis=-1)
print(f"the fit passes {np.nanmedian(off_px):.1f} px (median) from the detector's points")
