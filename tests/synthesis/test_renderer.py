"""Rendering: known shapes land on known pixels, at known depths, in both backends."""

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import Camera
from hmpfit.synthesis.clips import Arm, open_rim, visible
from hmpfit.synthesis.demo_motion import demo_motion
from hmpfit.synthesis.renderer import default_backend, pixels_and_depth, render
from hmpfit.synthesis.shading import Light, Mesh, vertex_normals

K = np.array([[200.0, 0, 80], [0, 200.0, 60], [0, 0, 1]])
WIDTH, HEIGHT = 160, 120
PLAIN = Light(ambient=1.0, diffuse=0.0, gloss=0.0)
BACKENDS = ["painter"] + (["gl"] if default_backend() == "gl" else [])


def square(x: float, y: float, z: float, side: float, color: tuple[float, float, float]) -> Mesh:
    """A square that faces the camera, its top left corner at (x, y, z)."""
    corners = np.array([[x, y, z], [x, y + side, z], [x + side, y + side, z], [x + side, y, z]])
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), np.array(color))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_square_covers_its_pixels(backend: str) -> None:
    # 0.1 m at 1 m is 20 px; from (80 + 10, 60 - 30).
    drawing = render([square(0.05, -0.15, 1.0, 0.1, (1.0, 0.5, 0.0))], K, WIDTH, HEIGHT, PLAIN, backend=backend)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawing.over(image)
    np.testing.assert_allclose(image[31:49, 91:109].reshape(-1, 3).mean(0), [255, 127, 0], atol=2)
    rows, columns = np.nonzero(image[..., 0] > 127)
    assert abs(rows.min() - 30) <= 1 and abs(rows.max() - 49) <= 1
    assert abs(columns.min() - 90) <= 1 and abs(columns.max() - 109) <= 1
    assert drawing.rgb.shape[0] < 30, "only the box around the square is drawn"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("order", [1, -1])
def test_the_nearer_one_is_seen(backend: str, order: int) -> None:
    far, near = square(-0.2, -0.2, 2.0, 0.4, (1.0, 0, 0)), square(-0.05, -0.05, 1.0, 0.1, (0, 1.0, 0))
    drawing = render([far, near][::order], K, WIDTH, HEIGHT, PLAIN, depth=True, backend=backend)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawing.over(image)
    np.testing.assert_array_equal(image[60, 80], [0, 255, 0])
    np.testing.assert_array_equal(image[45, 65], [255, 0, 0])
    assert drawing.depth_m is not None
    assert drawing.depth_m[60 - drawing.y, 80 - drawing.x] == pytest.approx(1.0)
    assert drawing.depth_m[45 - drawing.y, 65 - drawing.x] == pytest.approx(2.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_lit_side_is_brighter_and_opacity_is_a_share(backend: str) -> None:
    tile = square(-0.1, -0.1, 1.0, 0.2, (0.8, 0.8, 0.8))
    gray = [
        render([tile], K, WIDTH, HEIGHT, Light(towards, 0.3, 0.6, 0.0), backend=backend).rgb.max()
        for towards in ((0.0, 0.0, -1.0), (1.0, 0.0, -1.0), (0.0, 0.0, 1.0))
    ]
    expected = [0.8 * (0.3 + 0.6 * c) * 255 for c in (1.0, np.sqrt(0.5), 0.0)]
    np.testing.assert_allclose(gray, expected, atol=2)
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    render([tile], K, WIDTH, HEIGHT, PLAIN, backend=backend).over(image, 0.5)
    np.testing.assert_allclose(image[60, 80], (100 + 204) / 2, atol=2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_outside_or_behind_draws_nothing(backend: str) -> None:
    for tile in (square(5.0, 0.0, 1.0, 0.1, (1, 1, 1)), square(0.0, 0.0, -1.0, 0.1, (1, 1, 1))):
        drawing = render([tile], K, WIDTH, HEIGHT, backend=backend)
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        drawing.over(image)
        assert not image.any()


def test_two_runs_draw_the_same_bytes() -> None:
    model = load_hand_models().right
    mesh = Mesh(model.v_template + np.array([0, 0, 0.5]), model.faces, np.full(3, 0.6))
    first, second = (render([mesh], K, WIDTH, HEIGHT) for _ in range(2))
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.coverage, second.coverage)
    assert first.coverage.sum() > 200


def test_an_unknown_backend_lists_the_known() -> None:
    with pytest.raises(InputError, match="gl, painter"):
        render([square(0, 0, 1, 0.1, (1, 1, 1))], K, WIDTH, HEIGHT, backend="oil")


def test_normals_of_a_square_face_the_camera() -> None:
    np.testing.assert_allclose(vertex_normals(square(0, 0, 1, 0.1, (1, 1, 1))), [[0, 0, -1]] * 4, atol=1e-12)


def test_projection_by_hand() -> None:
    np.testing.assert_allclose(pixels_and_depth(np.array([[0.1, -0.2, 2.0]]), K), [[90.0, 40.0, 2.0]])


def test_the_hole_of_an_open_box_is_found() -> None:
    faces = np.array(
        [[0, 1, 2], [0, 2, 3], [0, 4, 1], [1, 4, 5], [1, 5, 2], [2, 5, 6], [2, 6, 3], [3, 6, 7], [3, 7, 0], [0, 7, 4]]
    )
    assert sorted(open_rim(faces).tolist()) == [4, 5, 6, 7]
    closed = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]])
    assert len(open_rim(closed)) == 0


