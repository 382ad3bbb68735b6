"""Copies of a process compute what it would, say what went wrong in them, and never outlive it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hmpfit import process_copies
from hmpfit.errors import HmpfitError, RunFolderError
from hmpfit.process_copies import ProcessCopy, beside, side_by_side

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux only")


@pytest.fixture(params=[True, False], ids=["copies", "here"])
def copied(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(process_copies, "can_copy", lambda most=None: request.param)
    return bool(request.param)


def test_results_come_in_order_and_messages_as_they_are_sent(copied: bool) -> None:
    def work(n: int) -> Callable[[Callable[[int], None]], tuple[int, int]]:
        def compute(send: Callable[[int], None]) -> tuple[int, int]:
            time.sleep(0.05 * (3 - n))
            send(10 + n)
            return n, os.getpid()

        return compute

    heard: list[int] = []
    found = side_by_side([work(0), work(1), work(2)], heard.append)
    assert [n for n, _ in found] == [0, 1, 2] and sorted(heard) == [10, 11, 12]
    assert len({pid for _, pid in found} | {os.getpid()}) == (4 if copied else 1)


def test_what_one_raises_is_raised_with_its_reason(copied: bool) -> None:
    def full(send: object) -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise RunFolderError("The disk is full.") from error

    with pytest.raises(RunFolderError, match="The disk is full") as caught:
        side_by_side([full, lambda send: None])
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno == 28


def test_an_error_that_cannot_be_sent_is_told_in_words() -> None:
    class Local(Exception):
        pass

    def fail(send: object) -> None:
        raise Local("of this function only")

    with beside(fail) as copy, pytest.raises(HmpfitError, match="Local: of this function only"):
        copy.result()


def test_a_copy_that_is_killed_is_told_of() -> None:
    with beside(lambda send: os.kill(os.getpid(), signal.SIGKILL)) as copy, pytest.raises(HmpfitError, match="died"):
        copy.result()


def test_leaving_the_block_ends_the_copy() -> None:
    began = time.monotonic()
    with beside(lambda send: time.sleep(60)) as copy:
        pid = copy._pid
    assert time.monotonic() - began < 10 and pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_copy_ends_with_its_parent(tmp_path: Path) -> None:
    script = """
    import os, sys, time
    from hmpfit.process_copies import ProcessCopy

    def work(send):
        send(os.getpid())
        time.sleep(60)

    copy = ProcessCopy(work)
    copy.receive(lambda pid: print(pid, flush=True))
    time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the copy goes on without its parent")


def test_a_process_with_threads_or_one_core_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_copies, "usable_cores", lambda: 2)
    monkeypatch.setattr(process_copies.os, "listdir", lambda path: ["1"])
    assert process_copies.can_copy() and process_copies.can_copy(2) and not process_copies.can_copy(1)
    monkeypatch.setattr(process_copies.os, "listdir", lambda path: ["1", "2"])
    assert not process_copies.can_copy()
    monkeypatch.setattr(process_copies.os, "listdir", lambda path: ["1"])
    monkeypatch.setattr(process_copies, "usable_cores", lambda: 1)
    assert not process_copies.can_copy()


def test_a_limit_of_cores_holds_inside_its_block() -> None:
    plain = process_copies.usable_cores()
    with process_copies.cores_limited(1):
        assert process_copies.usable_cores() == 1 and not process_copies.can_copy()
        with process_copies.cores_limited(None):
            assert process_copies.usable_cores() == 1
    assert process_copies.usable_cores() == plain


def test_a_message_is_no_result() -> None:
    copy: ProcessCopy[str] = ProcessCopy(lambda send: send("half") or "done")
    try:
        assert copy.receive() == [] and copy.receive() == ["done"]
    finally:
        copy.kill()
