"""The family `solvers`: what minimizes a stage's cost (`--solver NAME`)."""

from collections.abc import Callable
from typing import Any, Protocol

from hmpfit.interfaces.term import Motion
from hmpfit.recipes.schema import Stage


class SolveStage(Protocol):
    """A solver: a plain function from a `fitting.problem.Problem` to a `fitting.solvers.history.Solved`."""

    def __call__(
        self, problem: Any, start: Motion, stage: Stage, on_step: Callable[[int, int], None] | None = None
    ) -> Any:
        """Minimize the problem's cost from `start` and return the best motion with a report per problem.

        Never hides failure: a cost that is not finite ends the stage
        with the best motion so far and says so.
        """
