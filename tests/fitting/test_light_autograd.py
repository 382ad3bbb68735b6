"""Rows pulled through a graph: as torch's own function does it, and without its imports."""

import subprocess
import sys

import pytest
import torch

from hmpfit.fitting.normal_equations.light_autograd import pull_rows

OF_A_FIT = """
import sys
from dataclasses import replace
from hmpfit import registry
from tests.made_problem import make

made = make(frames=12)
registry.load("solvers", "gauss_newton")(made.problem(), made.start, replace(made.stage, steps=2))
assert "sympy" not in sys.modules, "a fit imports sympy"
"""


def test_rows_are_those_of_torch():
    at = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4).requires_grad_()
    values = (at.sin() * at.sum(1, keepdim=True)) @ torch.ones(4, 5, dtype=torch.float64)
    rows = torch.randn(7, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.autograd.grad(values, at, rows, retain_graph=True, is_grads_batched=True)[0]
    torch.testing.assert_close(pull_rows(values, at, rows), expected, rtol=0, atol=0)


def test_rows_of_another_shape_are_refused():
    at = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="not shaped like"):
        pull_rows(at * 2, at, torch.ones(2, 4))


def test_a_fit_imports_no_sympy():
    done = subprocess.run([sys.executable, "-c", OF_A_FIT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
