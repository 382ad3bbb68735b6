"""Which hands of a result belong to one person, for formats that have one right and one left hand."""

from hmpfit.results.npz import StoredResult


def persons(result: StoredResult) -> list[list[int]]:
    """Return the hands of each person, at most one of each side; a second hand of a person's side stands alone."""
    is_right, known = result.motion.is_right, result.motion.person_id
    found: dict[tuple[int, int], list[int]] = {}
    for hand, person in enumerate(known):
        same = sum(is_right[other] == is_right[hand] and known[other] == person for other in range(hand))
        found.setdefault((int(person), same), []).append(hand)
    return list(found.values())
