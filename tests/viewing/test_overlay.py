"""The overlay: the hand lies where its projection says, and side, status and confidence can be seen."""

from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import RunFolderError
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.recipes.overlay_layouts import LAYOUTS
from hmpfit.records import Camera, FitRecord, KeypointTracks
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP
from hmpfit.synthesis.demo_motion import demo_motion
from hmpfit.synthesis.renderer import Drawing, pixels_and_depth, render
from hmpfit.synthesis.shading import Mesh
from hmpfit.video.clip import Clip, open_clip
from hmpfit.video.writer import VideoWriter
from hmpfit.viewing import overlay
from hmpfit.viewing.drawing import bone_width_px, draw_bones, draw_contour, draw_legend, draw_tag
from hmpfit.viewing.overlay import LEFT_RGB, RIGHT_RGB, STATUS_RGB, draw_frame, hand_color, write_overlay
from hmpfit.viewing.turning_view import TurningView

FRAMES, GRAY = 6, 96


def gray_clip(folder: Path, width: int, height: int) -> Clip:
    times_s = [0.0, 0.1, 0.15, 0.4, 0.5, 0.6]
    with VideoWriter(folder / "gray.mp4", 10, width, height) as video:
        for time_s in times_s:
            video.write(np.full((height, width, 3), GRAY, np.uint8), time_s)
    return open_clip(folder / "gray.mp4")


def fitted(models: HandModels, clip: Clip, is_right: bool = True) -> FitRecord:
    """The demo's hand as if it had been fitted: detected, then interpolated, then extrapolated."""
    motion = demo_motion(models, np.random.default_rng(0), FRAMES / 10, 10)
    if not is_right:
        motion = motion.mirrored(np.array([True]))
    motion.status[0] = [2, 2, 1, 1, 0, 0]
    focal = 0.9 * max(clip.width, clip.height)
    camera = Camera(
        np.array([[[focal, 0, clip.width / 2], [0, focal, clip.height / 2], [0, 0, 1]]]), clip.width, clip.height
    )
    joints = pose_hands(models, motion).joints
    xy_px = pixels_and_depth(joints.reshape(-1, 3), camera.K[0])[:, :2].reshape(1, FRAMES, 21, 2)
    seen = motion.status == 2
    confidence = np.where(seen[..., None], 1.0, 0.0) * np.ones(21)
    tracks = KeypointTracks(
        np.where(seen[..., None, None], xy_px, np.nan), confidence, seen, motion.is_right, clip.times_s
    )
    return FitRecord(motion, joints, np.ones((1, FRAMES, 21)), xy_px, camera, tracks, (), (), {}, {})


