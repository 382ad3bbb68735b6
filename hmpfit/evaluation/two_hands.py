"""The protocols for two hands: InterHand2.6M, ITH-3D and IntagHand, HIC, ARCTIC, STC. Arrays in meters, results in mm.

Hands are axis 1: right first, then left. Sources: InterHand2.6M's `dataset.py`, IntagHand's and InterWild's evaluation,
ARCTIC's `eval_modules.py`, as summed up in the data sets' own evaluations.
"""

import numpy as np
from numpy.typing import NDArray

from hmpfit.evaluation import measures
from hmpfit.evaluation.alignments import procrustes_aligned, root_aligned, scale_and_translation_aligned
from hmpfit.evaluation.penetration import mmpd_mm
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST

Points = NDArray[np.floating]
Bools = NDArray[np.bool_]
Scores = dict[str, float]

_MM = 1000.0
_AUC_RANGE_M, _AUC_STEPS = 0.05, 200
_STC_AUC_STEPS = 100
_PCK_AT_M = (0.02, 0.05)


def interhand(joints: Points, true_joints: Points, valid: Bools, interacting: Bools) -> Scores:
    """Return InterHand2.6M's MPJPE of joints [S, 2, 21, 3], wrist on wrist per hand, without scale.

    `valid` [S, 2, 21] are the annotated joints, `interacting` [S] the samples that show two hands. Each joint's mean
    over its valid samples, then the mean over all 42, the two wrists' zeros included; a hand without a valid wrist
    counts nowhere. MRRPE: error of the left wrist relative to the right one, over interacting samples whose wrists are
    both valid.
    """
    errors = measures.distances(_rooted(joints), _rooted(true_joints)).reshape(len(joints), -1)
    valid = valid & valid[:, :, OPENPOSE_WRIST : OPENPOSE_WRIST + 1]
    flat = valid.reshape(len(valid), -1)
    scores = {}
    for name, picked in (("single", ~interacting), ("interacting", interacting), ("all", np.ones_like(interacting))):
        scores[f"interhand_mpjpe_{name}_mm"] = measures.mean_over_points(errors[picked], flat[picked]) * _MM
    both = interacting & valid[:, :, OPENPOSE_WRIST].all(1)
    scores["interhand_mrrpe_mm"] = mrrpe_mm(joints[both], true_joints[both])
    return scores


def mrrpe_mm(joints: Points, true_joints: Points) -> float:
    """Return the mean error in mm of the left wrist relative to the right one, joints [S, 2, 21, 3]."""
    if not len(joints):
        return float("nan")
    found, true = (part[:, 1, OPENPOSE_WRIST] - part[:, 0, OPENPOSE_WRIST] for part in (joints, true_joints))
    return float(measures.distances(found, true).mean() * _MM)


def intaghand(
    joints: Points, true_joints: Points, vertices: Points | None = None, true_vertices: Points | None = None
) -> Scores:
    """Return MPJPE and MPVPE as IntagHand and ITH-3D take them: middle MCP on middle MCP, metacarpal scaled, per hand.

    Joints [S, 2, 21, 3], meshes [S, 2, V, 3]. The AUC has 200 thresholds from 0 to 50 mm. Beside it MPJPE by the other
    choices in use: without that scale (`mpjpe_mcp9_mm`), and wrist on wrist with and without it.
    """
    found, true = joints.reshape(-1, 21, 3), true_joints.reshape(-1, 21, 3)
    aligned = scale_and_translation_aligned(found, true, OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST)
    errors = measures.distances(aligned, true)
    others = {
        "mpjpe_mcp9_mm": root_aligned(found, true, OPENPOSE_MIDDLE_MCP),
        "mpjpe_wrist_mm": root_aligned(found, true, OPENPOSE_WRIST),
        "mpjpe_wrist_scaled_mm": scale_and_translation_aligned(found, true, OPENPOSE_WRIST, OPENPOSE_MIDDLE_MCP),
    }
    scores = {
        "mpjpe_mcp9_scaled_mm": float(errors.mean() * _MM),
        "auc_mcp9_scaled": measures.area_under_curve(errors, 0.0, _AUC_RANGE_M, _AUC_STEPS),
        **{name: float(measures.distances(points, true).mean() * _MM) for name, points in others.items()},
    }
    if vertices is not None and true_vertices is not None:
        # The mesh is moved with its joints: same scale, same root.
        mesh, true_mesh = (part.reshape(-1, *part.shape[2:]) for part in (vertices, true_vertices))
        carried, goal = np.concatenate((found, mesh), axis=1), np.concatenate((true, true_mesh), axis=1)
        moved = scale_and_translation_aligned(carried, goal, OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST)[:, 21:]
        scores["mpvpe_mcp9_scaled_mm"] = float(measures.distances(moved, true_mesh).mean() * _MM)
    return scores


