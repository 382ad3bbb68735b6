"""A training's state comes back as it was, and neither a pickle nor a damaged file is taken for one."""

import math
import pickle
from pathlib import Path

import pytest
import torch

from hmpfit.errors import InputError
from hmpfit.training.states import LAST, SafetensorsStates, last_state, read_state


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = {
        "global_step": 7, "state_dict": {"network.w": torch.randn(3, 2), "average.w": torch.randn(2).half()},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "betas": (0.9, 0.98), "lr": 1e-3 / 3}],
        "best": torch.tensor(math.inf), "worst": -math.inf, "names": ["a", None, True],
    }  # fmt: skip
    path = tmp_path / LAST
    SafetensorsStates().save_checkpoint(state, path)
    read = read_state(path)
    assert read["optimizer_states"][0]["betas"] == (0.9, 0.98) and read["optimizer_states"][0]["lr"] == 1e-3 / 3
    assert read["optimizer_states"][0]["state"][0]["step"] == 3.0
    assert read["worst"] == -math.inf and torch.isinf(read["best"]) and read["names"] == ["a", None, True]
    assert torch.equal(read["state_dict"]["network.w"], state["state_dict"]["network.w"])  # type: ignore[index]
    assert last_state(tmp_path) == path and list(tmp_path.iterdir()) == [path]


def test_a_pickle_is_no_state(tmp_path: Path) -> None:
    content = pickle.dumps({"global_step": 1, "state_dict": {}})
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(InputError, match="could run code"):
        last_state(tmp_path)
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(InputError, match="not a safetensors file"):
        read_state(tmp_path / LAST)
