"""Kill `run` and `batch` at random moments and restart them: nothing lost, nothing redone, nobody left alive.

`python -m tests.fuzz.kills VIDEO --moments 50 --frames 0:8` prints what came of every moment; 1 for a loss.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
ALIVE_S = 5.0
STAGES = ("tracks.npz", "initial.npz", "fit.npz")


def command(kind: str, videos: list[Path], out: Path, frames: str) -> list[str]:
    """Return the command line of a run or a batch of few frames."""
    line = [
        sys.executable,
        str(ROOT / "cli.py"),
        kind,
        *map(str, videos),
        "-o",
        str(out),
        "--frames",
        frames,
        "--quiet",
    ]
    return [*line, "--workers", "2" if kind == "batch" else "1"]


def results(out: Path) -> dict[str, np.ndarray]:
    """Return all arrays of all results below a folder."""
    found = {}
    for path in sorted(published(out, ("result.npz",))):
        with np.load(path) as stored:
            found.update({f"{path.relative_to(out)}/{key}": stored[key] for key in stored.files})
    return found


def published(out: Path, names: Sequence[str]) -> list[Path]:
    """Return the files of these names below a folder; what lies in a `.partial*` folder is not published yet."""
    files = (path for path in out.rglob("*") if path.name in names)
    return [path for path in files if not any(part.startswith(".partial") for part in path.relative_to(out).parts)]


def family(process: int) -> list[int]:
    """Return the process ids of a session's members that are alive."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == process and fields[0] != "Z":
                members.append(int(entry.name))
    return members


def kill_and_restart(line: list[str], out: Path, after_s: float, whole: bool, number: int) -> list[str]:
    """Kill a command after some seconds, run it again, and return what went wrong."""
    wrong = []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(line, start_new_session=True, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            (os.killpg if whole else os.kill)(process.pid, number)
            process.wait(60)
    began = time.monotonic()
    while family(process.pid) and time.monotonic() - began < ALIVE_S:
        time.sleep(0.05)
    left = family(process.pid)
    if left:
        wrong.append(f"{len(left)} processes alive after {ALIVE_S:g} s")
        for one in left:
            os.kill(one, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in published(out, (*STAGES, "result.npz"))}
    again = subprocess.run(line, env=environment, capture_output=True, text=True)
    if again.returncode:
        wrong.append(f"the restart ended with {again.returncode}: {again.stderr[-200:]}")
    wrong += [f"{path.name} was redone" for path, stamp in kept.items() if path.stat().st_mtime_ns != stamp]
    leftovers = [
        path.name for path in out.rglob(".*") if path.name.startswith((".partial", ".lock")) or ".part" in path.name
    ]
    return wrong + [f"left over: {name}" for name in leftovers]


def main() -> int:
    """Kill at random moments and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--frames", default="0:8")
    parser.add_argument("--kinds", default="run,batch")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    random, losses = Random(chosen.seed), 0
    with tempfile.TemporaryDirectory(prefix="hmpfit-kills-") as folder:
        second = Path(folder) / "second.mp4"
        second.write_bytes(chosen.video.read_bytes())
        for kind in chosen.kinds.split(","):
            videos = [chosen.video] if kind == "run" else [chosen.video, second]
            calm = Path(folder) / f"{kind}-calm"
            began = time.monotonic()
            subprocess.run(
                command(kind, videos, calm, chosen.frames), check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
            length, expected = time.monotonic() - began, results(calm)
            for moment in range(chosen.moments):
                out = Path(folder) / f"{kind}-{moment}"
                after_s, whole = random.uniform(0, 1.1 * length), moment % 2 == 0
                number = random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
                wrong = kill_and_restart(command(kind, videos, out, chosen.frames), out, after_s, whole, number)
                found = results(out)
                if set(found) != set(expected) or any(not np.array_equal(found[k], v, equal_nan=v.dtype.kind == "f")
                                                      for k, v in expected.items()):  # fmt: skip
                    wrong.append("other arrays than the undisturbed")
                losses += bool(wrong)
                who = "group" if whole else "parent"
                print(f"{kind} {moment}: {number.name} to the {who} after {after_s:.2f} of {length:.2f} s: "
                      f"{'; '.join(wrong) or 'as undisturbed'}", flush=True)  # fmt: skip
    print(f"{losses} of {chosen.moments * len(chosen.kinds.split(','))} moments lost something")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
