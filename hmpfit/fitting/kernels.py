"""Robust kernels: how the cost grows with a squared residual, and the weight that this gives it in least squares.

A kernel is two functions of r^2: `rho` (the cost) and `weight` = d rho / d r^2 (iteratively reweighted least squares).
Separate from the terms, so that a recipe can put any kernel on any term.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from hmpfit.errors import InputError, UnknownNameError


@dataclass(frozen=True)
class Kernel:
    """Cost `rho(r2)` and weight `d rho / d r2`, both elementwise on squared residuals."""

    name: str
    scale: float
    rho: Callable[[Tensor], Tensor]
    weight: Callable[[Tensor], Tensor]


def make_kernel(name: str, scale: float = 1.0) -> Kernel:
    """Build a kernel by name; `scale` is in the residual's own unit.

    `quadratic`: r^2. `geman_mcclure`: s^2 r^2 / (s^2 + r^2), Geman & McClure 1987 as in docs/method.md section 2.
    `huber`: r^2 below s, 2 s r - s^2 above. `tanh`: s tanh(r / s), STC's l_alpha, which is
    in the residual's unit; r is rounded off below s / 40, because least squares needs a slope that ends at 0.
    Raises UnknownNameError, and InputError when the scale is not positive.
    """
    if name not in _KERNELS:
        raise UnknownNameError("kernel", name, _KERNELS)
    if not scale > 0:
        raise InputError(f"The scale of kernel '{name}' is {scale}; it must be a number above 0.")
    rho, weight = _KERNELS[name]
    s2 = scale * scale
    return Kernel(name, scale, lambda r2: rho(r2, s2), lambda r2: weight(r2, s2))


def _huber_rho(r2: Tensor, s2: float) -> Tensor:
    return r2.where(r2 <= s2, 2 * s2**0.5 * r2.clamp_min(s2).sqrt() - s2)


def _huber_weight(r2: Tensor, s2: float) -> Tensor:
    return (s2 / r2.clamp_min(s2)).sqrt()


def _rounded(r2: Tensor, s2: float) -> tuple[Tensor, Tensor]:
    corner = s2**0.5 / 40
    root = (r2 + corner * corner).sqrt()
    return (root - corner) / s2**0.5, root


def _tanh_rho(r2: Tensor, s2: float) -> Tensor:
    return s2**0.5 * _rounded(r2, s2)[0].tanh()


def _tanh_weight(r2: Tensor, s2: float) -> Tensor:
    share, root = _rounded(r2, s2)
    return (1 - share.tanh() ** 2) / (2 * root)


_KERNELS: dict[str, tuple[Callable[[Tensor, float], Tensor], Callable[[Tensor, float], Tensor]]] = {
    "quadratic": (lambda r2, s2: r2, lambda r2, s2: r2 * 0 + 1),
    "geman_mcclure": (lambda r2, s2: s2 * r2 / (s2 + r2), lambda r2, s2: (s2 / (s2 + r2)) ** 2),
    "huber": (_huber_rho, _huber_weight),
    "tanh": (_tanh_rho, _tanh_weight),
}
