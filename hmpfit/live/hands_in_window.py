"""The hands of the window: their evidence, and the smoother's start in their new frames.

Separate from `smoother`, which moves them: here hands come and go. Axes [H, T] of the window; right-hand form inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.term import Motion
from hmpfit.live.first_pose import first_poses
from hmpfit.live.marginal import MarginalPrior
from hmpfit.live.records import SeenFrame
from hmpfit.records import DETECTED, EXTRAPOLATED, INTERPOLATED, Bools, Camera, HandMotion, KeypointTracks

BY_FRAME = ("global_R", "transl", "hand_R")


@dataclass
class HandsInWindow:
    """The frames of the window and its hands: `guess` by inverse kinematics, `state` as solved, the past as a prior."""

    models: HandModels
    camera: Camera
    first_steps: int = 10  # of inverse kinematics
    frames: list[SeenFrame] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)  # how many frames each stands for
    ids: list[int] = field(default_factory=list)
    sides: list[bool] = field(default_factory=list)  # True for a right hand
    sightings: dict[int, int] = field(default_factory=dict)
    guess: Motion | None = None
    state: Motion | None = None
    past: MarginalPrior | None = None

    def add(self, new: Sequence[SeenFrame]) -> None:
        """Append frames; hands that they show are posed in them, hands that no frame shows any more are let go."""
        self.frames += new
        self.weights += [1.0] * len(new)
        for frame in new:
            for hand in frame.hands:
                self.sightings[hand.hand_id] = self.sightings.get(hand.hand_id, 0) + 1
        shown = {hand.hand_id: hand.is_right for frame in self.frames for hand in frame.hands}
        self._let_go(set(shown))
        if self.guess is not None and self.state is not None:
            self._lengthen(len(new))
        fresh = [name for name in sorted(shown) if name not in self.ids]
        if fresh:
            self._appear(fresh, [shown[name] for name in fresh])

    def leave(self, count: int, past: MarginalPrior | None) -> None:
        """Remove the first frames; `past` is the prior that they leave on the next."""
        self.frames, self.weights, self.past = self.frames[count:], self.weights[count:], past
        if self.state is not None and self.guess is not None:
            self.state = _cut(self.state, count)
            self.guess = _cut(self.guess, count)

    def thin(self, until: int, every_s: float) -> int:
        """Keep of the frames before `until` one in so many seconds, which stands for the others; return how many went.

        The first frame stays: what the past says is about it.
        """
        kept, times = [0], [frame.time_s for frame in self.frames]
        for n in range(1, len(self.frames)):
            near = n < until and times[n] - times[kept[-1]] < every_s - 1e-4
            following = n + 1 < len(times) and times[n + 1] - times[kept[-1]] < every_s + 2 / 60
            if near and following:
                self.weights[n + 1] += self.weights[n]
            else:
                kept.append(n)
        gone = len(self.frames) - len(kept)
        if gone:
            self.frames, self.weights = [self.frames[n] for n in kept], [self.weights[n] for n in kept]
            if self.state is not None and self.guess is not None:
                self.state, self.guess = _chosen(self.state, kept), _chosen(self.guess, kept)
        return gone

    def seen(self) -> Bools:
        """Return in which frames the hands were seen, [H, T]."""
        shown = [{hand.hand_id for hand in frame.hands} for frame in self.frames]
        return np.array([[name in some for some in shown] for name in self.ids]).reshape(len(self.ids), len(shown))

    def tracks(self, first: int = 0) -> KeypointTracks:
        """Return what was seen of the hands in the frames from `first` on."""
        frames = self.frames[first:]
        shape = len(self.ids), len(frames)
        xy, world = np.full((*shape, 21, 2), np.nan), np.full((*shape, 21, 3), np.nan)
        confidence, covered, seen = np.zeros((*shape, 21)), np.zeros((*shape, 21)), np.zeros(shape, dtype=bool)
        for n, frame in enumerate(frames):
            for hand in frame.hands:
                if hand.hand_id in self.ids:
                    at = self.ids.index(hand.hand_id), n
                    xy[at], world[at], confidence[at], seen[at] = hand.xy_px, hand.world_m, hand.confidence, True
                    covered[at] = 0.0 if hand.covered is None else hand.covered
        times_s = np.array([frame.time_s for frame in frames])
        return KeypointTracks(xy, confidence, seen, np.array(self.sides, dtype=bool), times_s, world, covered=covered)

    def as_hands(self, motion: Motion, first: int, last: int) -> HandMotion:
        """Return frames first..last of a motion as MANO parameters, hands as they are."""
        right = HandMotion(
            rotations.log(motion.global_R[:, first:last]).numpy(),
            rotations.log(motion.hand_R[:, first:last]).numpy(),
            motion.transl[:, first:last].numpy(),
            motion.betas.numpy(),
            np.ones(len(self.ids), dtype=bool),
            _status(self.seen())[:, first:last],
        )
        return mirroring.motion_as_sides(right, np.array(self.sides, dtype=bool))

    def since(self, name: int) -> int:
        """Return the frame of the window from which on a hand is there; 0 where it was there before."""
        row = self.ids.index(name)
        if self.past is not None and bool(self.past.H[row].any()):
            return 0
        return int(self.seen()[row].argmax())

    def _let_go(self, shown: set[int]) -> None:
        keep = [row for row, name in enumerate(self.ids) if name in shown]
        if len(keep) == len(self.ids):
            return
        self.ids, self.sides = [self.ids[row] for row in keep], [self.sides[row] for row in keep]
        self.sightings = {name: count for name, count in self.sightings.items() if name in shown}
        if not keep or self.state is None or self.guess is None or self.past is None:
            self.state = self.guess = self.past = None
            return
        rows = torch.tensor(keep, dtype=torch.long)
        self.state, self.guess, self.past = _rows(self.state, rows), _rows(self.guess, rows), self.past.rows(rows)

    def _lengthen(self, count: int) -> None:
        """Guess the new frames of known hands; the state moves on from where it was as the guess does."""
        assert self.guess is not None and self.state is not None
        before = len(self.frames) - count
        guess, state = (_held(motion, count) for motion in (self.guess, self.state))
        tracks = self.tracks(before)
        for row in range(len(self.ids)):
            seen = np.flatnonzero(tracks.seen[row])
            if len(seen):
                found = first_poses(_some(tracks, row, seen), self.camera, self.models, self.first_steps)
                latest = torch.as_tensor(np.maximum.accumulate(np.where(tracks.seen[row], np.arange(count), -1)))
                place = torch.as_tensor(np.searchsorted(seen, latest.clamp_min(0).numpy()))
                for name in BY_FRAME:
                    values, new = getattr(guess, name), getattr(found, name)
                    values[row, before:] = torch.where(_like(latest >= 0, new), new[place], values[row, before:])
            turn = guess.global_R[row, before - 1].mT @ guess.global_R[row, before:]
            state.global_R[row, before:] = state.global_R[row, before - 1] @ turn
            moved = guess.transl[row, before:] - guess.transl[row, before - 1]
            state.transl[row, before:] = state.transl[row, before - 1] + moved
            state.hand_R[row, before:] = guess.hand_R[row, before:]
        self.guess, self.state = guess, state

    def _appear(self, names: list[int], sides: list[bool]) -> None:
        """Add hands that appear; before and after their sightings they stay where they were seen."""
        self.ids += names
        self.sides += sides
        tracks, frames, rows = self.tracks(), np.arange(len(self.frames)), []
        for row in range(len(self.ids) - len(names), len(self.ids)):
            seen = np.flatnonzero(tracks.seen[row])
            found = first_poses(_some(tracks, row, seen), self.camera, self.models, self.first_steps)
            near = torch.as_tensor(np.abs(frames[:, None] - seen[None]).argmin(1))
            shape = torch.zeros(1, 10, dtype=torch.float64)
            rows.append(Motion(found.global_R[near][None], found.transl[near][None], shape, found.hand_R[near][None]))
        added = _joined(rows)
        nothing = MarginalPrior.nothing(added)
        if self.state is None or self.guess is None or self.past is None:
            self.state, self.guess, self.past = added, added, nothing
            return
        self.state, self.guess = _joined([self.state, added]), _joined([self.guess, added])
        at = _joined([self.past.at, nothing.at])
        self.past = MarginalPrior(torch.cat((self.past.H, nothing.H)), torch.cat((self.past.g, nothing.g)), at)


def _status(seen: Bools) -> np.ndarray:
    before = np.maximum.accumulate(seen, axis=1)
    after = np.maximum.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    return np.where(seen, DETECTED, np.where(before & after, INTERPOLATED, EXTRAPOLATED)).astype(np.uint8)


def _some(tracks: KeypointTracks, row: int, frames: np.ndarray) -> KeypointTracks:
    one = slice(row, row + 1)
    assert tracks.world_m is not None
    return KeypointTracks(
        tracks.xy_px[one, frames], tracks.confidence[one, frames], tracks.seen[one, frames], tracks.is_right[one],
        tracks.times_s[frames], tracks.world_m[one, frames],
    )  # fmt: skip


def _held(motion: Motion, count: int) -> Motion:
    """Return a motion that stays in its last frame for some more."""
    parts = {name: getattr(motion, name) for name in BY_FRAME}
    held = {name: torch.cat((v, v[:, -1:].expand(-1, count, *v.shape[2:])), dim=1) for name, v in parts.items()}
    return replace(motion, **held)


def _cut(motion: Motion, count: int) -> Motion:
    return replace(motion, **{name: getattr(motion, name)[:, count:] for name in BY_FRAME})


def _chosen(motion: Motion, frames: list[int]) -> Motion:
    return replace(motion, **{name: getattr(motion, name)[:, frames] for name in BY_FRAME})


def _like(chosen: Tensor, values: Tensor) -> Tensor:
    return chosen.reshape(-1, *[1] * (values.ndim - 1))


def _rows(motion: Motion, rows: Tensor) -> Motion:
    return Motion(motion.global_R[rows], motion.transl[rows], motion.betas[rows], motion.hand_R[rows])


def _joined(parts: list[Motion]) -> Motion:
    names = ("global_R", "transl", "betas", "hand_R")
    return Motion(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
