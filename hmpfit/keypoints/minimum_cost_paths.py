"""Minimum-cost paths of any number of hands through stretches of time, as a mixed-integer linear program.

Separate from `assignment`, which knows what the costs mean. A stretch is visited at most once, on one of two sides. A
path moves along an edge to a later stretch, or waits in its side's pool and jumps from there to any later one. But for
a stretch's choice of side this is a network flow, whose linear relaxation is integral: HiGHS needs hardly any branches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

SIDES = (0, 1)


@dataclass(frozen=True)
class PathNode:
    """Something to visit in frames `first` to `last`: what leaving it out costs, and visiting it on either side."""

    first: int
    last: int
    left_out: float
    sides: tuple[float, float]


@dataclass(frozen=True)
class PathEdge:
    """A move from one stretch to another."""

    before: int
    after: int
    cost: float


@dataclass(frozen=True)
class PathPiece:
    """Stretches visited one after the other by moves; `starts` a path, or continues one after a jump."""

    side: int
    starts: bool
    stretches: tuple[int, ...]


class _Program:
    """Columns with costs and rows `low <= A x <= high`, gathered one by one."""

    def __init__(self) -> None:
        self.costs: list[float] = []
        self.bounds: list[float] = []
        self.entries: list[tuple[int, int, float]] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def column(self, cost: float, most: float = 1.0) -> int:
        self.costs.append(cost)
        self.bounds.append(most)
        return len(self.costs) - 1

    def row(self, low: float, high: float, *terms: tuple[float, int]) -> None:
        self.entries += [(len(self.low), column, factor) for factor, column in terms]
        self.low.append(low)
        self.high.append(high)

    def solve(self) -> np.ndarray:
        rows, columns, values = (np.array(part) for part in zip(*self.entries, strict=True))
        matrix = coo_array((values, (rows, columns)), shape=(len(self.low), len(self.costs))).tocsr()
        found = milp(
            np.array(self.costs), integrality=np.ones(len(self.costs)), bounds=Bounds(0, np.array(self.bounds)),
            constraints=LinearConstraint(matrix, self.low, self.high),
        )  # fmt: skip
        assert found.x is not None, found.message  # leaving everything out is always possible
        return np.round(found.x).astype(int)


def minimum_cost_paths(
    stretches: Sequence[PathNode],
    edges: Sequence[PathEdge],
    start: float,
    jump: float,
    most: int | None = None,
    unpaired: float = 0.0,
) -> list[PathPiece]:
    """Return the unbroken parts of the paths, in order of time.

    `start` is the cost of a path, of which there are at most `most`; `jump` that of coming back from the pool;
    `unpaired` that of each path on one side that goes beyond half of `most`.
    """
    program = _Program()
    columns = {side: _lay_side(program, stretches, edges, start, jump, side) for side in SIDES}
    for n in range(len(stretches)):
        visits = [(1.0, columns[side].visit[n]) for side in SIDES if n in columns[side].visit]
        program.row(0, 1, *visits)
    if most is not None:
        starts = [(1.0, column) for side in SIDES for column in columns[side].start.values()]
        program.row(0, most, *starts)
        for side in SIDES:
            beyond = program.column(unpaired, most)
            starts = [(1.0, column) for column in columns[side].start.values()]
            program.row(-np.inf, -(-most // 2), *starts, (-1.0, beyond))
    found = program.solve()
    parts = [part for side in SIDES for part in columns[side].parts(found, side)]
    return sorted(parts, key=lambda part: (stretches[part.stretches[0]].first, part.stretches))


@dataclass(frozen=True)
class _Side:
    """The columns of one side by stretch or pair of stretches."""

    visit: dict[int, int]
    start: dict[int, int]
    move: dict[tuple[int, int], int]

    def parts(self, found: np.ndarray, side: int) -> list[PathPiece]:
        after = {n: m for (n, m), column in self.move.items() if found[column]}
        moved_to = set(after.values())
        out = []
        for n, column in self.visit.items():
            if found[column] and n not in moved_to:
                visited = [n]
                while visited[-1] in after:
                    visited.append(after[visited[-1]])
                out.append(PathPiece(side, bool(found[self.start[n]]), tuple(visited)))
        return out


def _lay_side(
    program: _Program, stretches: Sequence[PathNode], edges: Sequence[PathEdge], start: float, jump: float, side: int
) -> _Side:
    allowed = [n for n, stretch in enumerate(stretches) if np.isfinite(stretch.sides[side])]
    visit = {n: program.column(stretches[n].sides[side] - stretches[n].left_out) for n in allowed}
    starts = {n: program.column(start) for n in allowed}
    back = {n: program.column(jump) for n in allowed}
    out = {n: program.column(0.0) for n in allowed}
    move = {
        (edge.before, edge.after): program.column(edge.cost)
        for edge in edges
        if edge.before in visit and edge.after in visit
    }
    into: dict[int, list[tuple[float, int]]] = {n: [(1.0, starts[n]), (1.0, back[n])] for n in allowed}
    away: dict[int, list[tuple[float, int]]] = {n: [(1.0, out[n])] for n in allowed}
    for (n, m), column in move.items():
        away[n].append((1.0, column))
        into[m].append((1.0, column))
    for n in allowed:
        program.row(0, 0, *into[n], (-1.0, visit[n]))
        program.row(0, 0, *away[n], (-1.0, visit[n]))
    _lay_pool(program, stretches, allowed, out, back)
    return _Side(visit, starts, move)


def _lay_pool(
    program: _Program, stretches: Sequence[PathNode], allowed: list[int], out: dict[int, int], back: dict[int, int]
) -> None:
    """Chain the pool through time: what left a stretch may come back in any that begins later."""
    leaving = [(stretches[n].last + 0.5, 1.0, out[n]) for n in allowed]
    events = sorted(leaving + [(float(stretches[n].first), -1.0, back[n]) for n in allowed])
    held: int | None = None
    for _, sign, column in events:
        after = program.column(0.0, np.inf)
        before = [] if held is None else [(1.0, held)]
        program.row(0, 0, *before, (sign, column), (-1.0, after))
        held = after
