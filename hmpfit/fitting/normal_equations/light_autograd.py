"""Many rows of a Jacobian by one backward pass, without the import of sympy.

`torch.autograd.grad` imports torch's symbolic shapes, and with them sympy, to compare two shapes: a third of a second
and 34 MB. Separate because what it calls beneath that check is private to torch.
"""

import torch
from torch import Tensor

try:
    from torch._vmap_internals import _vmap
    from torch.autograd.graph import _engine_run_backward
except ImportError:  # another torch
    _vmap = _engine_run_backward = None  # type: ignore[assignment]


def pull_rows(values: Tensor, at: Tensor, rows: Tensor) -> Tensor:
    """Return rows [R, like `values`] times d values / d at, [R, like `at`]; the graph is kept.

    Raises ValueError where the rows are not shaped like the values, and RuntimeError where they do not depend on `at`.
    """
    if rows.shape[1:] != values.shape:
        raise ValueError(f"rows {tuple(rows.shape[1:])} are not shaped like the values {tuple(values.shape)}")
    if _vmap is None:
        return torch.autograd.grad(values, at, rows, retain_graph=True, is_grads_batched=True)[0]

    def pull(row: Tensor) -> tuple[Tensor, ...]:
        return _engine_run_backward((values,), (row,), True, False, (at,), False, accumulate_grad=False)

    found: Tensor = _vmap(pull, 0, 0, allow_none_pass_through=True)(rows)[0]
    return found
