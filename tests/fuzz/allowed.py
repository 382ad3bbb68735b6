"""Programs that libraries start of their own accord: exactly these, from exactly these places. All else is an alarm.

Separate from `child.py` so that the list can be read at a glance.
"""

import sys
import sysconfig
from typing import Any

_STANDARD = sysconfig.get_path("stdlib")
_PACKAGES = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
# What is run, by which file of the standard library or of a package, and who may ask that file (None: anyone).
_PROGRAMS: tuple[tuple[tuple[str, ...], str, tuple[str, ...] | None], ...] = (
    (("lscpu",), "numpy/testing/_private/utils.py", None),  # whether the processor has SVE, at import
    (("fc-list", "--help"), "matplotlib/font_manager.py", None),  # which fonts there are, at import
    (("fc-list", "--format=%{file}\\n"), "matplotlib/font_manager.py", None),
    (("uname", "-p"), "platform.py", None),  # platform.processor(), for the name of this machine
    (("/sbin/ldconfig", "-p"), "ctypes/util.py", ("glcontext/__init__.py", "hmpfit/command_line/doctor.py")),  # EGL
)
_BETWEEN_PROCESSES = ("multiprocessing/connection.py", "multiprocessing/queues.py", "multiprocessing/spawn.py",
                      "concurrent/futures/process.py")  # fmt: skip
LISTENING = ("view", "app", "live")  # the commands that serve a page; on this machine only unless told otherwise


def is_allowed(event: str, arguments: tuple[Any, ...], command: str = "") -> bool:
    """Tell whether an audit event is one of a library's own, by the program and the files that called for it."""
    if event in ("socket.bind", "socket.connect"):
        return command in LISTENING
    if event == "pickle.find_class":  # what our own processes say to each other
        return any(_is(name, place) for name in _files()[2:5] for place in _BETWEEN_PROCESSES)
    if event != "subprocess.Popen":
        return False
    line = tuple(map(str, arguments[1])) if isinstance(arguments[1], list | tuple) else (str(arguments[1]),)
    callers = [name for name in _files() if not name.endswith(("/subprocess.py", "/fuzz/child.py", "/fuzz/allowed.py"))]
    if line[:2] == (sys.executable, "-c") and callers and _is(callers[0], "hmpfit/bench/pipeline_speed.py"):
        return True  # the run that is measured
    for program, place, askers in _PROGRAMS:
        if line == program and callers and _is(callers[0], place):
            others = [name for name in callers if not _is(name, place)]
            return askers is None or any(_is(others[0], asker) for asker in askers)
    return False


def _files() -> list[str]:
    """Return the files of the calling frames, the innermost first."""
    found, frame = [], sys._getframe(1)
    while frame is not None:
        found.append(frame.f_code.co_filename)
        frame = frame.f_back  # type: ignore[assignment]
    return found


def _is(name: str, place: str) -> bool:
    from tests.fuzz.harness import ROOT

    return name in {f"{root}/{place}" for root in (_STANDARD, *_PACKAGES, ROOT)}