def _chroma(rgb: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    return np.asarray(rgb, float) - np.mean(rgb)


@pytest.mark.parametrize("is_right", [True, False])
def test_the_mesh_lies_on_the_hand_in_the_color_of_its_side(tmp_path: Path, models: HandModels, is_right: bool) -> None:
    clip = gray_clip(tmp_path, 320, 240)
    result = fitted(models, clip, is_right)
    done = []
    write_overlay(tmp_path / "o.mp4", clip, result, models, on_frame=lambda i, n: done.append((i, n)))
    assert done == [(i + 1, FRAMES) for i in range(FRAMES)]
    drawn = open_clip(tmp_path / "o.mp4")
    np.testing.assert_allclose(drawn.times_s, clip.times_s, atol=1e-3)
    image = next(drawn.images())[1].astype(int)
    palm = result.landmarks_px[0, 0, [0, OPENPOSE_MIDDLE_MCP]].mean(0).astype(int)
    tint = image[palm[1] - 4 : palm[1] + 4, palm[0] - 12 : palm[0] - 6].reshape(-1, 3).mean(0)
    own, other = (RIGHT_RGB, LEFT_RGB) if is_right else (LEFT_RGB, RIGHT_RGB)
    assert _chroma(tint) @ _chroma(own) > 20 * np.linalg.norm(_chroma(own)), "the color of its side, well to be seen"
    assert _chroma(tint) @ _chroma(other) < 0.5 * (_chroma(tint) @ _chroma(own))
    assert np.abs(image[20:40, :20] - GRAY).max() < 12, "far from the hand the picture is untouched"


def test_the_strip_shows_the_status_and_the_cursor_moves(tmp_path: Path, models: HandModels) -> None:
    clip = gray_clip(tmp_path, 320, 240)
    write_overlay(tmp_path / "o.mp4", clip, fitted(models, clip), models, mesh=False)
    for frame, image in open_clip(tmp_path / "o.mp4").images():
        row = image[-3].astype(int)
        for third, color in zip((0.25, 0.5, 0.92), (STATUS_RGB[2], STATUS_RGB[1], STATUS_RGB[0])):
            if abs(third - (frame + 0.5) / FRAMES) > 0.05:
                np.testing.assert_allclose(row[int(third * 320)], color, atol=45)
        cursor = int(np.argmax(row.min(axis=1)))
        assert abs(cursor - (frame + 0.5) / FRAMES * 320) <= 3


def test_status_changes_the_color_and_confidence_the_dots(tmp_path: Path, models: HandModels) -> None:
    assert not np.allclose(hand_color(True, 2), hand_color(False, 2))
    assert len({tuple(hand_color(True, status)) for status in (0, 1, 2)}) == 3
    clip = gray_clip(tmp_path, 320, 240)
    result = fitted(models, clip)
    tip = np.round(result.landmarks_px[0, 0, 12]).astype(int)
    brightness = []
    for confidence in (0.0, 0.3, 1.0):
        result.tracks.confidence[0, 0, 12] = confidence
        image = np.full((240, 320, 3), GRAY, np.uint8)
        draw_frame(image, result, 0, None, models, mesh=False)
        brightness.append(int(image[tip[1] - 2 : tip[1] + 3, tip[0] - 2 : tip[0] + 3, 2].astype(int).sum()))
    assert brightness[0] < brightness[1] < brightness[2]


def test_a_large_video_is_drawn_smaller(tmp_path: Path, models: HandModels) -> None:
    clip = gray_clip(tmp_path, 1926, 1080)
    write_overlay(tmp_path / "o.mp4", clip, fitted(models, clip), models)
    drawn = open_clip(tmp_path / "o.mp4")
    assert (drawn.width, drawn.height) == (1280, 718)
    image = next(drawn.images())[1].astype(int)
    palm = (fitted(models, clip).landmarks_px[0, 0, [0, OPENPOSE_MIDDLE_MCP]].mean(0) * 1280 / 1926).astype(int)
    assert image[palm[1], palm[0] - 20, 0] - image[palm[1], palm[0] - 20, 2] > 25


def test_a_folder_that_cannot_be_written(tmp_path: Path, models: HandModels) -> None:
    clip = gray_clip(tmp_path, 64, 48)
    with pytest.raises(RunFolderError):
        write_overlay(tmp_path / "nowhere" / "o.mp4", clip, fitted(models, clip), models)


def test_the_contour_follows_the_silhouette_and_nothing_else() -> None:
    """A disc of radius 20: the line lies where the distance from its center is 20, smooth, the same all around."""
    y, x = np.mgrid[:60, :60] - 29.5
    away = np.hypot(x, y)
    coverage = np.clip(20.5 - away, 0, 1).astype(np.float32)
    image = np.full((100, 100, 3), GRAY, np.uint8)
    draw_contour(image, Drawing(20, 20, np.zeros((60, 60, 3), np.uint8), coverage, None), np.array([255.0, 0, 0]))
    changed = np.abs(image[20:80, 20:80].astype(int) - GRAY).max(axis=-1)
    assert changed[away < 12].max() == 0 and changed[away > 28].max() == 0
    ring = image[20:80, 20:80][np.abs(away - 20) < 0.5].astype(int)
    assert (ring[:, 0] - ring[:, 2] > 100).all() and ring[:, 0].std() < 25


def test_a_hand_at_the_border_has_its_contour() -> None:
    image = np.full((40, 40, 3), GRAY, np.uint8)
    draw_contour(
        image, Drawing(0, 0, np.zeros((40, 10, 3), np.uint8), np.ones((40, 10), np.float32), None), np.zeros(3)
    )
    assert (image[:, 9:11] < GRAY - 40).all() and (image[:, :4] == GRAY).all() and (image[:, 20:] == GRAY).all()


def test_every_finger_has_a_color_of_its_own() -> None:
    image = np.full((240, 320, 3), GRAY, np.uint8)
    points = np.array([[160.0, 230]] + [[40 + 60 * f, 180 - 40 * k] for f in range(5) for k in range(4)])
    draw_bones(image, points, None, 3)
    middle = [tuple(image[int(points[4 * f + 2][1]) + 20, int(points[4 * f + 2][0])]) for f in range(5)]
    apart = np.linalg.norm(np.array(middle, float)[:, None] - np.array(middle, float)[None], axis=-1)
    assert apart[~np.eye(5, dtype=bool)].min() > 120  # of 442: not two kinds of white
    assert bone_width_px(np.zeros((720, 1280, 3), np.uint8)) == 2 and bone_width_px(image) == 1


def test_the_legend_shows_its_colors_and_leaves_small_pictures_alone() -> None:
    image = np.full((480, 640, 3), GRAY, np.uint8)
    draw_legend(image, [("right hand", RIGHT_RGB), ("detected", STATUS_RGB[2])])
    for color in (RIGHT_RGB, STATUS_RGB[2]):
        assert (image == color).all(axis=-1).sum() > 40
    assert (image[:4] == GRAY).all() and (image[80:] == GRAY).all()
    small = np.full((120, 160, 3), GRAY, np.uint8)
    draw_legend(small, [("right hand", RIGHT_RGB)])
    assert (small == GRAY).all()


def test_a_tag_stays_inside_and_has_the_color_of_its_side() -> None:
    for place in ((5.0, 5.0), (310.0, 235.0), (-50.0, 400.0)):
        image = np.full((240, 320, 3), GRAY, np.uint8)
        draw_tag(image, np.array(place), "L interpolated", LEFT_RGB)
        inked = image.astype(int)
        assert ((inked[..., 2] - inked[..., 0]) > 80).sum() > 400
        assert (inked.min(axis=-1) > 200).sum() > 40  # white letters
    untouched = np.full((240, 320, 3), GRAY, np.uint8)
    draw_tag(untouched, np.array([np.nan, 1.0]), "R", RIGHT_RGB)
    assert (untouched == GRAY).all()


def test_layouts_put_the_clip_or_a_turning_view_beside_the_overlay(tmp_path: Path, models: HandModels) -> None:
    clip = gray_clip(tmp_path, 320, 240)
    result = fitted(models, clip)
    images = {}
    for layout in LAYOUTS:
        write_overlay(tmp_path / f"{layout}.mp4", clip, result, models, layout=layout)
        drawn = open_clip(tmp_path / f"{layout}.mp4")
        np.testing.assert_allclose(drawn.times_s, clip.times_s, atol=1e-3)
        images[layout] = next(drawn.images())[1].astype(int)[:220]
    assert [image.shape[1] for image in images.values()] == [320, 640, 640]
    assert np.abs(images["side-by-side"][:, :316] - GRAY).max() < 14  # the clip itself
    assert np.abs(images["side-by-side"][:, 320:] - images["overlay"])[:, 4:].mean() < 3
    assert np.abs(images["turntable"][:, :320] - images["overlay"])[:, :316].mean() < 3
    hand = images["turntable"][:, 324:]
    assert ((hand[..., 0] - hand[..., 1]) > 60).sum() > 500


def test_the_turning_view_looks_from_where_it_says(tmp_path: Path, models: HandModels) -> None:
    """At a turn of 0 the picture is the filming camera's but for the downward look: right stays right, and after a
    quarter turn, seen from the right, what was far lies to the right."""  # fmt: skip
    clip = gray_clip(tmp_path, 320, 240)
    view = TurningView(fitted(models, clip), models, 320, 240, hand_color)
    for turn, right, ahead in ((0.0, (1, 0, 0), (0, 0, 1)), (90.0, (0, 0, 1), (-1, 0, 0))):
        _, rotation = view._eye(0, turn)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(rotation[0], right, atol=1e-12)
        assert rotation[2] @ np.array(ahead) > 0.9 and rotation[1, 1] > 0.9 and np.linalg.det(rotation) > 0


def test_a_blurred_drawing_of_one_sample_a_pixel_covers_what_the_smooth_one_does(models: HandModels) -> None:
    vertices = models.right.v_template - models.right.v_template.mean(0) + [0.0, 0.0, 0.4]
    mesh = Mesh(vertices, models.right.faces, np.array([0.8, 0.2, 0.6]))
    K = np.array([[900.0, 0.0, 161.0], [0.0, 900.0, 120.5], [0.0, 0.0, 1.0]])
    full = render([mesh], K, 321, 241)
    plain = render([mesh], K, 321, 241, smooth=False).blurred()
    images = [np.full((241, 321, 3), GRAY, np.uint8) for _ in range(2)]
    for image, drawing in zip(images, (full, plain), strict=True):
        drawing.over(image)
    covered = [(image != GRAY).any(axis=-1) for image in images]
    assert (covered[0] & covered[1]).sum() > 0.95 * (covered[0] | covered[1]).sum()
    assert np.abs(images[0].astype(int) - images[1]).mean() < 2.0


def test_halves_drawn_apart_are_the_overlay_drawn_at_once(
    tmp_path: Path, models: HandModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = gray_clip(tmp_path, 320, 240)
    result, done = fitted(models, clip), list[tuple[int, int]]()
    write_overlay(tmp_path / "whole.mp4", clip, result, models)
    monkeypatch.setattr(overlay, "_LEAST_PART", 3)
    write_overlay(tmp_path / "o.mp4", clip, result, models, on_frame=lambda i, n: done.append((i, n)))
    assert done == [(i + 1, FRAMES) for i in range(FRAMES)]
    halves, whole = open_clip(tmp_path / "o.mp4"), open_clip(tmp_path / "whole.mp4")
    np.testing.assert_allclose(halves.times_s, clip.times_s, atol=1e-3)
    for (_, a), (_, b) in zip(halves.images(), whole.images(), strict=True):
        assert np.abs(a.astype(int) - b).mean() < 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["gray.mp4", "o.mp4", "whole.mp4"]
