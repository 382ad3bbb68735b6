"""Pair the two hands of one person: a right and a left one, or two that are called the same side.

Separate from `assignment`, which follows single hands. The arms of bodies in the picture decide where they are seen,
else the hands' places, sizes and times.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hmpfit.keypoints.arms import ArmVotes
from hmpfit.keypoints.tracklets import sizes
from hmpfit.records import Bools, Floats

_FAR = 8.0  # hand diagonals: a person's hands are rarely farther apart, about 1.6 m
_ARMS = 1000.0  # more than any distance: the arms decide
_SIZE_SPREAD = 0.35  # of the logarithm of the ratio of a person's hands' sizes in the picture
_COLOR_SPREAD = 4.0  # in Lab (see `appearance`), between a person's hands
_MOST_COLOR = 6.0  # that colors count at most: lamps may light two hands differently
_MUCH_WEAKER = 0.5  # the mean vote on a hand's side, beside that on the other hand of the person


def group_hands(
    xy_px: Floats,
    is_right: Bools,
    hand_id: NDArray[np.int64],
    arms: ArmVotes | None = None,
    color: Floats | None = None,
) -> NDArray[np.int64]:
    """Return a person [H] for each hand [H, T, 21, 2] (NaN where unseen): right and left hands paired, others alone.

    Persons are numbered by their first hand. What `arms` say counts first. Else one right and one left hand are taken
    for one person's; among more, the pairs that are nearest to each other and most alike in size, over the frames that
    show both, and in the `color` [H, 3] of their palms, where it is known, win. Two hands of one side that are left
    over are one person's (one of them is called wrongly) where arms say so or where their color tells them from all
    others.
    """
    right, left = np.flatnonzero(is_right), np.flatnonzero(~is_right)
    cost = np.array([[pair_cost(xy_px[one], xy_px[other]) for other in left] for one in right]).reshape(
        len(right), len(left)
    )
    if color is not None:
        apart = np.linalg.norm(color[right][:, None] - color[left][None], axis=-1)
        cost = cost + np.minimum((apart / _COLOR_SPREAD) ** 2, _MOST_COLOR)
    if arms is not None:
        joined = (arms.together - arms.apart)[np.ix_(right, left)]
        cost = np.where(joined > 0, cost - _ARMS, np.where(joined < 0, cost + _ARMS, cost))
    person = hand_id.copy()
    for one, other in zip(*linear_sum_assignment(cost), strict=True):
        only = max(len(right), len(left)) == 1 and cost[one, other] < _ARMS
        if only or cost[one, other] < _FAR:
            person[right[one]] = person[left[other]] = min(hand_id[right[one]], hand_id[left[other]])
    for one, other in _same_side_pairs(xy_px, is_right, person, arms, color):
        person[one] = person[other] = min(hand_id[one], hand_id[other])
    return np.unique(person, return_inverse=True)[1].astype(np.int64)


def sides_of_pairs(
    is_right: Bools, person: NDArray[np.int64], right_log_odds: Floats, arms: ArmVotes | None = None
) -> Bools:
    """Return the sides [H] with those set right of two hands of one person that are called the same side.

    That is the hand that an arm contradicts, else the one whose mean vote `right_log_odds` [H] is much weaker; where
    there is none, both stay.
    """
    sides = is_right.copy()
    for one in np.unique(person):
        pair = np.flatnonzero(person == one)
        if len(pair) != 2 or is_right[pair[0]] != is_right[pair[1]]:
            continue
        said = [None if arms is None else arms.side(int(hand)) for hand in pair]
        wrong = [int(hand) for hand, side in zip(pair, said, strict=True) if side == (not is_right[hand])]
        strength = np.abs(right_log_odds[pair])
        if not wrong and strength.min() < _MUCH_WEAKER * strength.max():
            wrong = [int(pair[strength.argmin()])]
        if len(wrong) == 1:
            sides[wrong[0]] = not sides[wrong[0]]
    return sides


def _same_side_pairs(
    xy_px: Floats, is_right: Bools, person: NDArray[np.int64], arms: ArmVotes | None, color: Floats | None
) -> list[tuple[int, int]]:
    """Return the pairs of hands of one side, each alone so far, that arms or colors say are one person's."""
    alone = [hand for hand in range(len(person)) if (person == person[hand]).sum() == 1]
    found: list[tuple[int, int]] = []
    for place, one in enumerate(alone):
        for other in alone[place + 1 :]:
            if is_right[one] != is_right[other] or any({one, other} & set(pair) for pair in found):
                continue
            joined = 0 if arms is None else int(arms.together[one, other] - arms.apart[one, other])
            alike = color is not None and _color_tells(color, one, other)
            if joined > 0 or (joined == 0 and alike and pair_cost(xy_px[one], xy_px[other]) < _FAR):
                found.append((one, other))
    return found


def _color_tells(color: Floats, one: int, other: int) -> bool:
    """Return whether two palms are alike, and each other hand is much less like either of them; colors are [H, 3]."""
    apart = np.linalg.norm(color[[one, other]][:, None] - color[None], axis=-1)
    others = np.delete(apart, [one, other], axis=1)
    return bool(
        apart[0, other] < _COLOR_SPREAD and others.size and others.min() > max(2 * apart[0, other], _COLOR_SPREAD)
    )


def pair_cost(a_px: Floats, b_px: Floats) -> float:
    """Return how far apart two hands [T, 21, 2] mostly are, in their diagonals, plus how unlike in size."""
    both = np.isfinite(a_px[:, 0, 0]) & np.isfinite(b_px[:, 0, 0])
    if not both.any():
        return _FAR  # never seen together: nothing speaks for one person
    size_a, size_b = sizes(a_px[both]), sizes(b_px[both])
    apart = np.linalg.norm(a_px[both].mean(axis=1) - b_px[both].mean(axis=1), axis=-1) / ((size_a + size_b) / 2)
    ratio = np.log(size_a / size_b) / _SIZE_SPREAD
    return float(np.median(apart + 0.5 * ratio**2))
