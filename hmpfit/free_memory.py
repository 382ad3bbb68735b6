"""Return freed memory to the operating system, so that the resident set of a run stays small.

Separate because it speaks to the C library. glibc keeps the holes that one phase leaves between small things that
stayed; the next phase, which wants other sizes, would be laid on top of them.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
_KEPT_BYTES, _MORE_BYTES, _LARGEST_BYTES = 256 << 20, 16 << 20, 32 << 20


def release_free_memory() -> None:
    """Hand freed memory back, where the C library can (glibc); takes milliseconds, and is for between phases."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def reuse_freed_memory() -> None:
    """Keep freed memory for what comes next, where the C library can (glibc), until `release_free_memory`.

    Many tensors of 0.1 to 30 MB would otherwise be given back and taken anew, with a page fault for every 4 KB: a tenth
    of a fit's time.
    """
    if sys.platform != "linux":
        return
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        option(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        option(_M_TOP_PAD, _MORE_BYTES)
        option(_M_MMAP_THRESHOLD, _LARGEST_BYTES)
