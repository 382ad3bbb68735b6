"""A step of the solver never asks the device for a number: on a GPU the host would wait. Checked on the CPU."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hmpfit.fitting.normal_equations.linearize import linearize, with_gradient
from hmpfit.fitting.solvers.gauss_newton import _Search, _step
from hmpfit.geometry import rotations
from tests.made_problem import make

WAITING = {
    torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.masked_select, torch.ops.aten.equal,
    torch.ops.aten.unique_dim, torch.ops.aten._unique2,
}  # fmt: skip


class NoWaiting(TorchDispatchMode):
    """Refuse what needs a value on the host, and sizes that depend on values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in WAITING, f"{func} makes the host wait"
        if func.overloadpacket is torch.ops.aten.index:
            assert all(index is None or index.dtype != torch.bool for index in args[1]), "a mask makes the host wait"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("free", [("latent",), ("hand_pose",), ()])
def test_a_step_makes_the_host_wait_for_nothing(free: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotations, "_known_to_be_near", lambda cosine: False)  # as on a GPU
    made = make(frames=20)
    problem = made.problem("global_orient", "transl", "betas", *free)
    problem = replace(problem, low_dtype=torch.float64)
    motion = problem.motion(made.start)
    cost = problem.cost(motion)
    ones = torch.ones_like(cost)
    search = _Search(torch.arange(2), problem, motion, cost, 1e-3 * ones, 2 * ones, ones > 0)
    _step(search, linearize(problem, motion, problem.low), 1e-5)  # tables are made, and kept, the first time
    with NoWaiting():
        blocks = linearize(problem, motion, problem.low)
        after, better = _step(search, blocks, 1e-5)
        with_gradient(blocks, problem, after.motion)
    assert better.all() and (after.cost < cost).all()


def test_the_check_itself_notices_a_wait() -> None:
    with NoWaiting(), pytest.raises(AssertionError, match="host wait"):
        bool(torch.ones(2).all())
