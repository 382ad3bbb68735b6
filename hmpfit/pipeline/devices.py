"""Choose the torch device of a run, and the number of threads of its matrix products and pictures."""

from collections.abc import Iterator
from contextlib import contextmanager

from hmpfit.errors import InputError
from hmpfit.process_copies import cores_limited


def device_for(name: str) -> str:
    """Return the torch device that "auto", "cpu" or "cuda" means here. Raises InputError where there is no GPU."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda needs a GPU that torch can use, and there is none; leave --device out.")
    return "cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu")


@contextmanager
def one_thread(workers: int | None = None) -> Iterator[None]:
    """Let torch, NumPy, SciPy and OpenCV compute on one thread inside the block.

    The products of one clip's fit are small: a second thread costs a third more processor time and hardly shortens it.
    And sums would be split otherwise on another number of threads: so results are equal, bit for bit, on any number.
    Other cores, `workers` of them at most, get copies of the process, which needs that it has no other threads.
    """
    import cv2
    import scipy.linalg  # noqa: F401  (brings a BLAS of its own, and only those that are loaded are limited)
    import torch
    from threadpoolctl import threadpool_limits

    threads, of_pictures = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"), cores_limited(workers):
            yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(of_pictures)
