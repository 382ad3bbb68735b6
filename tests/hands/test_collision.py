"""Closed hands, inside tests and interpenetration: against known shapes, plain loops and finite differences."""

import numpy as np
import pytest
import torch
import trimesh

from hmpfit.evaluation.penetration import mmpd_mm
from hmpfit.evaluation.two_hands import stc
from hmpfit.geometry.enclosure import inside, surface_distance
from hmpfit.hands.collision import PAPER_ALPHA_M, boxes_meet, interpenetration, vertices_inside
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model_files import load_hand_models
from hmpfit.hands.watertight import HandSurface, open_rims

RADIUS = 0.05


@pytest.fixture(scope="module")
def surface():
    return HandSurface.of(load_hand_models().right)


@pytest.fixture(scope="module")
def hands():
    """Two hands, palm over back, five frames nearer and nearer: [5, V, 3] each; the second is a left hand."""
    model = ManoHand(load_hand_models().right, torch.float64)
    pose = torch.zeros(5, 15, 3, dtype=torch.float64)
    turn = torch.tensor([0.05, 0.3, 0.02], dtype=torch.float64)
    move = torch.zeros(5, 3, dtype=torch.float64)
    move[:, 1] = torch.tensor([0.3, 0.033, 0.028, 0.023, 0.018])
    betas = torch.zeros(10, dtype=torch.float64)
    right = model(turn, pose, betas, 0 * move).vertices
    left = model(turn, pose, betas, move).vertices * torch.tensor([-1.0, 1, 1]) - torch.tensor([0.18, 0, 0])
    return right, left


@pytest.fixture(scope="module")
def ball():
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    return torch.as_tensor(np.array(mesh.vertices))[None], torch.as_tensor(np.array(mesh.faces))


def scattered(count=300, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).uniform(-0.08, 0.08, (1, count, 3)))


