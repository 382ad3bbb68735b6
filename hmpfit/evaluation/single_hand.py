"""The protocols for one hand per sample: HO3D, FreiHAND, DexYCB, and HMP's own over time.

Each takes arrays over samples in meters and returns numbers whose names carry protocol and unit. Official scripts: HO3D
`eval.py`, FreiHAND `eval.py`, dex-ycb-toolkit `hpe_eval.py`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hmpfit.evaluation import measures, metrics
from hmpfit.evaluation.alignments import procrustes_aligned, root_aligned, scale_and_translation_aligned
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST

Points = NDArray[np.floating]
Scores = dict[str, float]

_CM, _MM = 100.0, 1000.0
_RANGE_M, _STEPS = 0.05, 100
_THRESHOLDS_M = (0.005, 0.015)


def ho3d(joints: Points, true_joints: Points, vertices: Points | None, true_vertices: Points | None) -> Scores:
    """Return HO3D's scores of joints [S, 21, 3] (OpenPose order) and MANO meshes [S, 778, 3]; errors in cm.

    Joints raw, after scale and translation by the bone from the wrist to the middle MCP, and after PA with reflection;
    meshes raw and after their own PA; F-scores of raw and aligned meshes. Beside what the official script prints,
    joints and meshes wrist on wrist (`..._wrist_...`): what papers on HO3D give "before Procrustes alignment"
    (IFVONet's table II).
    """
    to_wrist = (true_joints - joints)[:, OPENPOSE_WRIST, None]
    scaled = scale_and_translation_aligned(joints, true_joints, OPENPOSE_WRIST, OPENPOSE_MIDDLE_MCP)
    scores = {
        **_points(joints, true_joints, "joint"),
        **_points(scaled, true_joints, "joint_sc_tr"),
        **_points(procrustes_aligned(joints, true_joints), true_joints, "joint_pa"),
        **_points(root_aligned(joints, true_joints, OPENPOSE_WRIST), true_joints, "joint_wrist"),
        **_meshes(vertices, true_vertices),
    }
    if vertices is not None and true_vertices is not None:
        moved = vertices + to_wrist
        scores |= {**_points(moved, true_vertices, "vertex_wrist"), **_f_scores(moved, true_vertices, "_wrist")}
    return _named("ho3d", scores)


def freihand(joints: Points, true_joints: Points, vertices: Points | None, true_vertices: Points | None) -> Scores:
    """Return FreiHAND's scores: HO3D's without the scale-and-translation alignment; errors in cm."""
    scores = {
        **_points(joints, true_joints, "joint"),
        **_points(procrustes_aligned(joints, true_joints), true_joints, "joint_pa"),
        **_meshes(vertices, true_vertices),
    }
    return _named("freihand", scores)


def dexycb(joints: Points, true_joints: Points) -> Scores:
    """Return DexYCB's scores of joints [S, 21, 3]: absolute, wrist on wrist, and PA with reflection; errors in mm.

    Samples whose truth is marked absent (all -1) or not finite are left out.
    """
    annotated = np.isfinite(true_joints).all((1, 2)) & ~(true_joints == -1).all((1, 2))
    # in millimeters, because the script's 1e-8 beside the norms has a unit
    found, true = joints[annotated] * _MM, true_joints[annotated] * _MM
    wrist = OPENPOSE_WRIST
    aligned = {
        "absolute": (found, true),
        "root_relative": (found - found[:, wrist, None], true - true[:, wrist, None]),
        "procrustes": (procrustes_aligned(found, true) if len(found) else found, true),
    }
    scores: Scores = {"samples": float(len(found))}
    for name, (points, target) in aligned.items():
        errors = measures.distances(points, target)
        scores[f"{name}_mpjpe_mm"] = measures.mean_over_points(errors)
        scores[f"{name}_auc"] = measures.area_under_curve(errors, 0.0, _RANGE_M * _MM, _STEPS)
    return _named("dexycb", scores)


def hmp(
    joints: Points, true_joints: Points, fps: float, vertices: Points | None = None, true_vertices: Points | None = None
) -> Scores:
    """Return the paper's own scores of one hand over time [T, 21, 3]; mm, proper rotations only.

    PA-MPJPE, RA-MPJPE, RA-ACC (mm per frame squared at 30 frames per second) and, where there are meshes, PA-MPVPE.
    Frames that are not finite in both are left out.
    """
    scores = {
        "pa_mpjpe_mm": metrics.pa_mpjpe_mm(joints, true_joints),
        "ra_mpjpe_mm": metrics.ra_mpjpe_mm(joints, true_joints),
        "ra_acc_mm_per_frame2": metrics.ra_acc_mm(joints, true_joints, fps),
    }
    if vertices is not None and true_vertices is not None:
        scores["pa_mpvpe_mm"] = metrics.pa_mpjpe_mm(vertices, true_vertices)
    return scores


PROTOCOLS: dict[str, Callable[..., Scores]] = {"ho3d": ho3d, "freihand": freihand, "dexycb": dexycb}


def _points(found: Points, true: Points, name: str) -> Scores:
    errors = measures.distances(found, true)
    return {
        f"{name}_error_cm": measures.mean_over_points(errors) * _CM,
        f"{name}_auc": measures.area_under_curve(errors, 0.0, _RANGE_M, _STEPS),
    }


def _meshes(vertices: Points | None, true_vertices: Points | None) -> Scores:
    if vertices is None or true_vertices is None:
        return {}
    aligned = procrustes_aligned(vertices, true_vertices)
    scores = {**_points(vertices, true_vertices, "vertex"), **_points(aligned, true_vertices, "vertex_pa")}
    return {**scores, **_f_scores(vertices, true_vertices, ""), **_f_scores(aligned, true_vertices, "_pa")}


def _f_scores(vertices: Points, true_vertices: Points, name: str) -> Scores:
    found = measures.f_scores(vertices, true_vertices, _THRESHOLDS_M)
    return {f"f{name}_at_{threshold * _MM:.0f}mm": value for threshold, value in found.items()}


def _named(protocol: str, scores: Scores) -> Scores:
    return {f"{protocol}_{name}": value for name, value in scores.items()}
