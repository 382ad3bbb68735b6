"""The structured linear algebra against dense matrices of the same system."""

from dataclasses import replace

import pytest
import torch

from hmpfit.fitting import pose_field
from hmpfit.fitting.normal_equations import arrowhead as arrow
from hmpfit.fitting.normal_equations import linearize as in_pieces
from hmpfit.fitting.normal_equations.arrowhead import factor, segment_frames
from hmpfit.fitting.normal_equations.linearize import linearize, with_gradient
from hmpfit.fitting.solvers.gauss_newton import segmentation_of
from hmpfit.fitting.uncertainty import DAMPING, joint_std_mm, noise_scale, quadratic_form
from hmpfit.geometry import rotations
from hmpfit.hands.kinematics import landmark_jacobian
from tests.made_problem import make

FREE_LATENT = ("global_orient", "transl", "betas", "latent")
FREE_POSE = ("global_orient", "transl", "betas", "hand_pose")
RIGID = ("global_orient", "transl", "betas")


def dense(blocks, own):
    """Write the blocks out: unknowns in the order frames, latents, betas."""
    b, t, f = blocks.g_frame.shape
    w, size = blocks.g_latent.shape[1:]
    at = [slice(i * f, (i + 1) * f) for i in range(t)]
    latent = [slice(t * f + i * size, t * f + (i + 1) * size) for i in range(w)]
    shape = slice(t * f + w * size, t * f + w * size + 10)
    matrix = blocks.frame.new_zeros(b, shape.stop, shape.stop)
    gradient = blocks.frame.new_zeros(b, shape.stop)

    def both(rows, columns, block):
        matrix[:, rows, columns] += block
        matrix[:, columns, rows] += block.mT

    for i in range(t):
        matrix[:, at[i], at[i]] += blocks.frame[:, i]
        gradient[:, at[i]] = blocks.g_frame[:, i]
        both(at[i], shape, blocks.frame_betas[:, i])
        if i + 1 < t:
            both(at[i], at[i + 1], blocks.next[:, i])
        if size:
            both(at[i], latent[own[i]], blocks.frame_latent[:, i, 0])
            if own[i]:
                both(at[i], latent[own[i] - 1], blocks.frame_latent[:, i, 1])
    for i in range(w if size else 0):
        matrix[:, latent[i], latent[i]] += blocks.latent[:, i]
        gradient[:, latent[i]] = blocks.g_latent[:, i]
        both(latent[i], shape, blocks.latent_betas[:, i])
        if i:
            both(latent[i], latent[i - 1], blocks.latent_previous[:, i])
    matrix[:, shape, shape] += blocks.betas
    gradient[:, shape] = blocks.g_betas
    return matrix, gradient


def damped(matrix, damping):
    diagonal = torch.diagonal(matrix, dim1=1, dim2=2)
    return matrix + torch.diag_embed(diagonal * damping + 1e-9)


@pytest.mark.parametrize("free", [FREE_LATENT, FREE_POSE, RIGID])
@pytest.mark.parametrize("frames", [1, 2, 90])
def test_the_step_solves_the_dense_system(free, frames):
    made = make(frames=frames)
    problem = made.problem(*free)
    motion = problem.motion(made.start)
    blocks = linearize(problem, motion)
    damping = torch.tensor([1e-3, 1e-2], dtype=torch.float64)
    step = factor(blocks, segmentation_of(problem, motion), damping).solve()
    matrix, gradient = dense(blocks, made.field.layout.own.tolist())
    found = torch.cat((step.frame.flatten(1), step.latent.flatten(1), step.betas), dim=1)
    left = (damped(matrix, damping[:, None]) @ found[..., None])[..., 0]
    assert (left + gradient).abs().max() < 1e-10 * gradient.abs().max()
    assert found.abs().max() > 0


@pytest.mark.parametrize("free", [FREE_LATENT, FREE_POSE, RIGID])
def test_hands_of_one_shape_solve_the_dense_system_of_their_summed_costs(free):
    made = make(hands=3, frames=40)
    first = torch.tensor([0, 1, 0])  # the first and the last hand are one person's
    problem = replace(made.problem(*free), shape_rows=first)
    motion = problem.motion(made.start)
    damping = torch.full((3,), 1e-3, dtype=torch.float64)
    blocks = linearize(problem, motion)
    step = factor(blocks, segmentation_of(problem, motion), damping, first).solve()
    matrix, gradient = dense(blocks, made.field.layout.own.tolist())
    found = torch.cat((step.frame.flatten(1), step.latent.flatten(1), step.betas), dim=1)
    left = (damped(matrix, damping[:, None]) @ found[..., None])[..., 0] + gradient
    assert left[:, :-10].abs().max() < 1e-9 * gradient.abs().max()
    assert left[1, -10:].abs().max() < 1e-9 * gradient.abs().max()
    assert (left[0, -10:] + left[2, -10:]).abs().max() < 1e-9 * gradient.abs().max() < left[0, -10:].abs().max()
    torch.testing.assert_close(step.betas[0], step.betas[2])
    assert (step.betas[0] - step.betas[1]).abs().max() > 1e-3