def test_the_capped_hand_is_watertight_and_its_caps_turn_like_its_faces(surface):
    model = load_hand_models().right
    closed = surface.closed(torch.as_tensor(model.v_template))
    mesh = trimesh.Trimesh(closed.numpy(), surface.faces.numpy(), process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and 2e-4 < mesh.volume < 6e-4
    (rim,) = open_rims(model.faces)
    assert len(closed) == len(model.v_template) + 1 and len(surface.faces) == len(model.faces) + len(rim)


def test_any_open_mesh_is_closed_by_its_own_boundary(ball):
    vertices, faces = ball
    kept = faces[(vertices[0, faces].mean(1)[:, 2].abs() < 0.7 * RADIUS)]  # two holes
    closed = HandSurface.close_faces(kept.numpy(), vertices[0].numpy())
    mesh = trimesh.Trimesh(closed.closed(vertices[0]).numpy(), closed.faces.numpy(), process=False)
    mesh.remove_unreferenced_vertices()
    assert len(closed.rims) == 2 and mesh.is_watertight
    assert open_rims(faces.numpy()) == []


def winding_number(points, vertices, faces):
    """Sum the solid angles of all triangles (van Oosterom and Strackee 1983): 1 or -1 inside a closed mesh."""
    a, b, c = (vertices[:, None, faces] - points[:, :, None, None]).unbind(-2)
    la, lb, lc = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
    volume = (a * torch.linalg.cross(b, c)).sum(-1)
    spread = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return torch.atan2(volume, spread).sum(-1) / (2 * torch.pi)


def test_rays_and_winding_numbers_tell_the_inside_of_a_ball(ball):
    points = scattered()
    inner = points.norm(dim=-1) < RADIUS * 0.995
    clear = (points.norm(dim=-1) - RADIUS).abs() > 0.02 * RADIUS
    for found in (
        inside(points, *ball), inside(points, *ball, "winding"), winding_number(points, *ball).round() == 1
    ):  # fmt: skip
        assert (found == inner)[clear].all()
    assert (inside(points, ball[0], ball[1].flip(1), "winding") == inside(points, *ball)).all()


def test_distance_to_a_ball_and_to_a_box(ball):
    points = scattered()
    found = surface_distance(points, *ball)
    torch.testing.assert_close(found, (points.norm(dim=-1) - RADIUS).abs(), atol=6e-4, rtol=0)
    box = trimesh.creation.box((0.02, 0.04, 0.06))
    corners, faces = torch.as_tensor(np.array(box.vertices))[None], torch.as_tensor(np.array(box.faces))
    over = (points.abs() - torch.tensor([0.01, 0.02, 0.03])).clamp_min(0).norm(dim=-1)
    outside = over > 0
    torch.testing.assert_close(surface_distance(points, corners, faces)[outside], over[outside])


def test_a_region_covered_twice_is_inside_by_winding_and_outside_by_parity(ball):
    vertices, faces = ball
    two = torch.cat((vertices, vertices + torch.tensor([0.03, 0, 0])), 1)
    both = torch.cat((faces, faces + vertices.shape[1]))
    middle = torch.tensor([[[0.015, 0.0, 0.0]]], dtype=torch.float64)
    assert inside(middle, two, both, "winding").all() and not inside(middle, two, both, "odd").any()


def test_the_broad_phase_finds_what_every_vertex_against_every_triangle_finds(hands, surface):
    right, left = hands
    found = vertices_inside(right, left, surface)
    some = slice(None, None, 16)
    dense = winding_number(right[:, some], surface.closed(left), surface.faces).abs() > 0.5
    assert (found[:, some] == dense).all()
    assert (found == inside(right, surface.closed(left), surface.faces, "winding")).all()
    assert found[-1].sum() > 20 and not found[0].any()
    assert boxes_meet(right, left).tolist()[0] is False and boxes_meet(right, left, 0.5).all()


def test_interpenetration_is_the_papers_sum(hands, surface):
    right, left = hands
    total = interpenetration(right, left, surface, surface)
    for frame in (0, 1, 4):
        expected = 0.0
        for here, there in ((right[frame], left[frame]), (left[frame], right[frame])):
            mask = inside(here[None], surface.closed(there)[None], surface.faces)[0]
            for point in here[mask]:
                expected += PAPER_ALPHA_M * np.tanh(float((there - point).norm(dim=-1).min()) / PAPER_ALPHA_M)
        assert float(total[frame]) == pytest.approx(expected, rel=1e-9)


def test_interpenetration_is_zero_for_hands_apart_and_falls_as_they_part(hands, surface):
    right, left = hands
    total = interpenetration(right, left, surface, surface)
    assert total[0] == 0 and (total.diff() >= 0).all() and total[-1] > total[-2] > 0


def test_the_gradient_of_interpenetration_is_right_by_finite_differences(hands, surface):
    right, left = (part[-2:] for part in hands)
    direction = torch.as_tensor(np.random.default_rng(1).normal(size=(2, *right.shape)))
    moved = torch.zeros(2, *right.shape, dtype=torch.float64, requires_grad=True)
    interpenetration(right + moved[0], left + moved[1], surface, surface).sum().backward()
    h = 1e-9

    def cost(step):
        return interpenetration(right + step * direction[0], left + step * direction[1], surface, surface).sum()

    slope = float((cost(h) - cost(-h)) / (2 * h))
    assert slope == pytest.approx(float((moved.grad * direction).sum()), rel=1e-4) and slope != 0


def test_mmpd_is_the_depth_where_the_hands_are_placed_and_at_their_true_distance(hands):
    right, left = (part[[0, 4]].numpy() for part in hands)
    faces = load_hand_models().left.faces
    meshes = np.stack((right, left), axis=1)
    joints = meshes[:, :, :21]
    apart, apart_joints = meshes.copy(), joints.copy()
    apart[:, 1] += 0.3
    apart_joints[:, 1] += 0.3
    valid = np.ones((2, 2), dtype=bool)
    scores = stc(apart_joints, joints, valid, apart, meshes, faces)
    assert scores["stc_mmpd_as_placed_mm"] == 0 and scores["stc_mrrpe_mm"] == pytest.approx(300 * 3**0.5)
    assert scores["stc_mmpd_mm"] == pytest.approx(mmpd_mm(right, left, faces)) and scores["stc_mmpd_mm"] > 1
