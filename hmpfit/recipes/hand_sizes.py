"""The sizes that a hand can have, apart from the settings and free of slow imports."""

from hmpfit.errors import InputError

# From a premature child's to the largest hand on record, with room; below and above it is another length or unit.
SIZE_RANGE_MM = (60.0, 330.0)


def check_hand_size(size_mm: float) -> None:
    """Raise InputError, naming the range, for a size in mm that no hand has."""
    low, high = SIZE_RANGE_MM
    if not low <= size_mm <= high:
        raise InputError(
            f"--hand-size {size_mm:g} is no hand's: give millimeters from the wrist's crease to the tip of the middle "
            f"finger, between {low:g} and {high:g} (adults: 160 to 220)."
        )
