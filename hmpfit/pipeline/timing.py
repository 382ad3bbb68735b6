"""Seconds of each step."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hmpfit.free_memory import release_free_memory


@dataclass(frozen=True)
class Timings:
    """Wall and processor seconds by step, since `began`; memory that a step freed goes back at its end."""

    began: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)  # of all threads and of processes that have ended

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Measure a step, which may be done in parts."""
        began, began_cpu = time.perf_counter(), _cpu_seconds()
        yield
        release_free_memory()
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - began
        self.cpu_seconds[step] = self.cpu_seconds.get(step, 0.0) + _cpu_seconds() - began_cpu


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
