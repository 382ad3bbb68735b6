"""Name -> plug-in, one plain table per family of lazy addresses.

Kept apart from the plug-ins so that listing names imports none of them; third parties add names through the
entry-point group `hmpfit.<family>`.
"""

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from hmpfit.errors import MissingExtraError, UnknownNameError

FAMILIES: Mapping[str, Mapping[str, str]] = {
    "keypoints": {
        "blend": "hmpfit.keypoints.blend:SOURCE",
        "mediapipe": "hmpfit.keypoints.mediapipe:SOURCE",
        "mmpose": "hmpfit.keypoints.mmpose:SOURCE",
        "initializer": "hmpfit.keypoints.projected:SOURCE",
        "file": "hmpfit.keypoints.from_file:SOURCE",
    },
    "initializers": {
        "keypoints": "hmpfit.initializers.from_keypoints:INITIALIZER",
        "file": "hmpfit.initializers.from_file:INITIALIZER",
    },
    "solvers": {
        "gauss_newton": "hmpfit.fitting.solvers.gauss_newton:solve",
        "adam": "hmpfit.fitting.solvers.first_order:solve_adam",
        "lbfgs": "hmpfit.fitting.solvers.first_order:solve_lbfgs",
    },
    "terms": {
        "orient_to_initial": "hmpfit.fitting.terms.to_initial:ORIENT",
        "transl_to_initial": "hmpfit.fitting.terms.to_initial:TRANSL",
        "pose_to_initial": "hmpfit.fitting.terms.to_initial:POSE",
        "betas_to_initial": "hmpfit.fitting.terms.to_initial:BETAS",
        "orient_smooth": "hmpfit.fitting.terms.smoothness:ORIENT",
        "transl_smooth": "hmpfit.fitting.terms.smoothness:TRANSL",
        "pose_smooth": "hmpfit.fitting.terms.smoothness:POSE",
        "keypoints_2d": "hmpfit.fitting.terms.keypoints:REPROJECTION",
        "anatomy": "hmpfit.fitting.terms.anatomy:ANATOMY",
        "center_2d": "hmpfit.fitting.terms.keypoints:CENTER",
        "keypoints_3d": "hmpfit.fitting.terms.keypoints:LANDMARKS_3D",
        "penetration": "hmpfit.fitting.terms.two_hands:PENETRATION",
        "prior": "hmpfit.fitting.terms.prior:LATENT",
        "overlap": "hmpfit.fitting.terms.prior:OVERLAP",
    },
    "exporters": {
        "glb": "hmpfit.exporters.glb:write",
        "blender": "hmpfit.exporters.blender:write",
        "bvh": "hmpfit.exporters.bvh:write",
        "obj": "hmpfit.exporters.obj:write",
        "csv": "hmpfit.exporters.joint_tables:write_csv",
        "json": "hmpfit.exporters.joint_tables:write_json",
        "amass": "hmpfit.exporters.mano_parameters:write_amass",
        "hamer": "hmpfit.exporters.mano_parameters:write_hamer",
        "npz": "hmpfit.exporters.result_copy:write",
        "rrd": "hmpfit.exporters.rrd:write",
        "mano": "hmpfit.exporters.mano_parameters:write_mano",
        "angles": "hmpfit.exporters.angles:write",
        "openxr": "hmpfit.exporters.openxr:write",
        "trc": "hmpfit.exporters.markers:write_trc",
        "c3d": "hmpfit.exporters.markers:write_c3d",
        "coco": "hmpfit.exporters.coco:write",
        "ho3d": "hmpfit.exporters.dataset_layouts:write_ho3d",
        "egodex": "hmpfit.exporters.dataset_layouts:write_egodex",
        "lerobot": "hmpfit.exporters.lerobot:write",
        "robot": "hmpfit.exporters.robot:write",
        "smplx": "hmpfit.exporters.body:write",
        "usd": "hmpfit.exporters.usd:write",
        "parquet": "hmpfit.exporters.tables:write_parquet",
    },
    "datasets": {
        "100doh": "hmpfit.datasets.hundred_doh:READER",
        "arctic": "hmpfit.datasets.arctic:READER",
        "dexycb": "hmpfit.datasets.dexycb:READER",
        "freihand": "hmpfit.datasets.freihand:READER",
        "hic": "hmpfit.datasets.hic:READER",
        "ho3d": "hmpfit.datasets.ho3d:READER",
        "interhand": "hmpfit.datasets.interhand:READER",
        "synthetic": "hmpfit.datasets.synthetic:READER",
        "truth": "hmpfit.datasets.real_truth:READER",
    },
    "networks": {
        "ifvonet": "hmpfit.regressors.ifvonet.plan:PLAN",
        "stc": "hmpfit.regressors.stc.plan:PLAN",
        "handdgcl": "hmpfit.regressors.handdgcl.plan:PLAN",
    },
    "hand_models": {"open": "hmpfit.hands.model_files:load_open_hand"},
    "priors": {
        "default": "hmpfit.priors.motion_field.loading:load_default",
        "gmm": "hmpfit.priors.opening:load_gmm",
        "nemf": "hmpfit.priors.opening:load_nemf",
        "pca": "hmpfit.priors.opening:load_pca",
    },
}


LEARNED = "hmpfit.initializers.learned:INITIALIZER"  # every network is an initializer of its name

_ADDED: dict[str, dict[str, str]] = {}


def add(family: str, name: str, address: str) -> None:
    """Make a plug-in of your own known for this process; `address` is "module:attribute".

    A package does the same for good with an entry point in the group `hmpfit.<family>`. Raises ValueError when the name
    is taken and UnknownNameError when there is no such family.
    """
    if name in _table(family):
        raise ValueError(f"there is a {family.rstrip('s')} called '{name}' already")
    _ADDED.setdefault(family, {})[name] = address


def names(family: str) -> tuple[str, ...]:
    """List the names known in a family, built-in and third-party, sorted."""
    return tuple(sorted(_table(family)))


def load(family: str, name: str) -> Any:
    """Import and return the plug-in called `name`.

    Raises UnknownNameError, listing the known names, and MissingExtraError, saying what to install.
    """
    table = _table(family)
    if name not in table:
        raise UnknownNameError(family.rstrip("s"), name, table)
    module, _, attribute = table[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "hmpfit"):
            raise
        raise MissingExtraError(f"{family} '{name}'", missing, f"pip install {missing}") from error


def _table(family: str) -> dict[str, str]:
    if family not in FAMILIES:
        raise UnknownNameError("plug-in family", family, FAMILIES)
    derived = {name: LEARNED for name in _table("networks")} if family == "initializers" else {}
    return {**derived, **_installed(family), **_ADDED.get(family, {}), **FAMILIES[family]}


@cache
def _installed(family: str) -> dict[str, str]:
    """Return the plug-ins of other packages; looked up once, because that reads every installed package."""
    return {entry.name: entry.value for entry in entry_points(group=f"hmpfit.{family}")}
