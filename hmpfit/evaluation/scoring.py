"""Score a motion, or points from a submission, against a truth by any protocol, hand by hand of the same side.

What `hmpfit eval`, `hmpfit demo` and the ablation table share.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.evaluation.missing_frames import fill_missing_frames, neutral_hand
from hmpfit.evaluation.protocols import PROTOCOLS as PROTOCOLS
from hmpfit.evaluation.protocols import check, scored_frames, scores_of
from hmpfit.evaluation.truth_files import read_truth as read_truth
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Truth
from hmpfit.records import HandMotion
from hmpfit.skeleton import OPENPOSE_WRIST

Points = NDArray[np.floating]
Scores = dict[str, float]


def score_motion(
    motion: HandMotion, models: HandModels, truth: Truth, protocol: str = "hmp", subset: bool = False
) -> dict[str, Scores]:
    """Return scores of a motion: `covered` over frames with an estimate, `charged` over all frames, and the coverage.

    `samples` says how many samples stand behind each covered number and `samples_charged` behind each charged one.
    `subset` restricts all of it to the truth's occluded frames. Raises InputError when the motion has another number of
    frames or the truth lacks what the protocol needs, UnknownNameError for an unknown protocol.
    """
    check(protocol, truth)
    frames = truth.joints_m.shape[1]
    if motion.transl.shape[1] != frames:
        raise InputError(f"The result has {motion.transl.shape[1]} frames and the truth {frames}; score whole clips.")
    if truth.vertices_m is not None and truth.vertices_m.shape[2] != len(models.right.v_template):
        raise InputError(
            f"The truth's meshes have {truth.vertices_m.shape[2]} vertices and the hand model in use "
            f"{len(models.right.v_template)}; give the truth's with --hand-model."
        )
    posed = pose_hands(models, motion, vertices=truth.vertices_m is not None)
    same = match_hands(posed.joints, motion.is_right, truth.joints_m, truth.is_right)
    joints = pick_hands(posed.joints, same)
    meshes = None if truth.vertices_m is None or posed.vertices is None else pick_hands(posed.vertices, same)
    wanted = scored_frames(protocol, truth)
    if subset:
        wanted = wanted & truth.occluded()
    faces = models.side(False).faces
    covered, samples = scores_of(protocol, joints, meshes, truth, wanted, faces)
    full = _charged(joints, meshes, truth, models)
    all_frames, all_samples = scores_of(protocol, *full, truth, wanted, faces)
    known = wanted & np.isfinite(joints).all((2, 3))
    share = float(known.sum() / wanted.sum()) if wanted.any() else float("nan")
    return {
        "covered": covered,
        "charged": all_frames,
        "samples": samples,
        "samples_charged": all_samples,
        "coverage": {"share": share, "frames": float(wanted.sum())},
    }


def flattened(scores: Mapping[str, Scores]) -> Scores:
    """Return one flat dictionary: covered numbers by their names, charged ones with `_charged` behind, the coverage."""
    out = dict(scores["covered"])
    out.update({f"{name}_charged": value for name, value in scores["charged"].items()})
    out["coverage"] = scores["coverage"]["share"]
    return out


def sample_counts(scores: Mapping[str, Scores]) -> Scores:
    """Return, for the names of `flattened`, the number of samples by which clips are averaged."""
    out = dict(scores["samples"])
    out.update({f"{name}_charged": value for name, value in scores["samples_charged"].items()})
    out["coverage"] = scores["coverage"]["frames"]
    return out


def demo_errors(motion: HandMotion, models: HandModels, truth: Truth) -> Scores:
    """Return the four numbers of `hmpfit demo --json` under their short names, mm. Raises as `score_motion` does."""
    found = score_motion(motion, models, truth)["covered"]
    short = {"ra_acc_mm": "ra_acc_mm_per_frame2"}
    names = ("pa_mpjpe_mm", "ra_mpjpe_mm", "ra_acc_mm", "pa_mpvpe_mm")
    return {name: found[short.get(name, name)] for name in names}


def _charged(joints: Points, meshes: Points | None, truth: Truth, models: HandModels) -> tuple[Points, Points | None]:
    full, full_meshes = joints.copy(), None if meshes is None else meshes.copy()
    for row, is_right in enumerate(truth.is_right):
        neutral, neutral_mesh = neutral_hand(models, bool(is_right))
        wrists = joints[row, :, OPENPOSE_WRIST]
        full[row], _ = fill_missing_frames(joints[row], neutral, wrists)
        if full_meshes is not None and meshes is not None:
            full_meshes[row], _ = fill_missing_frames(meshes[row], neutral_mesh, wrists)
    return full, full_meshes
