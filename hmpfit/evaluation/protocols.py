"""Frames and arrays that each protocol takes, and the number of samples behind each of its scores.

Between the metrics, which know arrays only, and the scoring, which knows motions and truths. The counts are the weights
with which numbers of several clips are averaged: means over samples, areas and F-scores pool exactly that way.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError, UnknownNameError
from hmpfit.evaluation import single_hand, two_hands
from hmpfit.evaluation.tables import mean_of
from hmpfit.interfaces.dataset import Truth
from hmpfit.skeleton import OPENPOSE_WRIST

Points = NDArray[np.floating]
Bools = NDArray[np.bool_]
Faces = NDArray[np.integer]
Scores = dict[str, float]

PROTOCOLS = ("hmp", "ho3d", "freihand", "dexycb", "interhand", "intaghand", "hic", "arctic", "stc")
_NEEDS_MESHES = ("ho3d", "freihand", "hic", "arctic")
_NEEDS_BOTH = ("intaghand",)


def check(protocol: str, truth: Truth) -> None:
    """Raise UnknownNameError for an unknown protocol and InputError when the truth lacks what it needs.

    A dataset's truth without meshes is scored by its joints where the protocol has numbers for them.
    """
    if protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", protocol, PROTOCOLS)
    if truth.vertices_m is None and protocol in _NEEDS_MESHES and not truth.meshes_elsewhere:
        raise InputError(f"Protocol {protocol} scores meshes, and the truth has no 'vertices'; choose --protocol hmp.")
    sides = sorted(truth.is_right.tolist())
    if protocol in _NEEDS_BOTH and sides != [False, True]:
        raise InputError(f"Protocol {protocol} is for a right and a left hand; the truth holds {len(sides)}.")
    if protocol not in ("hmp", *single_hand.PROTOCOLS) and len(set(sides)) != len(sides):
        raise InputError(f"Protocol {protocol} is for at most one hand of each side; the truth holds {len(sides)}.")


def scored_frames(protocol: str, truth: Truth) -> Bools:
    """Return the hands and frames [H, T] that a protocol scores: all joints known, for InterHand2.6M any."""
    annotated = truth.annotated()
    return annotated.any(-1) if protocol == "interhand" else annotated.all(-1)


def scores_of(
    protocol: str, joints: Points, meshes: Points | None, truth: Truth, wanted: Bools, left_faces: Faces | None
) -> tuple[Scores, Scores]:
    """Return the protocol's numbers over the wanted frames [H, T] that have an estimate, and the samples behind each.

    Joints [H, T, 21, 3] and meshes [H, T, V, 3] are the truth's hands, NaN where there is no estimate. Without any
    sample both are empty.
    """
    known = wanted & np.isfinite(joints).all((2, 3))
    if not known.any():
        return {}, {}
    if protocol == "hmp":
        return _over_time(joints, meshes, truth, known)
    if protocol in single_hand.PROTOCOLS:
        found, true = joints[known], truth.joints_m[known]
        if protocol == "dexycb":
            scores = single_hand.dexycb(found, true)
        else:
            both = (
                (None, None) if meshes is None or truth.vertices_m is None else (meshes[known], truth.vertices_m[known])
            )
            scores = single_hand.PROTOCOLS[protocol](found, true, *both)
        return scores, dict.fromkeys(scores, float(known.sum()))
    return _two_hands(protocol, joints, meshes, truth, wanted, known, left_faces)


def _over_time(joints: Points, meshes: Points | None, truth: Truth, known: Bools) -> tuple[Scores, Scores]:
    hands, counts = [], []
    for hand in np.flatnonzero(known.any(1)):
        gone = ~known[hand][:, None, None]
        mesh = None if meshes is None else np.where(gone, np.nan, meshes[hand])
        true_mesh = None if truth.vertices_m is None else truth.vertices_m[hand]
        one = single_hand.hmp(np.where(gone, np.nan, joints[hand]), truth.joints_m[hand], truth.fps, mesh, true_mesh)
        triplets = (known[hand, :-2] & known[hand, 1:-1] & known[hand, 2:]).sum()
        hands.append(one)
        counts.append({key: float(triplets if "_acc_" in key else known[hand].sum()) for key in one})
    return mean_of(hands, counts), total_of(counts)


def _two_hands(
    protocol: str,
    joints: Points,
    meshes: Points | None,
    truth: Truth,
    wanted: Bools,
    known: Bools,
    left_faces: Faces | None,
) -> tuple[Scores, Scores]:
    rows = [next(iter(np.flatnonzero(truth.is_right == side)), None) for side in (True, False)]
    found, true = _paired(joints, rows), _paired(truth.joints_m, rows)
    mesh = None if meshes is None else _paired(meshes, rows)
    true_mesh = None if truth.vertices_m is None else _paired(truth.vertices_m, rows)
    valid, interacting = _paired(known, rows), _paired(wanted, rows).all(1)
    both = valid.all(1)
    n_hands, n_both = float(valid.sum()), float((both & interacting).sum())
    singles, pairs = float(valid[~interacting].sum()), float(valid[interacting].sum())
    counts = {"single": singles, "interacting": pairs, "mrrpe": n_both, "rrve": n_both, "mmpd": n_both}
    if protocol == "interhand":
        joint_valid = _paired(truth.annotated(), rows) & valid[..., None]
        scores = two_hands.interhand(found, true, joint_valid, interacting)
        wrists = joint_valid[:, :, OPENPOSE_WRIST].all(1) & interacting
        counts["mrrpe"] = float(wrists.sum())
    elif protocol == "intaghand":
        if not both.any():
            return {}, {}
        picked = (None, None) if mesh is None or true_mesh is None else (mesh[both], true_mesh[both])
        scores = two_hands.intaghand(found[both], true[both], *picked)
        n_hands = 2 * float(both.sum())
    elif protocol == "stc":
        scores = two_hands.stc(found, true, valid, mesh, true_mesh, left_faces)
        counts["accel"] = float((valid[:-2] & valid[1:-1] & valid[2:]).sum())
    else:
        if protocol == "hic":
            marked = [
                None if part is None else np.where(valid[..., None, None], part, np.nan) for part in (true, true_mesh)
            ]
            assert marked[0] is not None
            scores = two_hands.hic(found, marked[0], mesh, marked[1], interacting)
        else:
            scores = two_hands.arctic(found, true, mesh, true_mesh, valid, truth.fps)
            n_hands = float(valid.any(1).sum())
            counts["acc"] = float((valid[:-2] & valid[1:-1] & valid[2:]).any(1).sum())
    weights = {}
    for key in scores:
        part = next((name for name in counts if f"_{name}_" in key), None)
        weights[key] = n_hands if part is None else counts[part]
    return scores, weights


def total_of(counts: Sequence[Scores]) -> Scores:
    """Return the sums of the counts of several clips, key by key."""
    return {key: sum(one.get(key, 0.0) for one in counts) for key in dict.fromkeys(k for one in counts for k in one)}


def _paired(values: NDArray, rows: Sequence[int | None]) -> NDArray:
    """Return values [H, T, ...] as [T, 2, ...], right hand first; zeros for a hand that is not there, and for NaN."""
    parts = [np.zeros_like(values[0]) if row is None else np.nan_to_num(values[row]) for row in rows]
    return np.stack(parts, axis=1).astype(values.dtype)
