"""Read ahead and write behind: decoding and encoding on threads of their own, in order, with bounded memory.

Separate from reader and writer, which know nothing of threads. PyAV lets go of the interpreter lock while it works.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")

MOST = 4  # items that wait at a time
_END = object()


def read_ahead(items: Iterable[Item], most: int = MOST) -> Iterator[Item]:
    """Yield the items in order while a thread fetches the next `most`; what fetching raises is raised here."""
    source = iter(items)
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[Any]] = deque(pool.submit(next, source, _END) for _ in range(most))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, source, _END))
            yield item


class WriteBehind:
    """Calls that a thread makes in order, at most `most` behind; leaving the `with` block waits for all of them.

    What a call raises is raised by one of the next ones, or at the block's end.
    """

    def __init__(self, most: int = MOST) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[Any]] = deque()
        self._most = most

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Do `work(*arguments)` after all earlier calls."""
        self._waiting.append(self._pool.submit(work, *arguments))
        if len(self._waiting) > self._most:
            self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._waiting and kind is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
