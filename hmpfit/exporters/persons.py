"""Which hands of a result belong to one person, for formats that have one right and one left hand."""

import numpy as np

from hmpfit.results.npz import StoredResult


def persons(result: StoredResult) -> list[list[int]]:
    """Return the hands of each person, at most one of each side; a hand that nobody knows to be anyone's stands alone.

    Without `person_id` in the result, a clip of one right and one left hand shows one person.
    """
    is_right = result.motion.is_right
    known = getattr(result.tracks, "person_id", None)
    if known is None:
        pair = len(is_right) == 2 and is_right[0] != is_right[1]
        known = np.zeros(2, int) if pair else np.full(len(is_right), -1)
    found: dict[tuple[int, int], list[int]] = {}
    for hand, person in enumerate(known):
        same = sum(is_right[other] == is_right[hand] and known[other] == person for other in range(hand))
        alone = hand + 1 if person < 0 else 0
        found.setdefault((int(person), same + alone), []).append(hand)
    return list(found.values())
