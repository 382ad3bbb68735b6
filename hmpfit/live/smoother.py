"""The fixed-lag smoother: the fit's own problem on a window that slides with the newest frame.

Each update takes the new frames in, lowers the cost of the window, tells the frames that are old enough, and leaves
those before them to the past (`marginal`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.history import keep_better
from hmpfit.geometry.cameras import project
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.prior import MotionPriorLike
from hmpfit.interfaces.term import Evidence, Motion
from hmpfit.live.hands_in_window import HandsInWindow
from hmpfit.live.marginal import MarginalPrior, marginalize
from hmpfit.live.records import LiveHand, SeenFrame
from hmpfit.live.window_problem import WindowProblem
from hmpfit.live.window_solver import WindowSteps, solve_window
from hmpfit.recipes.schema import Recipe
from hmpfit.records import Camera

MOST_S, PAUSE_S = 0.5, 0.4  # of new frames in one solve; between frames, from which on hands are found anew
Told = tuple[SeenFrame, tuple[LiveHand, ...]]


@dataclass(frozen=True)
class SmootherOptions:
    """`lookahead_s`: how much of the time after a frame its estimate uses; `window_s`: how long the window grows.

    Then it moves on by `slide_s`: seldom, because the latents of a window that stays are where the next solve starts.
    Frames whose estimates went out `dense_s` ago are thinned to one in `thin_s`, which counts for the others.
    """

    lookahead_s: float = 0.3
    window_s: float = 3.2
    slide_s: float = 1.0
    dense_s: float = 0.3
    thin_s: float = 0.06
    least_sightings: int = 4  # until a hand's estimates go out
    steps: WindowSteps = field(default_factory=WindowSteps)
    rival: WindowSteps = field(default_factory=lambda: WindowSteps(6, 2))
    rival_every_s: float = 2.0  # between solves that start from inverse kinematics, in case the other went astray
    late_s: float = 0.2  # of new frames in one update, from which on it is late and leaves the rival out
    first_steps: int = 6  # of inverse kinematics in a new frame


class FixedLagSmoother:
    """Hands of a stream, a window at a time; not for several threads at once.

    `recipe`'s last stage says the terms. `prior` None frees the poses themselves.
    """

    def __init__(
        self, models: HandModels, camera: Camera, recipe: Recipe, prior: MotionPriorLike | None,
        options: SmootherOptions = SmootherOptions(),
    ) -> None:  # fmt: skip
        self._options = options
        self._problem = WindowProblem(recipe, prior)
        self._hands = HandsInWindow(models, camera, options.first_steps)
        self._told = 0  # frames of the window whose estimates went out
        self._tried_s = -np.inf
        self._latent: tuple[tuple[int, ...], Tensor] | None = None  # of the last solve, with its first frame and hands

    @property
    def waiting(self) -> int:
        """Frames of the window whose estimates are not out yet."""
        return len(self._hands.frames) - self._told

    @torch.no_grad()
    def update(self, new: Sequence[SeenFrame], last: bool = False) -> list[Told]:
        """Take new frames in and return those that are known by now, with their hands; with `last` all of them.

        After a pause the hands are found anew.
        """
        out: list[Told] = []
        for some in _stretches([*self._hands.frames[-1:], *new], len(self._hands.frames[-1:])):
            frames = self._hands.frames
            if frames and some[0].time_s - frames[-1].time_s > PAUSE_S:
                out += self._update([], True)
                self._hands = HandsInWindow(self._hands.models, self._hands.camera, self._options.first_steps)
                self._told = 0
            out += self._update(some, False)
        return out + (self._update([], True) if last else [])

    def close(self) -> None:
        """Do nothing: it holds memory alone."""

    def _update(self, new: Sequence[SeenFrame], last: bool) -> list[Told]:
        hands = self._hands
        if new:
            hands.add(new)
        if not hands.frames:
            return []
        evidence = self._problem.evidence(hands) if hands.ids else None
        if evidence is not None and new:
            self._solve(evidence, new[-1].time_s - new[0].time_s >= self._options.late_s)
        stop, newest = self._told, hands.frames[-1].time_s
        while stop < len(hands.frames) and (last or hands.frames[stop].time_s <= newest - self._options.lookahead_s):
            stop += 1
        out = self._tell(self._told, stop, evidence)
        self._told = stop
        self._slide(evidence)
        return out

    def _solve(self, evidence: Evidence, late: bool) -> None:
        hands = self._hands
        assert hands.past is not None
        problem, start = self._problem.present(hands, evidence)
        key = (hands.frames[0].number, *hands.ids)
        if self._latent is not None and self._latent[0] == key:
            start = _cheaper(problem, hands.past, start, problem.motion(replace(start, latent=self._latent[1])))
        found = solve_window(problem, start, hands.past, self._options.steps)
        newest = hands.frames[-1].time_s
        due = newest - self._tried_s >= self._options.rival_every_s
        if due and not late and hands.guess is not None:
            self._tried_s = newest
            guessed = replace(hands.guess, betas=found.betas)
            rival = self._problem.start(problem, guessed)
            found = _cheaper(problem, hands.past, found, solve_window(problem, rival, hands.past, self._options.rival))
        self._latent = None if found.latent is None else (key, found.latent)
        hands.state = Motion(found.global_R, found.transl, found.betas, found.hand_R)

    def _tell(self, first: int, last: int, evidence: Evidence | None) -> list[Told]:
        found = self._hands
        hands: list[list[LiveHand]] = [[] for _ in range(first, last)]
        if evidence is not None and found.state is not None and last > first:
            sure = [h for h, name in enumerate(found.ids) if found.sightings[name] >= self._options.least_sightings]
            motion = found.as_hands(found.state, first, last)
            joints, pixels = pose_hands(found.models, motion).joints, self._pixels(first, last, evidence)
            since = [found.since(name) for name in found.ids]
            for n in range(last - first):
                hands[n] = [
                    LiveHand(
                        found.ids[h], found.sides[h], int(motion.status[h, n]), motion.global_orient[h, n],
                        motion.hand_pose[h, n], motion.transl[h, n], motion.betas[h], joints[h, n], pixels[h, n],
                    )
                    for h in sure if since[h] <= first + n
                ]  # fmt: skip
        return [(found.frames[n], tuple(hands[n - first])) for n in range(first, last)]

    def _pixels(self, first: int, last: int, evidence: Evidence) -> np.ndarray:
        problem, state = self._problem.past(self._hands, evidence), self._hands.state
        assert state is not None
        K = evidence.K if evidence.K.shape[1] == 1 else evidence.K[:, first:last]
        xy = project(problem.points(state)[:, first:last], K[:, :, None], evidence.distortion).numpy()
        return mirroring.pixels_as_sides(xy, np.array(self._hands.sides), self._hands.camera.width)

    def _slide(self, evidence: Evidence | None) -> None:
        """Marginalize old frames, two stay at least; thin those whose estimates went out a while ago."""
        hands, options = self._hands, self._options
        newest, longest = hands.frames[-1].time_s, min(options.window_s, self._problem.window_s - MOST_S - PAUSE_S)
        leaving = 0
        if newest - hands.frames[0].time_s > longest:
            since = newest - max(longest - options.slide_s, options.lookahead_s + options.dense_s)
            leaving = min(sum(frame.time_s < since for frame in hands.frames[: self._told]), len(hands.frames) - 2)
        if leaving > 0:
            past = hands.past
            if evidence is not None and hands.state is not None and past is not None:
                past = marginalize(self._problem.past(hands, evidence), hands.state, past, leaving)
            hands.leave(leaving, past)
            self._told -= leaving
        old = newest - options.lookahead_s - options.dense_s
        self._told -= hands.thin(sum(frame.time_s < old for frame in hands.frames[: self._told]), options.thin_s)


def _cheaper(problem: Problem, past: MarginalPrior, one: Motion, other: Motion) -> Motion:
    """Return of each hand the motion that costs less."""
    costs = [problem.cost(motion, filled=True) + past.cost(motion) for motion in (one, other)]
    return keep_better(other, one, costs[1] < costs[0])


def _stretches(frames: Sequence[SeenFrame], known: int) -> list[list[SeenFrame]]:
    """Cut frames, of which the first `known` were taken in before, where an update would span too much time."""
    out: list[list[SeenFrame]] = []
    for n in range(known, len(frames)):
        begins = not out or frames[n].time_s - out[-1][0].time_s > MOST_S
        pause = n > 0 and frames[n].time_s - frames[n - 1].time_s > PAUSE_S
        if begins or pause:
            out.append([])
        out[-1].append(frames[n])
    return out
