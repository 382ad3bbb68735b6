"""Solution and report that every solver returns, so that stages need not know which one ran."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from hmpfit.fitting.problem import Problem
from hmpfit.interfaces.term import Motion
from hmpfit.recipes.schema import Stage
from hmpfit.records import SolveReport

WORST_FIRST = ("not_finite", "out_of_steps", "converged")


@dataclass(frozen=True)
class Solved:
    """The best motion found and how the search went, a report per problem of the batch."""

    motion: Motion
    reports: tuple[SolveReport, ...]

    @property
    def report(self) -> SolveReport:
        """The reports of all problems in one."""
        return sum_reports(self.reports)


class SolveHistory:
    """How a search goes, kept as tensors on its device: nothing here makes the host wait before `close`."""

    def __init__(self, problem: Problem, start: Motion) -> None:
        self._problem = problem
        self._first_terms = problem.term_costs(start)
        self.first_cost = problem.mean_of_sharing(torch.stack(list(self._first_terms.values())).sum(0))
        self._history = [self.first_cost]
        self._running = torch.isfinite(self.first_cost)
        self._steps = torch.zeros_like(self.first_cost, dtype=torch.long)
        self.taken = 0

    def note(self, rows: Tensor, cost: Tensor, running: Tensor) -> None:
        """Add a step: the best cost [b] of the problems `rows` after it, and which of them go on."""
        self._steps[rows] += self._running[rows]
        self._history.append(self._history[-1].index_copy(0, rows, cost))
        self._running = self._running.index_copy(0, rows, running)
        self.taken += 1

    def note_cost(self, cost: Tensor) -> None:
        """Add a cost [B] that is no step of its own."""
        self._history.append(cost)

    def close(self, motion: Motion, stage: Stage, solver: str, seconds: float, outcome: str | None = None) -> Solved:
        """End the stage: evaluate the terms at the best motion and write each problem's report.

        Without an `outcome` problems that still run are out of steps, those that ended converged. Each problem is
        charged an equal share of the seconds.
        """
        last_terms = self._problem.term_costs(motion)
        end = self._problem.mean_of_sharing(torch.stack(list(last_terms.values())).sum(0)).tolist()
        history = torch.stack(self._history).T.tolist()
        first, last = ({k: v.tolist() for k, v in terms.items()} for terms in (self._first_terms, last_terms))
        steps, running = self._steps.tolist(), self._running.tolist()
        reports = []
        for row, finite in enumerate(torch.isfinite(self.first_cost).tolist()):
            ended = "out_of_steps" if running[row] else "converged"
            kept = len(history[row]) - self.taken + steps[row] if outcome is None else len(history[row])
            reports.append(
                SolveReport(
                    stage=stage.name,
                    solver=solver,
                    outcome=(outcome or ended) if finite else "not_finite",
                    steps=steps[row] if outcome is None else self.taken,
                    cost_start=history[row][0],
                    cost_end=end[row],
                    seconds=seconds / len(history),
                    terms_start={name: values[row] for name, values in first.items()},
                    terms_end={name: values[row] for name, values in last.items()},
                    history=tuple(history[row][:kept]),
                )
            )
        return Solved(motion, tuple(reports))


def sum_reports(reports: tuple[SolveReport, ...]) -> SolveReport:
    """Add up the reports of several hands in one stage; the worst outcome stands."""
    first = reports[0]
    longest = max(len(report.history) for report in reports)
    padded = [(*report.history, *report.history[-1:] * (longest - len(report.history))) for report in reports]
    return replace(
        first,
        outcome=min((report.outcome for report in reports), key=WORST_FIRST.index),
        steps=max(report.steps for report in reports),
        cost_start=sum(report.cost_start for report in reports),
        cost_end=sum(report.cost_end for report in reports),
        seconds=sum(report.seconds for report in reports),
        terms_start={name: sum(report.terms_start[name] for report in reports) for name in first.terms_start},
        terms_end={name: sum(report.terms_end[name] for report in reports) for name in first.terms_end},
        history=tuple(sum(costs) for costs in zip(*padded)),
    )


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


def take_rows(motion: Motion, rows: Tensor) -> Motion:
    """Keep some problems of a batch."""
    parts = {name: value for name, value in vars(motion).items() if value is not None}
    return replace(motion, **{name: value[rows] for name, value in parts.items()})


def put_rows(motion: Motion, rows: Tensor, part: Motion) -> Motion:
    """Put problems back into their batch."""
    parts = {name: value for name, value in vars(part).items() if value is not None}
    return replace(motion, **{name: getattr(motion, name).index_copy(0, rows, value) for name, value in parts.items()})
