"""The process in which damaged inputs are used: one case per line on stdin, one verdict per line on stdout.

A case that kills it, hangs it or fills the memory is seen by the parent (`harness.py`), which starts another. An audit
hook tells whether a file made anything run.
"""

import json
import os
import resource
import shutil
import signal
import sys
import traceback
from pathlib import Path
from random import Random
from typing import Any

FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pickle.find_class", "pty.spawn",
             "socket.connect", "socket.bind")  # fmt: skip
WAIT_FOR_PIPES = ("video", "pictures")  # a clip may come through a pipe, as from standard input
_seen: list[str] = []
_watching = False


class Enough(BaseException):
    """A command that was valid after all is stopped."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in FORBIDDEN and arguments[:1] != ("lscpu",):  # torch asks that of its own accord
        _seen.append(f"{event} {str(arguments)[:200]}")


def main(work: Path) -> None:
    """Read cases (family, seed, path of a corpus file or null) until stdin ends."""
    global _watching
    sys.addaudithook(_audit)
    verdicts = os.fdopen(os.dup(1), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _enough)
    from tests.fuzz.every import FAMILIES

    for line in sys.stdin:
        case = json.loads(line)
        family = FAMILIES[case["family"]]
        folder, canary = work / "case", work / "canary"
        damage(family, case, work, folder, canary)
        os.chdir(folder)
        _seen.clear()
        _watching = True
        try:
            verdict = _verdict(family, folder)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Enough:  # the timer struck when the case had just ended
            signal.setitimer(signal.ITIMER_REAL, 0)
            verdict = {"outcome": "ok", "where": "stopped"}
        _watching = False
        if _seen or canary.exists():
            verdict = {"outcome": "ran", "where": "; ".join(_seen[:3]) or "the canary was made"}
            canary.unlink(missing_ok=True)
        verdict["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        verdicts.write(json.dumps(verdict) + "\n")


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
    random = Random(case["seed"])
    family_random = getattr(family, "choose", None)
    if family_random is not None:
        (folder / ".arguments").write_text(json.dumps(family_random(random)))
        return
    files = sorted(path for path in folder.glob(family.pattern) if path.is_file())
    chosen = random.choice(files)
    content = chosen.read_bytes()
    chosen.unlink()
    kind = random.randrange(60)
    if kind == 0:
        chosen.mkdir()
    elif kind == 1 and case["family"] not in WAIT_FOR_PIPES:
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
    except Enough:
        return {"outcome": "ok", "where": "stopped"}
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


def _enough(number: int, frame: Any) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.5)  # again, should a destructor swallow this one
    raise Enough


if __name__ == "__main__":
    main(Path(sys.argv[1]))
