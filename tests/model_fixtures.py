"""Invented hand models with every MANO key filled, and files in the exact layout of the released pickles."""

import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hmpfit.hands.left_right import mirror_arrays
from hmpfit.hands.model import HandModel
from hmpfit.hands.model_files import load_hand_models
from hmpfit.skeleton import MANO_PARENTS


def invented_model(seed: int = 3) -> HandModel:
    """Return the open hand with random shape and pose correctives, so that no term is zero."""
    rng = np.random.default_rng(seed)
    model = load_hand_models("open").right
    count = len(model.v_template)
    return replace(
        model,
        name="invented",
        shapedirs=model.shapedirs + rng.normal(scale=1e-3, size=model.shapedirs.shape),
        posedirs=rng.normal(scale=1e-3, size=(135, 3 * count)),
    )


def mirrored_model(model: HandModel) -> HandModel:
    """Return the mirror image of a right hand's model: a left hand as the released left file lies."""
    return replace(model, **mirror_arrays(vars(model)))


def invented_left() -> HandModel:
    """Return the mirror image of the invented model."""
    return mirrored_model(invented_model())


def smplx_arrays(model: HandModel) -> dict[str, Any]:
    """Return a model under MANO's own keys."""
    parents = np.array([2**32 - 1, *MANO_PARENTS[1:]], dtype=np.uint32)
    return {
        "v_template": model.v_template,
        "f": model.faces.astype(np.uint32),
        "shapedirs": model.shapedirs,
        "posedirs": model.posedirs.T.reshape(len(model.v_template), 3, 135),
        "J_regressor": model.J_regressor,
        "weights": model.weights,
        "kintree_table": np.stack((parents, np.arange(16, dtype=np.uint32))),
        "hands_mean": model.hands_mean,
        "hands_components": model.hands_components,
    }


def smplx_layer(model: HandModel, is_right: bool = True, dtype: torch.dtype = torch.float64) -> Any:
    """Return smplx's MANO layer of a model; for a left hand the model is one, as MANO's left file holds it."""
    from smplx import MANO
    from smplx.utils import Struct

    struct = Struct(**smplx_arrays(model))
    return MANO("", data_struct=struct, is_rhand=is_right, use_pca=False, flat_hand_mean=True, dtype=dtype).to(dtype)


def write_released_pickle(path: Path, arrays: dict[str, Any]) -> None:
    """Write a protocol-2 pickle with chumpy and scipy class names, as Python 2 wrote MANO's files.

    `shapedirs` is a chumpy Select of a longer array and `v_template` a chumpy Ch, `J_regressor` scipy's csc matrix.
    """
    from scipy.sparse import csc_matrix

    ch, reordering, csc = types.ModuleType("chumpy.ch"), types.ModuleType("chumpy.reordering"), None
    ch.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    reordering.Select = type("Select", (), {"__module__": "chumpy.reordering"})
    csc = types.ModuleType("scipy.sparse.csc")
    csc.csc_matrix = type("csc_matrix", (), {"__module__": "scipy.sparse.csc"})

    def wrapped(cls: type, state: dict[str, Any]) -> Any:
        instance = cls()
        instance.__dict__.update(state)
        return instance

    longer = np.concatenate((arrays["shapedirs"], np.ones((*arrays["shapedirs"].shape[:2], 3))), axis=2)
    picked = np.arange(longer.size).reshape(longer.shape)[..., :10].ravel()
    sparse = csc_matrix(arrays["J_regressor"])
    state = {
        "maxprint": 50, "_shape": sparse.shape, "data": sparse.data, "indices": sparse.indices, "indptr": sparse.indptr,
    }  # fmt: skip
    content = {
        **arrays,
        "v_template": wrapped(ch.Ch, {"x": arrays["v_template"], "_dirty_vars": set()}),
        "shapedirs": wrapped(
            reordering.Select,
            {
                "a": wrapped(ch.Ch, {"x": longer}),
                "idxs": picked,
                "preferred_shape": arrays["shapedirs"].shape,
            },
        ),
        "J_regressor": wrapped(csc.csc_matrix, state),
        "J": np.zeros((16, 3)),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }
    fakes = {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": ch, "chumpy.reordering": reordering}
    fakes["scipy.sparse.csc"] = csc
    kept = {name: sys.modules.get(name) for name in fakes}
    sys.modules.update(fakes)
    try:
        with path.open("wb") as file:
            pickle.dump(content, file, protocol=2)
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
