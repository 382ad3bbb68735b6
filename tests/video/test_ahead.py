"""Reading ahead and writing behind: the same items in the same order, bounded, and no error is lost."""

import threading
from collections.abc import Iterator

import pytest

from hmpfit.video.ahead import WriteBehind, read_ahead


def test_items_come_in_order_from_one_other_thread() -> None:
    threads: set[int] = set()

    def items() -> Iterator[int]:
        for n in range(50):
            threads.add(threading.get_ident())
            yield n

    assert list(read_ahead(items())) == list(range(50))
    assert len(threads) == 1 and threading.get_ident() not in threads
    assert list(read_ahead([])) == []


def test_no_more_is_read_than_asked_for() -> None:
    read: list[int] = []
    ahead = read_ahead((read.append(n) or n for n in range(100)), most=3)
    assert next(ahead) == 0
    ahead.close()  # waits for what was asked for
    assert len(read) <= 4


def test_errors_of_reading_and_writing_are_raised_here() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        list(read_ahead(broken()))

    def fail(_: int) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"), WriteBehind() as behind:
        behind(fail, 1)


def test_writing_is_in_order_and_done_at_the_end() -> None:
    written: list[int] = []
    with WriteBehind(most=2) as behind:
        for n in range(40):
            behind(written.append, n)
            assert len(written) >= n - 2
    assert written == list(range(40))


def test_an_error_outside_stops_the_writing() -> None:
    gate, written = threading.Event(), []
    with pytest.raises(KeyboardInterrupt), WriteBehind(most=5) as behind:
        behind(gate.wait)
        behind(written.append, 1)
        threading.Timer(0.1, gate.set).start()
        raise KeyboardInterrupt
    assert written == []
