"""A clip's fit in two parts of time, in two processes that go on in lockstep (domain decomposition).

Each part is a problem of its own frames and windows. Both have the last frame of the first part, its window's latent
and the shape; when a part's own unknowns are eliminated, what is left of the normal equations is summed over both, and
so are costs. Both then know the same numbers and take the same steps. Where the process cannot be copied the parts take
turns in it: the same numbers, in the time of one.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import Any

import torch

from hmpfit.fitting.clip_part import Arrays, ClipPart
from hmpfit.fitting.pose_field import PoseField
from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.history import Solved
from hmpfit.fitting.windows import WindowLayout
from hmpfit.interfaces.term import Motion, take_frames
from hmpfit.process_copies import beside, can_copy
from hmpfit.recipes.schema import Stage

LEAST_FRAMES = 64  # of a part; the two of fewer would wait for each other longer than they compute
_FRAMES_A_WINDOW = 96  # what a window's own numbers cost, in frames (pinches and cups)

OnStep = Callable[[int, int], None]
Solve = Callable[[Problem, Motion, Stage, OnStep | None], Solved]
Exchange = Callable[[Arrays], Arrays]


def solve_in_two_parts(
    solve: Solve, problem: Problem, start: Motion, stage: Stage, on_step: OnStep | None = None
) -> Solved:
    """Solve a stage of a clip on the CPU in two parts, or as it is where it is too short or ends in means.

    The result depends on the clip alone, not on whether two cores are there.
    """
    at = _first_of_last_part(problem, start)
    if at is None:
        return solve(problem, start, stage, on_step)

    def first(exchange: Exchange) -> Solved:
        return solve(*_part(problem, start, at, ClipPart(False, exchange)), stage, on_step)

    def last(exchange: Exchange) -> dict[str, Any]:
        with torch.no_grad():  # which a thread of its own does not know of
            motion = solve(*_part(problem, start, at, ClipPart(True, exchange)), stage, None).motion
        return {name: value.numpy() for name, value in vars(motion).items() if value is not None}

    solved, rest = _in_two_processes(first, last) if can_copy() else _in_turns(first, last)
    return replace(solved, motion=_joined(solved.motion, rest, problem.free))


def _first_of_last_part(problem: Problem, start: Motion) -> int | None:
    """Return the frame at which to cut: the window's start with which the slower part is done first."""
    frames = start.transl.shape[1]
    if start.transl.device.type != "cpu" or problem.reduction != "sum" or problem.evidence.exists is not None:
        return None
    if "latent" not in problem.free or problem.field is None:
        return frames // 2 if frames >= 2 * LEAST_FRAMES else None
    layout, cuts = problem.field.layout, []
    for w, (at, _) in enumerate(layout.segments):
        one_window = w > 0 and float(layout.share[at - 1, 1]) == 0  # in the frame of both parts
        if one_window and min(at, frames - at) >= LEAST_FRAMES:
            windows, reach = len(layout.segments), layout.windows[w - 1][1] - at
            loads = at + w * _FRAMES_A_WINDOW, frames - at + reach + (windows - w + 1) * _FRAMES_A_WINDOW
            cuts.append((max(loads), at))
    return min(cuts)[1] if cuts else None


def _part(problem: Problem, start: Motion, at: int, part: ClipPart) -> tuple[Problem, Motion]:
    """Return one part's problem and where it starts."""
    frames = start.transl.shape[1]
    first, last = (at - 1, frames) if part.is_last else (0, at)
    evidence, motion = take_frames(problem.evidence, first, last), take_frames(start, first, last)
    if part.is_last:
        counted = torch.ones_like(evidence.box_px)
        counted[:, 0] = 0
        evidence = replace(evidence, counted=counted)
    fields: dict[str, Any] = {}
    if "latent" in problem.free and problem.field is not None and motion.latent is not None:
        layout = problem.field.layout
        inside = [w for w, (a, z) in enumerate(layout.segments) if a < last and z > first]
        kept = slice(inside[0], inside[-1] + 1)
        assert evidence.latent_mean is not None and evidence.latent_std is not None
        evidence = replace(evidence, latent_mean=evidence.latent_mean[:, kept], latent_std=evidence.latent_std[:, kept])
        motion = replace(motion, latent=motion.latent[:, kept])
        local = _layout_of(layout, kept, first, last)
        for name in ("field", "low_field"):
            field = getattr(problem, name)
            if field is not None:
                fields[name] = PoseField.build(field.prior, local, evidence.times_s, field.dtype)
    return replace(problem, evidence=evidence, part=part, **fields), motion


