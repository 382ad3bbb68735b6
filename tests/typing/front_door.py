"""What a type checker sees through `import hmpfit`; pyright and mypy read this file, nothing runs it."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import hmpfit

result = hmpfit.fit_video(Path("a.mp4"), out="b", hands="right", frames=(0, 20), device="cpu")
assert_type(result, hmpfit.FitResult)
assert_type(hmpfit.read_result("b"), hmpfit.FitResult)
joints: NDArray[np.floating[Any]] = result.joints
pixels: NDArray[np.floating[Any]] = result.project(result.vertices())
for frame in result.frames():
    assert_type(frame, hmpfit.FrameOfHands)
    status: tuple[str, ...] = frame.status
files: list[Path] = result.export("glb", "out")
saved: Path = result.save("out")
motion: hmpfit.HandMotion = result.motion
