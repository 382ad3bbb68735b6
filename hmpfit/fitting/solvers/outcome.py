"""What every solver hands back, so that stages need not know which one ran."""

import time
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from hmpfit.fitting.problem import Problem
from hmpfit.fitting.term import Motion
from hmpfit.records import SolveReport


@dataclass(frozen=True)
class Solved:
    """The best motion found and how the search went, summed over the problems of the batch."""

    motion: Motion
    report: SolveReport


def keep_better(candidate: Motion, current: Motion, better: Tensor) -> Motion:
    """Take the candidate's rows where `better` [B], the current rows elsewhere."""
    changes = {}
    for item in fields(Motion):
        new, old = getattr(candidate, item.name), getattr(current, item.name)
        if new is not None and old is not None:
            changes[item.name] = torch.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)
        elif new is not None:
            changes[item.name] = new
    return replace(current, **changes)


def report(
    problem: Problem,
    motion: Motion,
    stage: dict[str, Any],
    solver: str,
    outcome: str,
    steps: int,
    first_cost: Tensor,
    first_terms: dict[str, Tensor],
    history: list[Tensor],
    began: float,
) -> Solved:
    """Close a stage: evaluate the terms at the best motion and write the report."""
    last_terms = problem.term_costs(motion)
    return Solved(
        motion,
        SolveReport(
            stage=stage["name"],
            solver=solver,
            outcome=outcome,
            steps=steps,
            cost_start=float(first_cost.sum()),
            cost_end=float(torch.stack(list(last_terms.values())).sum()),
            seconds=time.perf_counter() - began,
            terms_start={name: float(value.sum()) for name, value in first_terms.items()},
            terms_end={name: float(value.sum()) for name, value in last_terms.items()},
            history=tuple(float(value.sum()) for value in history),
        ),
    )
