"""Build a Blender scene from an exported GLB: frame rate, hands, camera and the clip behind them.

This file is copied beside the GLB by `--to blender` and run inside Blender (4.2 and later); hmpfit itself never calls
it. Scene frame n shows source frame n.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def build(settings: dict[str, Any], folder: Path) -> None:
    """Import `settings["file"]` of `folder` into the open scene and set the scene up as the clip was.

    Blender's glTF importer counts key frames at the scene's rate and begins at 0. So the rate is set first, and the
    keys are then moved by what is left: a rate that is not whole (29.97) and a clip that begins later.
    """
    import bpy

    scene, fps = bpy.context.scene, settings["fps"]
    scene.render.fps, scene.render.fps_base = max(round(fps), 1), 1.0
    before = set(bpy.data.actions)
    bpy.ops.import_scene.gltf(filepath=str(folder / settings["file"]))
    for action in set(bpy.data.actions) - before:
        for curve in _curves(action):
            for key in curve.keyframe_points:
                for point in (key.handle_left, key.co, key.handle_right):
                    point[0] = point[0] * fps / scene.render.fps + settings["first_frame"]
            curve.update()
    scene.render.fps_base = scene.render.fps / fps
    scene.frame_start = settings["first_frame"]
    scene.frame_end = settings["first_frame"] + settings["frames"] - 1
    scene.render.resolution_x, scene.render.resolution_y = settings["width"], settings["height"]
    scene.render.resolution_percentage = 100
    camera = bpy.data.objects["camera"]
    scene.camera = camera
    _set_lens(scene, camera.data, settings)
    if settings["video"] and Path(settings["video"]).is_file():
        _show_clip(camera.data, settings["video"])
    plane = bpy.data.objects.get("image_plane")
    if plane is not None:
        plane.hide_render = True  # the clip itself is the background
    scene.frame_set(scene.frame_start)


def _curves(action: Any) -> Iterator[Any]:
    """Yield an action's curves; since Blender 4.4 one action has slots, and `fcurves` are the first slot's alone."""
    if not hasattr(action, "layers"):
        yield from action.fcurves
        return
    for layer in action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                yield from bag.fcurves


def _set_lens(scene: Any, lens: Any, settings: dict[str, Any]) -> None:
    """Give the lens K's focal lengths and principal point, which glTF cannot hold."""
    (fx, _, cx), (_, fy, cy), _ = settings["K"]
    width, height = settings["width"], settings["height"]
    lens.sensor_fit, lens.sensor_width = "HORIZONTAL", 36.0
    lens.lens = fx / width * lens.sensor_width
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = max(fy / fx, 1.0), max(fx / fy, 1.0)
    lens.shift_x = (width / 2 - cx) / width
    lens.shift_y = (cy - height / 2) / width * fx / fy


def _show_clip(lens: Any, video: str) -> None:
    import bpy

    clip = bpy.data.movieclips.load(video)
    clip.frame_start = 0
    background = lens.background_images.new()
    background.source, background.clip, background.alpha = "MOVIE_CLIP", clip, 1.0
    lens.show_background_images = True