@pytest.mark.parametrize("free", [FREE_LATENT, FREE_POSE, RIGID])
def test_the_gradient_alone_is_that_of_the_whole_model(free):
    made = make(frames=12)
    problem = made.problem(*free)
    still = made.start.global_R.clone()
    still[:, 6] = still[:, 5]  # a turn of exactly zero, as between frames that were filled in
    motion = problem.motion(replace(made.start, global_R=still))
    blocks = linearize(problem, motion)
    other = linearize(problem, problem.motion(made.truth))
    alone = with_gradient(other, problem, motion)
    for name in ("g_frame", "g_betas", "g_latent"):
        expected = getattr(blocks, name)
        torch.testing.assert_close(getattr(alone, name), expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(alone.frame, other.frame)


def test_where_a_rigid_clip_is_cut_changes_nothing():
    made = make(frames=50)
    problem = made.problem(*RIGID)
    blocks = linearize(problem, problem.motion(made.start))
    damping = torch.full((2,), 1e-4, dtype=torch.float64)
    one, many = (factor(blocks, segment_frames(50, every), damping).solve() for every in (50, 7))
    torch.testing.assert_close(one.frame, many.frame)
    torch.testing.assert_close(one.betas, many.betas)


@pytest.mark.parametrize(("free", "reduction"), [(FREE_LATENT, "sum"), (FREE_POSE, "mean"), (RIGID, "mean")])
def test_in_how_many_pieces_a_clip_is_taken_changes_nothing(free, reduction, monkeypatch):
    found = []
    for frames, windows in ((1000, 8), (17, 1)):
        for module in (in_pieces, arrow):
            monkeypatch.setitem(module.FRAMES, "cpu", frames)
        monkeypatch.setitem(pose_field.WINDOWS_DECODED_AT_ONCE, "cpu", windows)
        made = make(hands=1, frames=60 if free == FREE_POSE else 220)  # 220 frames: three windows that overlap
        problem = replace(made.problem(*free), reduction=reduction)
        motion = problem.motion(made.start)
        blocks = linearize(problem, motion)
        step = factor(blocks, segmentation_of(problem, motion), torch.full((1,), 1e-3, dtype=torch.float64)).solve()
        names = ("frame", "next", "frame_betas", "frame_latent", "betas", "latent", "latent_previous", "latent_betas")
        parts = [getattr(blocks, name) for name in (*names, "g_frame", "g_betas", "g_latent")]
        found.append([*parts, step.frame, step.betas, step.latent, torch.as_tensor(joint_std_mm(problem, motion))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-10 * float(one.abs().max()) if one.numel() else 0)


@pytest.mark.parametrize("free", [FREE_LATENT, FREE_POSE, RIGID])
def test_joint_uncertainty_is_the_inverse_of_the_dense_normal_matrix(free):
    made = make(hands=1, frames=20 if free == FREE_POSE else 130)  # 130 frames: two windows that overlap
    problem = made.problem(*free)
    motion = problem.motion(made.start)
    own = made.field.layout.own.tolist()
    matrix, _ = dense(linearize(problem, motion), own)
    covariance = torch.linalg.inv(damped(matrix, DAMPING))
    found = joint_std_mm(problem, motion)
    for frame in (0, 7, 19) if free == FREE_POSE else (0, 40, 79, 80, 90, 129):
        jacobian = points_by_all(made, problem, motion, frame, covariance.shape[-1], own[frame])
        variance = ((jacobian @ covariance[0]) * jacobian).sum(-1).unflatten(-1, (21, 3)).sum(-1)
        expected = 1000 * (variance * noise_scale(problem, motion)).sqrt()
        torch.testing.assert_close(torch.as_tensor(found[0, frame]), expected, rtol=1e-6, atol=1e-9)


def points_by_all(made, problem, motion, frame, total, own):
    """Differentiate the points of one frame by every unknown of the clip, by autograd through the retraction."""
    _, local = landmark_jacobian(
        problem.kinematics, motion.global_R, motion.hand_R, motion.betas[:, None], motion.transl
    )
    local = local[0, frame].flatten(0, 1)
    width = 51 if "hand_pose" in problem.free else 6
    jacobian = local.new_zeros(63, total)
    columns = torch.cat((local[:, :6], local[:, 16:]), -1)[:, :width]
    jacobian[:, frame * width : (frame + 1) * width] = columns
    jacobian[:, -10:] = local[:, 6:16]
    if "latent" in problem.free:
        here = motion.hand_R[0, frame]

        def turn(latent):
            return rotations.log(here.mT @ problem.field.blend(problem.field.decode(latent))[0, frame])

        by_latent = torch.autograd.functional.jacobian(turn, motion.latent).reshape(45, -1)
        start = motion.transl.shape[1] * width
        jacobian[:, start:-10] = local[:, 16:] @ by_latent
    return jacobian


@pytest.mark.parametrize("size", [7, 96, 230])
def test_quadratic_forms_of_symmetric_matrices(size: int) -> None:
    draw = torch.Generator().manual_seed(size)
    rows = torch.randn(2, 5, size, generator=draw, dtype=torch.float64)
    matrix = torch.randn(2, size, size, generator=draw, dtype=torch.float64)
    matrix = matrix + matrix.mT
    expected = torch.einsum("bni,bij,bnj->bn", rows, matrix, rows)
    assert torch.allclose(quadratic_form(rows, matrix), expected)


def test_uncertainty_grows_where_nothing_was_seen():
    made = make(hands=1, frames=100)
    problem = made.problem(*FREE_LATENT)
    std = joint_std_mm(problem, made.truth)[0].mean(-1)
    hole = slice(100 // 3 + 2, 100 // 3 + 8)
    assert std[hole].min() > std[:30].max()