def hic(
    joints: Points,
    true_joints: Points,
    vertices: Points | None,
    true_vertices: Points | None,
    interacting: Bools,
) -> Scores:
    """Return InterWild's HIC scores: MPVPE wrist on wrist, RRVE (both meshes relative to the right wrist), MRRPE; mm.

    Joints [S, 2, 21, 3] and meshes [S, 2, V, 3]; true joints or meshes that are NaN are hands that are not annotated.
    Without meshes MRRPE alone.
    """
    if vertices is None or true_vertices is None:
        seen = interacting & np.isfinite(true_joints).all((1, 2, 3))
        return {"hic_mrrpe_mm": mrrpe_mm(joints[seen], true_joints[seen])}
    known = np.isfinite(true_vertices).all((2, 3))
    errors = measures.distances(
        vertices - joints[:, :, OPENPOSE_WRIST][:, :, None],
        true_vertices - true_joints[:, :, OPENPOSE_WRIST][:, :, None],
    ).mean(-1)
    scores = {}
    for name, picked in (("single", ~interacting), ("interacting", interacting)):
        chosen = errors[picked][known[picked]]
        scores[f"hic_mpvpe_{name}_mm"] = float(chosen.mean() * _MM) if len(chosen) else float("nan")
    both = interacting & known.all(1)
    right, true_right = (part[both, 0, OPENPOSE_WRIST][:, None, None] for part in (joints, true_joints))
    relative = measures.distances(vertices[both] - right, true_vertices[both] - true_right)
    scores["hic_rrve_mm"] = float(relative.mean() * _MM) if both.any() else float("nan")
    scores["hic_mrrpe_mm"] = mrrpe_mm(joints[both], true_joints[both])
    return scores


def arctic(
    joints: Points,
    true_joints: Points,
    vertices: Points | None,
    true_vertices: Points | None,
    valid: Bools,
    fps: float = 30.0,
) -> Scores:
    """Return ARCTIC's hand scores of one sequence: joints [T, 2, 21, 3], meshes [T, 2, V, 3], `valid` [T, 2].

    MPJPE wrist on wrist, mean over the valid hands of a frame, then over frames (mm); MRRPE of the left hand relative
    to the right; ACC, the error of the wrist-relative vertices' acceleration in m/s², of the hands whose frame and
    neighbors are valid, again over hands and then frames; only where there are meshes.
    """
    errors = measures.distances(_rooted(joints), _rooted(true_joints)).mean(-1)
    both = valid.all(1)
    scores = {
        "arctic_mpjpe_ra_mm": _over_hands_then_frames(errors, valid) * _MM,
        "arctic_mrrpe_rl_mm": mrrpe_mm(joints[both], true_joints[both]),
    }
    if vertices is not None and true_vertices is not None:
        found = vertices - joints[:, :, OPENPOSE_WRIST][:, :, None]
        true = true_vertices - true_joints[:, :, OPENPOSE_WRIST][:, :, None]
        second = measures.distances(np.diff(found, n=2, axis=0), np.diff(true, n=2, axis=0)).mean(-1) * fps**2
        neighbors = valid[:-2] & valid[1:-1] & valid[2:]
        scores["arctic_acc_m_per_s2"] = _over_hands_then_frames(second, neighbors)
    return scores


