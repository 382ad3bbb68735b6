"""Give cases to child processes, one at a time, and count what came of them; a child that dies is replaced.

The child is started once and not for every case: importing torch takes longer than a hundred cases.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

HANG_S = 60.0
ROOT = Path(__file__).resolve().parent.parent.parent
APART = ("options",)  # families whose cases get a process each, forked off a child that does nothing else
BAD = ("traceback", "speechless", "ran", "died", "hung")


class Child:
    """The process that uses damaged inputs, started when it is needed."""

    def __init__(self, work: Path, timeout_s: float = HANG_S) -> None:
        self.work, self.timeout_s = work, timeout_s
        self._processes: dict[bool, subprocess.Popen[bytes]] = {}
        work.mkdir(parents=True, exist_ok=True)

    def run(self, case: dict[str, Any]) -> dict[str, Any]:
        """Return the verdict on one case."""
        apart = case["family"] in APART
        process = self._started(apart)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(case).encode() + b"\n")
        process.stdin.flush()
        if not answers(process.pid, process.stdout, self.timeout_s):
            self.close()
            return {"outcome": "hung", "where": f"for {self.timeout_s:g} s", "peak_kib": 0}
        line = process.stdout.readline()
        if not line:
            process.wait()
            del self._processes[apart]
            return {"outcome": "died", "where": f"with {process.returncode}", "peak_kib": 0}
        verdict: dict[str, Any] = json.loads(line)
        return verdict

    def close(self) -> None:
        """Stop the processes."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()

    def _started(self, apart: bool) -> "subprocess.Popen[bytes]":
        if apart not in self._processes:
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
            environment.pop("HMPFIT_MANO", None)
            self._processes[apart] = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.child", str(self.work / ("apart" if apart else "here"))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment,
            )  # fmt: skip
        return self._processes[apart]


def answers(process: int, stream: Any, timeout_s: float) -> bool:
    """Wait for a process to write; time in which the machine let it wait for a core does not count."""
    spent = 0.0
    while spent < timeout_s:
        before, began = _core_s(process), time.monotonic()
        if select.select([stream], [], [], 1.0)[0]:
            return True
        passed = time.monotonic() - began
        spent += min(_core_s(process) - before, passed) if _state(process) == "R" else passed
    return False


def _fields(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _state(process: int) -> str:
    return (_fields(process) or ["Z"])[0]


def _core_s(process: int) -> float:
    found = _fields(process)
    return sum(map(int, found[11:13])) / os.sysconf("SC_CLK_TCK") if found else 0.0


@dataclass
class Tally:
    """What came of many cases."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # (family, outcome)
    bad: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    peak_kib: int = 0
    slowest: tuple[float, str] = (0.0, "")

    def add(self, case: dict[str, Any], verdict: dict[str, Any], seconds: float) -> None:
        """Count one verdict."""
        self.outcomes[case["family"], verdict["outcome"]] += 1
        self.peak_kib = max(self.peak_kib, verdict["peak_kib"])
        self.slowest = max(self.slowest, (seconds, f"{case['family']} {case.get('seed')}"))
        if verdict["outcome"] in BAD:
            self.bad.append((case, verdict))


def draw_cases(weights: dict[str, int], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield cases over all families by their weights; the same seed gives the same cases."""
    random = Random(seed)
    names = sorted(weights)
    for _ in range(count):
        (name,) = random.choices(names, [weights[name] for name in names])
        yield {"family": name, "seed": random.randrange(1 << 40)}


def run_cases(cases: Iterable[dict[str, Any]], work: Path, keep: Path | None = None) -> Tally:
    """Run cases and return the tally; the folders of bad ones are copied to `keep`."""
    tally, child = Tally(), Child(work)
    try:
        for case in cases:
            began = time.perf_counter()
            verdict = child.run(case)
            tally.add(case, verdict, time.perf_counter() - began)
            used = work / ("apart" if case["family"] in APART else "here") / "case"
            if keep is not None and verdict["outcome"] in BAD and used.is_dir():
                name = f"{case['family']}-{case.get('seed', 'corpus')}"
                shutil.copytree(used, keep / name, dirs_exist_ok=True, symlinks=True, ignore=_no_pipes)
    finally:
        child.close()
    return tally


def _no_pipes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_fifo()]