def test_the_arm_closes_the_hand_and_points_away_from_the_fingers() -> None:
    model = load_hand_models().right
    for is_right in (True, False):
        vertices = model.v_template * (1 if is_right else [-1, 1, 1])
        hand, forearm = Arm.of(model, is_right, np.full((len(vertices), 3), 0.5)).meshes(vertices)
        reach = forearm.vertices[:, 0] * (1 if is_right else -1)
        assert reach.max() > 0.2 and reach.min() > -0.02
        for mesh in (hand, forearm):
            corners = mesh.vertices[mesh.faces]
            across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            outwards = corners.mean(1) - [corners[:, :, 0].mean(), *mesh.vertices[:, 1:].mean(0)]
            outwards[:, 0] = 0
            assert np.mean((across * outwards).sum(1) > 0) > (0.9 if mesh is forearm else 0.6)


def test_a_joint_behind_another_hand_is_hidden() -> None:
    camera = Camera(K[None], WIDTH, HEIGHT)
    joints = np.tile([0.0, 0.0, 1.0], (2, 21, 1))
    joints[1] = [0.0, 0.0, 1.2]
    joints[:, 20] = [3.0, 0.0, 1.0]
    drawing = render([square(-0.1, -0.1, 0.99, 0.2, (1, 1, 1))], K, WIDTH, HEIGHT, depth=True)
    seen = visible(drawing, joints, camera)
    assert seen[0, :20].all() and not seen[1].any() and not seen[0, 20]


def test_the_demo_hand_stays_in_the_picture_and_moves() -> None:
    models = load_hand_models()
    motion = demo_motion(models, np.random.default_rng(0), seconds=3.0, fps=10.0)
    joints = pose_hands(models, motion).joints[0]
    assert joints.shape == (30, 21, 3)
    xyz = pixels_and_depth(joints.reshape(-1, 3), np.array([[576.0, 0, 320], [0, 576.0, 240], [0, 0, 1]]))
    assert (xyz[:, :2] > 0).all() and (xyz[:, :2] < [640, 480]).all()
    assert xyz[:, 2].min() > 0.3 and xyz[:, 2].max() < 0.7
    assert np.ptp(motion.hand_pose[0, :, :, 2], axis=0).max() > 1.0, "fingers bend by more than a radian"
