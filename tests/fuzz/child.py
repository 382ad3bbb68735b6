"""The process in which damaged inputs are used: one case per line on stdin, one verdict per line on stdout.

A case that kills it, hangs it or fills the memory is seen by the parent (`harness.py`), which starts another. An audit
hook tells whether a file made anything run. Command lines get a process of their own each, forked off this one.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.allowed import is_allowed
from tests.fuzz.harness import APART, answers

FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pickle.find_class", "pty.spawn",
             "socket.connect", "socket.bind")  # fmt: skip
STOP_S = 3.0  # after which a command line that works is asked to end
END_S = 20.0  # in which it must
_seen: list[str] = []
_watching = False
_command = ""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in FORBIDDEN and not is_allowed(event, arguments, _command):
        _seen.append(f"{event} {str(arguments)[:200]}")


def main(work: Path) -> None:
    """Read cases (family, seed, path of a corpus file or null) until stdin ends."""
    sys.addaudithook(_audit)
    verdicts = os.fdopen(os.dup(1), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from tests.fuzz.every import FAMILIES

    for line in sys.stdin:
        case = json.loads(line)
        family = FAMILIES[case["family"]]
        folder, canary = work / "case", work / "canary"
        if case["family"] in APART:
            verdict = _forked(family, case, work, folder, canary)
        else:
            damage(family, case, work, folder, canary)
            verdict = _watched(family, folder, canary)
        verdicts.write(json.dumps(verdict) + "\n")


def _watched(family: Any, folder: Path, canary: Path) -> dict[str, Any]:
    """Use a damaged input, with an eye on what it makes run."""
    global _watching, _command
    told = folder / ".arguments"
    _command = next((word for word in json.loads(told.read_text()) if "=" not in word), "") if told.is_file() else ""
    os.chdir(folder)
    _seen.clear()
    _watching = True
    verdict = _verdict(family, folder)
    _watching = False
    if _seen or canary.exists():
        verdict = {"outcome": "ran", "where": "; ".join(_seen[:3]) or "the canary was made"}
        canary.unlink(missing_ok=True)
    verdict["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return verdict


def _forked(family: Any, case: dict[str, Any], work: Path, folder: Path, canary: Path) -> dict[str, Any]:
    """Use a command line in a process and session of its own; one that works for long is asked to end."""
    from tests.fuzz.options import preload, tidy

    preload()
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the cases come over the other one
        os.environ["HOME"] = str(work / "home")
        try:
            damage(family, case, work, folder, canary)
            os.write(writing, json.dumps(_watched(family, folder, canary)).encode())
        except KeyboardInterrupt:  # struck between two steps of this harness
            os.write(writing, json.dumps({"outcome": "ok", "where": "stopped", "peak_kib": 0}).encode())
        except BaseException:
            where = traceback.format_exc()[-1500:]
            os.write(writing, json.dumps({"outcome": "died", "where": where, "peak_kib": 0}).encode())
        os._exit(0)
    os.close(writing)
    try:
        return _outcome(process, reading)
    finally:
        os.close(reading)
        _end_session(process)
        tidy(folder)


def _outcome(process: int, reading: int) -> dict[str, Any]:
    began, asked = time.monotonic(), False
    while True:
        if answers(process, reading, END_S if asked else STOP_S):
            said = os.read(reading, 1 << 16)
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            if said:
                verdict: dict[str, Any] = json.loads(said)
                return verdict
            if asked and code == -signal.SIGTERM:  # before it could listen
                return {"outcome": "ok", "where": "stopped", "peak_kib": 0}
            return {"outcome": "died", "where": f"with {code}", "peak_kib": 0}
        if asked:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            where = f"for {time.monotonic() - began:.0f} s, {END_S:g} of them after SIGTERM"
            return {"outcome": "hung", "where": where, "peak_kib": 0}
        os.kill(process, signal.SIGTERM)
        asked = True


def _end_session(leader: int) -> None:
    """End what a command may have started and left."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def damage(family: Any, case: dict[str, Any], work: Path, folder: Path, canary: Path) -> None:
    """Lay a fresh copy of the family's valid input into `folder` and damage one file of it."""
    from tests.fuzz.mutations import mutate

    seed = work / "seeds" / case["family"]
    if not seed.is_dir():
        seed.mkdir(parents=True)
        family.build(seed)
    os.chdir(work)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(seed, folder, copy_function=os.link)
    if case.get("corpus"):
        source = Path(case["corpus"])
        target = next(
            (path for path in sorted(folder.glob(family.pattern)) if path.name == source.name), folder / source.name
        )
        target.unlink(missing_ok=True)
        target.write_bytes(source.read_bytes())
        return
    if case.get("undamaged"):
        return
    files = sorted(path for path in folder.glob(family.pattern) if path.is_file())
    if "pipe" in case:  # in place of one of the files
        chosen = files[case["pipe"] % len(files)]
        chosen.unlink()
        os.mkfifo(chosen)
        return
    random = Random(case["seed"])
    family_random = getattr(family, "choose", None)
    if family_random is not None:
        (folder / ".arguments").write_text(json.dumps(family_random(random)))
        return
    chosen = random.choice(files)
    content = chosen.read_bytes()
    chosen.unlink()
    kind = random.randrange(60)
    if kind == 0:
        chosen.mkdir()
    elif kind == 1:
        os.mkfifo(chosen)
    elif kind > 2:  # with 2 the file is missing
        chosen.write_bytes(mutate(content, chosen.suffix, random, canary))


def _verdict(family: Any, folder: Path) -> dict[str, Any]:
    from hmpfit.errors import HmpfitError

    try:
        family.use(folder)
    except HmpfitError as error:
        text = str(error)
        return {"outcome": "refused" if text and len(text) < 2000 else "speechless", "where": text[:200]}
    except MemoryError:
        return {"outcome": "traceback", "where": "MemoryError " + _place()}
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        told = folder / ".arguments"
        line = f" of {told.read_text()}" if told.is_file() else ""
        return {"outcome": "traceback", "where": f"{type(error).__name__}: {str(error)[:200]} at {_place()}{line}"}
    return {"outcome": "ok", "where": ""}


def _place() -> str:
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if "/hmpfit/" in frame.filename or "/priors/" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
