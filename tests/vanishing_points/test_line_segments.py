"""Segments of drawn pictures: of a still camera what moves disappears, a camera that moves gives several views."""

import cv2
import numpy as np

from hmpfit.vanishing_points.line_segments import scene_segments

WIDTH, HEIGHT = 640, 480
MIDDLE = np.array([WIDTH / 2, HEIGHT / 2])


def everywhere(frame: int, width: int, height: int, scale: float) -> np.ndarray:
    return np.full((height, width), 255, np.uint8)


def picture(moving_x: int, shift: int = 0) -> np.ndarray:
    """Draw a textured room with a tall frame in it, and a bright bar that stands elsewhere in every picture."""
    random = np.random.default_rng(0)
    image = cv2.GaussianBlur(random.integers(60, 120, (HEIGHT, WIDTH, 3)).astype(np.uint8), (0, 0), 2)
    for x, y in random.integers((0, 0), (WIDTH, HEIGHT), (80, 2)).tolist():
        cv2.circle(image, (x, y), 5, random.integers(0, 255, 3).tolist(), -1)
    cv2.rectangle(image, (100, 60), (220, 420), (250, 250, 250), -1)
    image = np.roll(image, shift, axis=1)
    cv2.rectangle(image, (moving_x, 100), (moving_x + 40, 380), (0, 0, 0), -1)
    return image


def test_a_still_camera_gives_one_view_without_what_moves() -> None:
    images = [(i, picture(260 + 50 * i)) for i in range(7)]
    (view,) = scene_segments(images, everywhere, MIDDLE)
    long = view[np.linalg.norm(view[:, 1] - view[:, 0], axis=1) > 0.3] * WIDTH + MIDDLE
    assert len(long) == 2
    np.testing.assert_allclose(np.sort(long[:, :, 0].mean(axis=1)), (100, 220), atol=2)


def test_a_moving_camera_gives_several_views_without_the_hands() -> None:
    def right_half(frame: int, width: int, height: int, scale: float) -> np.ndarray:
        out = everywhere(frame, width, height, scale)
        out[:, : width // 2] = 0
        return out

    views = scene_segments([(i, picture(500, shift=12 * i)) for i in range(7)], right_half, MIDDLE)
    assert len(views) == 3
    assert all((view.mean(axis=1)[:, 0] >= 0).all() for view in views)


def test_a_single_picture_is_a_view() -> None:
    (view,) = scene_segments([(0, picture(400))], everywhere, MIDDLE)
    assert len(view) > 4
