"""Results that every exporter must carry: one, two and three hands, in the camera's and in the world's frame."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from hmpfit import registry
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.exporter import ExportOptions
from hmpfit.results.frames import move_result
from hmpfit.results.npz import StoredResult
from tests.made_result import camera_path, several_hands

FRAMES = 7
TENTH_MM, TENTH_DEG = 1e-4, 0.1
SIDES = {"one": (False,), "two": (True, False), "three": (True, False, True)}


@dataclass(frozen=True)
class Case:
    """A result as the exporters get it, and what they are told of it."""

    result: StoredResult
    models: HandModels
    options: ExportOptions

    def write(self, name: str, out: Path) -> list[Path]:
        """Run the exporter of that name; every file that it names must exist."""
        files = registry.load("exporters", name)(self.result, self.models, out, self.options)
        assert files and all(file.is_file() for file in files)
        return files


@cache
def make_case(hands: str, frame: str, frames: int = FRAMES) -> Case:
    """Return the case of `hands` ("one", "two", "three") in `frame` ("camera", "world")."""
    models = load_hand_models("open")
    result = several_hands(models, frames, SIDES[hands])
    if frame == "camera":
        return Case(result, models, ExportOptions())
    poses = camera_path(frames)
    return Case(move_result(result, models, poses), models, ExportOptions(frame=frame, camera_pose=poses))


all_cases = pytest.mark.parametrize(("hands", "frame"), [(h, f) for h in SIDES for f in ("camera", "world")])
camera_cases = pytest.mark.parametrize("hands", list(SIDES))
