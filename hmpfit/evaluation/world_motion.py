"""World motion against the truth: W-MPJPE, WA-MPJPE and the camera's ATE, each with its alignment in its name.

Published definitions differ: WHAM and SLAHMR align by the first frames or whole pieces, of 100 frames, with a scale;
Dyn-HaMR and HaWoR take 128 frames. All are printed here: by the first frame (`first_frame`) or by all frames (`whole`,
`128`), over the clip or over pieces of 128 frames, by a rigid motion or with a scale too (`scaled`). Metres in,
millimeters out.
"""

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.alignment import best_similarity
from hmpfit.geometry.rigid_transforms import apply

Points = NDArray[np.floating]
Scores = dict[str, float]

PIECE = 128
_MM = 1000.0


def world_scores(
    joints: Points, true_joints: Points, path: Points | None, true_path: Points, map_path: Points | None = None
) -> Scores:
    """Return the world's numbers for joints [H, T, 21, 3] before the camera, NaN without an estimate, and their truth.

    Paths are world from camera [T, 4, 4]; `path` None or not finite: the world is not known, and only what `map_path`
    (of unknown scale) tells is scored. The hands taken as before a still camera are scored too (`still`), to compare.
    """
    true_world = apply(true_path[None], true_joints)
    known = path is not None and bool(np.isfinite(path).all())
    scores: Scores = {"world_known": float(known)}
    if known and path is not None:
        scores.update(_points(apply(path[None], joints), true_world))
        scores.update(_camera(path, true_path))
    elif map_path is not None:
        scores.update({key: value for key, value in _camera(map_path, true_path).items() if "scaled" in key})
    still = _points(joints, true_world)
    scores.update({f"{key.removesuffix('_mm')}_still_mm": still[key] for key in ("wa_mpjpe_128_mm",) if key in still})
    return scores


def _points(found: Points, true: Points) -> Scores:
    scores: Scores = {}
    frames = found.shape[1]
    pieces = [slice(first, min(first + PIECE, frames)) for first in range(0, frames, PIECE)]
    for name, parts in (("whole", [slice(0, frames)]), ("128", pieces)):
        for scaled in (False, True):
            ending = "_scaled_mm" if scaled else "_mm"
            first = "first_frame" if name == "whole" else "first_frame_128"
            for key, alone in ((f"w_mpjpe_{first}", True), (f"wa_mpjpe_{name}", False)):
                errors = [_aligned_errors(found[:, part], true[:, part], alone, scaled) for part in parts]
                joined = np.concatenate(errors)
                if len(joined):
                    scores[key + ending] = float(joined.mean()) * _MM
    return scores


def _aligned_errors(found: Points, true: Points, first_alone: bool, scaled: bool) -> Points:
    """Return the errors of all known joints after one alignment by the first known frame, or by all frames."""
    known = np.isfinite(found).all(-1) & np.isfinite(true).all(-1)
    if known.sum() < 3:
        return np.zeros(0)
    basis = known.copy()
    if first_alone:
        basis[:, np.flatnonzero(known.any((0, 2)))[0] + 1 :] = False
    rotation, scale, shift = best_similarity(found[basis], true[basis], scaled)
    moved = scale * found[known] @ rotation.T + shift
    return np.asarray(np.linalg.norm(moved - true[known], axis=-1))


def _camera(path: Points, true_path: Points) -> Scores:
    """Return the absolute trajectory error (Sturm et al. 2012): the RMSE of the camera's places after alignment."""
    place, true = path[:, :3, 3], true_path[:, :3, 3]
    length = float(np.linalg.norm(np.diff(true, axis=0), axis=1).sum())
    scores: Scores = {"camera_path_mm": length * _MM}
    for scaled, ending in ((False, ""), (True, "_scaled")):
        rotation, scale, shift = best_similarity(place, true, scaled)
        error = float(np.sqrt(((scale * place @ rotation.T + shift - true) ** 2).sum(-1).mean()))
        scores[f"camera_ate{ending}_mm"] = error * _MM
        if length > 0:
            scores[f"camera_ate{ending}_percent"] = 100 * error / length
    return scores