def _layout_of(layout: WindowLayout, kept: slice, first: int, last: int) -> WindowLayout:
    """Return the layout of some windows in the frames first..last alone."""

    def cut(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((max(a, first) - first, min(z, last) - first) for a, z in ranges[kept])

    return replace(
        layout, start_s=layout.start_s[kept], own=layout.own[first:last] - kept.start,
        share=layout.share[first:last], segments=cut(layout.segments), windows=cut(layout.windows),
    )  # fmt: skip


def _joined(first: Motion, last: dict[str, Any], free: tuple[str, ...]) -> Motion:
    """Put the motion of the last part behind that of the first one, whose last frame and window it repeats."""
    uncut = {"betas"} if "latent" in free else {"betas", "latent"}
    rest = {name: torch.from_numpy(values) for name, values in last.items() if name not in uncut}
    return replace(
        first, **{name: torch.cat((getattr(first, name), part[:, 1:]), dim=1) for name, part in rest.items()}
    )


def _in_two_processes(
    first: Callable[[Exchange], Solved], last: Callable[[Exchange], dict[str, Any]]
) -> tuple[Solved, dict[str, Any]]:
    here, there = Pipe()

    def in_copy(send: Callable[[Any], None]) -> dict[str, Any]:
        here.close()
        return last(_over(there, speaks_first=False))

    with here, beside(in_copy) as copy:
        there.close()
        try:
            solved = first(_over(here, speaks_first=True))
        except (EOFError, ConnectionError):
            copy.result()  # raises what ended the copy
            raise
        return solved, copy.result()


def _over(connection: Connection, speaks_first: bool) -> Exchange:
    """Exchange arrays over a connection: one side sends first, or both could wait for their buffers to be read."""

    def exchange(own: Arrays) -> Arrays:
        if speaks_first:
            connection.send(own)
        other: Arrays = connection.recv()
        if not speaks_first:
            connection.send(own)
        return other

    return exchange


class _OtherFailedError(Exception):
    """The other part failed; its error counts."""


def _in_turns(
    first: Callable[[Exchange], Solved], last: Callable[[Exchange], dict[str, Any]]
) -> tuple[Solved, dict[str, Any]]:
    """Compute both parts in this process, one going on when the other waits for it."""
    turn = threading.Lock()
    to_first, to_last = SimpleQueue[Arrays | None](), SimpleQueue[Arrays | None]()
    outcome: list[dict[str, Any] | BaseException] = []

    def between(mine: SimpleQueue[Arrays | None], others: SimpleQueue[Arrays | None]) -> Exchange:
        def exchange(own: Arrays) -> Arrays:
            others.put(own)
            turn.release()
            try:
                got = mine.get()
            finally:
                turn.acquire()
            if got is None:
                raise _OtherFailedError
            return got

        return exchange

    def in_thread() -> None:
        with turn:
            try:
                outcome.append(last(between(to_last, to_first)))
            except BaseException as error:
                outcome.append(error)
                to_first.put(None)

    thread = threading.Thread(target=in_thread)
    try:
        with turn:
            thread.start()
            solved = first(between(to_first, to_last))
    except _OtherFailedError:
        thread.join()
        (error,) = outcome
        assert isinstance(error, BaseException)
        raise error from None
    finally:
        to_last.put(None)
        thread.join()
    (rest,) = outcome
    if isinstance(rest, BaseException):
        raise rest
    return solved, rest
