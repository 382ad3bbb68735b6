"""A stand-in for the pipeline that records its calls, and the command line run in this process."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hmpfit.command_line.main import main
from hmpfit.errors import NoHandError
from hmpfit.recipes import RunSettings

SUMMARY = {
    "frames": 3,
    "fps": 25.0,
    "hands": [
        {
            "name": "right",
            "is_right": True,
            "detected": 2,
            "interpolated": 1,
            "extrapolated": 0,
            "reprojection_px": {"mean": 2.0, "median": 1.5},
            "hidden_keypoint_px": None,
            "joint_std_mm_median": 3.0,
            "joint_std_wrist_mm_median": 2.0,
        }
    ],
    "seconds": {"total": 1.0},
}

Call = tuple[Path, Path, RunSettings]
Pipeline = Callable[..., dict[str, Any]]


@pytest.fixture(name="calls")
def recorded_calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Stand in for the pipeline, record its calls; a video called `bad` has no hand."""
    made: list[Call] = []

    def run_video(
        video: Path, out: Path, settings: RunSettings, progress: Any, told: str | None = None, opened: Any = None,
        measured: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        if video.stem == "bad":
            raise NoHandError(f"No hand was found in '{video}'.")
        if video.stem == "stop":
            raise KeyboardInterrupt
        advance = progress.phase("keypoints", 3)
        advance()
        advance(2)
        made.append((video, out, settings))
        return SUMMARY

    stub = types.ModuleType("hmpfit.pipeline")
    stub.run_video = run_video  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hmpfit.pipeline", stub)
    return made


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert isinstance(stopped.value.code, int)
    return stopped.value.code
