"""Score a result against a truth file, hand by hand of the same side, by any of the protocols.

Files in, numbers out: what `hmpfit eval`, `hmpfit demo` and the ablation table share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError, UnknownNameError
from hmpfit.evaluation import single_hand, two_hands
from hmpfit.evaluation.coverage import charged, neutral_hand
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.records import HandMotion
from hmpfit.skeleton import OPENPOSE_WRIST

Points = NDArray[np.floating]
Scores = dict[str, float]

PROTOCOLS = ("hmp", "ho3d", "freihand", "dexycb", "interhand", "intaghand", "arctic")
OCCLUDED_SHARE = 0.3  # of a hand's joints hidden: frames above it are the occlusion subset


@dataclass(frozen=True)
class TruthFile:
    """A truth: hands H, frames T; camera axes, metres, joints in OpenPose order."""

    is_right: NDArray[np.bool_]  # [H]
    joints: Points  # [H, T, 21, 3], NaN where not known
    times_s: Points  # [T]
    vertices: Points | None = None  # [H, T, V, 3]
    visible: NDArray[np.bool_] | None = None  # [H, T, 21]

    @property
    def fps(self) -> float:
        """Mean frame rate of the time stamps."""
        return float((len(self.times_s) - 1) / (self.times_s[-1] - self.times_s[0])) if len(self.times_s) > 1 else 30.0

    def occluded(self) -> NDArray[np.bool_]:
        """Return the frames [H, T] in which more than `OCCLUDED_SHARE` of the joints are hidden."""
        if self.visible is None:
            return np.zeros(self.joints.shape[:2], dtype=bool)
        return (~self.visible).mean(-1) > OCCLUDED_SHARE


def read_truth(path: Path) -> TruthFile:
    """Read a synthetic clip's `truth.npz` (or its folder), or a result as the truth of another.

    Raises InputError when the file is missing, damaged, or lacks joints.
    """
    file = next((path / name for name in ("truth.npz", "result.npz") if (path / name).is_file()), path)
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        return TruthFile(
            is_right=arrays["is_right"].astype(bool),
            joints=arrays["joints"],
            times_s=arrays["times_s"],
            vertices=arrays["vertices"].astype(np.float64) if "vertices" in arrays else None,
            visible=arrays["visibility"].astype(bool) if "visibility" in arrays else None,
        )
    except KeyError as error:
        raise InputError(f"The truth '{file}' lacks {error}; truth.npz has is_right, joints, times_s.") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"The truth '{file}' cannot be read as npz ({error}); give a truth.npz or a run.") from None


def score_motion(
    motion: HandMotion, models: HandModels, truth: TruthFile, protocol: str = "hmp", subset: bool = False
) -> dict[str, Scores]:
    """Return scores of a motion: `covered` over frames with an estimate, `charged` over all frames, and the share.

    `subset` restricts both to the truth's occluded frames. Raises InputError when the motion has another number of
    frames or the truth lacks what the protocol needs, UnknownNameError for an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", protocol, PROTOCOLS)
    frames = truth.joints.shape[1]
    if motion.transl.shape[1] != frames:
        raise InputError(f"The result has {motion.transl.shape[1]} frames and the truth {frames}; score whole clips.")
    if truth.vertices is None and protocol in ("ho3d", "freihand", "arctic"):
        raise InputError(f"Protocol {protocol} scores meshes, and the truth has no 'vertices'; choose --protocol hmp.")
    if protocol in ("interhand", "intaghand", "arctic") and sorted(truth.is_right) != [False, True]:
        raise InputError(f"Protocol {protocol} is for a right and a left hand; the truth holds {len(truth.is_right)}.")
    posed = pose_hands(models, motion, vertices=truth.vertices is not None)
    joints = np.full(truth.joints.shape, np.nan)
    meshes = None if truth.vertices is None else np.full(truth.vertices.shape, np.nan)
    for row, is_right in enumerate(truth.is_right):
        same = np.flatnonzero(motion.is_right == is_right)
        if len(same):
            joints[row] = posed.joints[same[0]]
            if meshes is not None and posed.vertices is not None:
                if posed.vertices.shape[2] != meshes.shape[2]:
                    raise InputError(
                        f"The truth's meshes have {meshes.shape[2]} vertices and the hand model in use "
                        f"{posed.vertices.shape[2]}; give the truth's with --hand-model."
                    )
                meshes[row] = posed.vertices[same[0]]
    wanted = truth.occluded() if subset else np.isfinite(truth.joints).all((2, 3))
    wanted = wanted & np.isfinite(truth.joints).all((2, 3))
    full_joints, full_meshes, coverage = _charged(joints, meshes, truth, models)
    return {
        "covered": _scores(protocol, joints, meshes, truth, wanted),
        "charged": _scores(protocol, full_joints, full_meshes, truth, wanted),
        "coverage": {"share": coverage, "frames": float(wanted.sum())},
    }


