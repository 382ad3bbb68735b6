"""Return freed memory to the operating system, so that the resident set of a run stays small.

Separate because it speaks to the C library. glibc keeps the holes that one phase leaves between small things that
stayed; the next phase, which wants other sizes, would be laid on top of them.
"""

import ctypes
import sys


def release_free_memory() -> None:
    """Hand freed memory back, where the C library can (glibc); takes milliseconds, and is for between phases."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
