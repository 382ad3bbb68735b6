"""Blender opens the exports: the shipped script at the usual frame rates, and USD, joint by joint on every frame.

Blender is GPL and large, so it is no dependency: the tests run where `bpy` can be imported, or where
HMPFIT_BLENDER_PYTHON names an interpreter that has it (`pip install bpy==4.5.15` in an environment of its own).
"""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hmpfit.exporters.animation import hand_labels
from hmpfit.skeleton import OPENPOSE_21
from hmpfit.video.writer import VideoWriter
from tests.exported_cases import FRAMES, TENTH_MM, Case, all_cases, make_case
from tests.exporters.test_export_animation import off_center

PYTHON = os.environ.get("HMPFIT_BLENDER_PYTHON") or (sys.executable if importlib.util.find_spec("bpy") else None)
pytestmark = pytest.mark.slow
FROM_BLENDER = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # Blender (x, y, z up) -> (x, -z, y): the camera's axes

LOOK = """
import json, runpy, sys
import bpy
from bpy_extras.object_utils import world_to_camera_view
kind, path, frames, first = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
bpy.ops.wm.read_factory_settings(use_empty=True)
if kind == "script":
    runpy.run_path(path, run_name="__main__")
else:
    bpy.ops.wm.usd_import(filepath=path)
scene, found = bpy.context.scene, []
for frame in range(first, first + frames):
    scene.frame_set(frame)
    bpy.context.view_layer.update()
    places, pixels = {}, {}
    for armature in [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]:
        for bone in armature.pose.bones:
            place = armature.matrix_world @ bone.head
            places[bone.name] = list(place)
            if kind == "script":
                x, y, _ = world_to_camera_view(scene, scene.camera, place)
                pixels[bone.name] = [x * scene.render.resolution_x, (1 - y) * scene.render.resolution_y]
    found.append({"places": places, "pixels": pixels})
clips = [(clip.frame_start, clip.fps) for clip in bpy.data.movieclips]
print("FOUND " + json.dumps({
    "frames": found, "fps": scene.render.fps / scene.render.fps_base, "clips": clips,
    "range": [scene.frame_start, scene.frame_end],
}))
"""


def look(kind: str, path: Path, first: int = 0) -> dict:
    """Open a file in Blender and return where every bone begins, frame by frame."""
    if PYTHON is None:
        pytest.skip("no interpreter with bpy; set HMPFIT_BLENDER_PYTHON")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, "-c", LOOK, kind, str(path), str(FRAMES), str(first)], capture_output=True, text=True, env=environment
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("FOUND ")), None)
    assert line is not None, done.stdout[-1000:] + done.stderr[-2000:]
    found: dict = json.loads(line.removeprefix("FOUND "))
    return found


def agree(found: dict, case: Case) -> None:
    for step, frame in enumerate(found["frames"]):
        for hand, label in enumerate(hand_labels(case.result)):
            for joint, name in enumerate(OPENPOSE_21):
                place = FROM_BLENDER @ frame["places"][f"{label}_{name}"]
                assert np.abs(place - case.result.joints[hand, step, joint]).max() < TENTH_MM, (step, label, name)


@pytest.mark.parametrize("fps", [24, 25, 30, 60, 30000 / 1001])
def test_the_script_lands_on_the_right_frame(fps: float, tmp_path: Path) -> None:
    case = off_center(make_case("two", "camera"))
    tracks = replace(case.result.tracks, times_s=np.arange(FRAMES) / fps)
    first = 0 if fps == 24 else 12
    with VideoWriter(tmp_path / "clip.mp4", fps, 640, 480) as video:
        for _ in range(first + FRAMES):
            video.write(np.zeros((480, 640, 3), np.uint8))
    options = replace(case.options, video=tmp_path / "clip.mp4", first_frame=first)
    case = replace(case, result=replace(case.result, tracks=tracks), options=options)
    script, _ = case.write("blender", tmp_path / "out")
    found = look("script", script, first)
    assert found["fps"] == pytest.approx(fps, rel=1e-5) and found["range"] == [first, first + FRAMES - 1]
    assert found["clips"][0][0] == 0 and found["clips"][0][1] == pytest.approx(fps, rel=1e-3)
    agree(found, case)
    for step, frame in enumerate(found["frames"]):
        for hand, label in enumerate(hand_labels(case.result)):
            pixels = np.array([frame["pixels"][f"{label}_{name}"] for name in OPENPOSE_21])
            assert np.abs(pixels - case.result.landmarks_px[hand, step]).max() < 0.1


@all_cases
@pytest.mark.parametrize("name", ["blender", "usd"])
def test_blender_reads_every_hand_in_every_frame(hands: str, frame: str, name: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    file = case.write(name, tmp_path)[0]
    agree(look("script" if name == "blender" else "usd", file), case)