def _charged(
    joints: Points, meshes: Points | None, truth: TruthFile, models: HandModels
) -> tuple[Points, Points | None, float]:
    full, full_meshes = joints.copy(), None if meshes is None else meshes.copy()
    shares = []
    for row, is_right in enumerate(truth.is_right):
        neutral, neutral_mesh = neutral_hand(models, bool(is_right))
        wrists = joints[row, :, OPENPOSE_WRIST]
        full[row], share = charged(joints[row], neutral, wrists)
        if full_meshes is not None and meshes is not None and len(neutral_mesh) == meshes.shape[2]:
            full_meshes[row], _ = charged(meshes[row], neutral_mesh, wrists)
        shares.append(share)
    return full, full_meshes, float(np.mean(shares))


def _scores(
    protocol: str, joints: Points, meshes: Points | None, truth: TruthFile, wanted: NDArray[np.bool_]
) -> Scores:
    known = wanted & np.isfinite(joints).all((2, 3))
    if protocol == "hmp":
        hands = [_hmp(joints, meshes, truth, known, hand) for hand in range(len(joints)) if known[hand].any()]
        return _mean(hands, [int(known[hand].sum()) for hand in range(len(joints)) if known[hand].any()])
    if protocol in single_hand.PROTOCOLS:
        if not known.any():
            return {}
        if protocol == "dexycb":
            return single_hand.dexycb(joints[known], truth.joints[known])
        assert meshes is not None and truth.vertices is not None
        return single_hand.PROTOCOLS[protocol](joints[known], truth.joints[known], meshes[known], truth.vertices[known])
    order = np.argsort(~truth.is_right)  # right first
    found, true = (np.nan_to_num(part[order]).swapaxes(0, 1) for part in (joints, truth.joints))
    valid = known[order].T
    if protocol == "interhand":
        return two_hands.interhand(found, true, np.repeat(valid[..., None], 21, axis=2), valid.all(1))
    both = valid.all(1)
    mesh = None if meshes is None else np.nan_to_num(meshes[order]).swapaxes(0, 1)
    true_mesh = None if truth.vertices is None else truth.vertices[order].swapaxes(0, 1)
    if protocol == "intaghand":
        if not both.any():
            return {}
        picked = (None, None) if mesh is None or true_mesh is None else (mesh[both], true_mesh[both])
        return two_hands.intaghand(found[both], true[both], *picked)
    assert mesh is not None and true_mesh is not None
    return two_hands.arctic(found, true, mesh, true_mesh, valid, truth.fps)


def _hmp(joints: Points, meshes: Points | None, truth: TruthFile, known: NDArray[np.bool_], hand: int) -> Scores:
    found = np.where(known[hand][:, None, None], joints[hand], np.nan)
    mesh = None if meshes is None else np.where(known[hand][:, None, None], meshes[hand], np.nan)
    true_mesh = None if truth.vertices is None else truth.vertices[hand]
    return single_hand.hmp(found, truth.joints[hand], truth.fps, mesh, true_mesh)


def _mean(scores: list[Scores], weights: list[int]) -> Scores:
    from hmpfit.evaluation.tables import mean_of

    return mean_of(scores, weights)


def flattened(scores: Mapping[str, Scores]) -> Scores:
    """Return one flat dictionary: covered numbers by their names, charged ones with `_charged` behind, the coverage."""
    out = dict(scores["covered"])
    out.update({f"{name}_charged": value for name, value in scores["charged"].items()})
    out["coverage"] = scores["coverage"]["share"]
    return out