def stc(
    joints: Points,
    true_joints: Points,
    valid: Bools,
    vertices: Points | None = None,
    true_vertices: Points | None = None,
    left_faces: NDArray[np.integer] | None = None,
) -> Scores:
    """Return STC's scores of one sequence: joints [T, 2, 21, 3], meshes [T, 2, V, 3], `valid` [T, 2].

    MPJPE, MPVPE and Accel_E (mm per frame squared, the clip's own frames), PCK and the AUC to 50 mm with middle knuckle
    on middle knuckle, as the paper's reference, and beside them (`stc_wrist_...`) wrist on wrist. PA-MPJPE by a proper
    rotation, MRRPE, and MMPD where the left hand's faces [F, 3] are given: with the wrists at their
    true distance as in the paper, and as the estimate placed them. Means over the valid hands of all frames.
    """
    found, true = joints[valid], true_joints[valid]
    aligned = measures.distances(procrustes_aligned(found, true, reflection=False), true)
    meshes = None if vertices is None or true_vertices is None else (vertices, true_vertices)
    scores = {
        **_stc_rooted("stc", OPENPOSE_MIDDLE_MCP, (joints, true_joints), meshes, valid),
        "stc_pa_mpjpe_mm": _mean(aligned) * _MM,
        **_stc_rooted("stc_wrist", OPENPOSE_WRIST, (joints, true_joints), meshes, valid),
    }
    both = valid.all(1)
    scores["stc_mrrpe_mm"] = mrrpe_mm(joints[both], true_joints[both])
    if vertices is None or true_vertices is None:
        return scores
    if left_faces is not None and both.any():
        wrists, true_wrists = (part[both][:, :, OPENPOSE_WRIST, None] for part in (joints, true_joints))
        placed = vertices[both] - wrists + true_wrists
        scores["stc_mmpd_mm"] = mmpd_mm(placed[:, 0], placed[:, 1], left_faces)
        scores["stc_mmpd_as_placed_mm"] = mmpd_mm(vertices[both, 0], vertices[both, 1], left_faces)
    return scores


def _stc_rooted(
    name: str, root: int, joints: tuple[Points, Points], meshes: tuple[Points, Points] | None, valid: Bools
) -> Scores:
    """Return the numbers of found and true joints, and meshes, that hang on the root joint."""
    origins = [part[:, :, root, None] for part in joints]
    mine, true = (part - origin for part, origin in zip(joints, origins, strict=True))
    errors = measures.distances(mine, true)[valid]
    second = measures.distances(np.diff(mine, n=2, axis=0), np.diff(true, n=2, axis=0))
    scores = {
        f"{name}_mpjpe_mm": _mean(errors) * _MM,
        **{f"{name}_pck_at_{limit * _MM:.0f}mm": measures.share_within(errors, limit) for limit in _PCK_AT_M},
        f"{name}_auc": measures.area_under_curve(errors, 0.0, _AUC_RANGE_M, _STC_AUC_STEPS),
        f"{name}_accel_e_mm_per_frame2": _mean(second[valid[:-2] & valid[1:-1] & valid[2:]]) * _MM,
    }
    if meshes is not None:
        surfaces = [part - origin for part, origin in zip(meshes, origins, strict=True)]
        scores[f"{name}_mpvpe_mm"] = _mean(measures.distances(*surfaces)[valid]) * _MM
    return scores


def _mean(values: Points) -> float:
    return float(values.mean()) if values.size else float("nan")


def _over_hands_then_frames(values: Points, valid: Bools) -> float:
    """Mean of values [T, 2] over each frame's valid hands, then over the frames that have one."""
    count = valid.sum(1)
    sums = np.where(valid, values, 0.0).sum(1)
    return float((sums[count > 0] / count[count > 0]).mean()) if count.any() else float("nan")


def _rooted(joints: Points) -> Points:
    return joints - joints[:, :, OPENPOSE_WRIST : OPENPOSE_WRIST + 1]
