"""One clip on one and on two threads, by `run` and by `batch`: the same arrays, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def results(out: Path, threads: int, *words: str) -> dict[str, np.ndarray]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    environment.pop("OPENBLAS_NUM_THREADS", None)
    subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *words, "-o", str(out), "--quiet"], check=True, env=environment
    )
    (file,) = out.rglob("result.npz")
    with np.load(file) as stored:
        return {key: stored[key] for key in stored.files}


@pytest.mark.slow
@pytest.mark.parametrize("clip", (("stills/two_hands.jpg",), ("clips/cups.mp4", "--frames", "150:166")))
def test_results_do_not_depend_on_threads_or_on_the_command(
    inputs: Path, tmp_path: Path, clip: tuple[str, ...]
) -> None:
    line = (str(inputs / clip[0]), *clip[1:])
    one = results(tmp_path / "one", 1, "run", *line, "--workers", "1")
    others = {
        "two threads": results(tmp_path / "two", 2, "run", *line, "--workers", "2"),
        "batch": results(tmp_path / "batch", 1, "batch", *line, "--workers", "2"),
    }
    assert one["status"].size
    for name, other in others.items():
        assert set(other) == set(one)
        for key, values in one.items():
            np.testing.assert_array_equal(other[key], values, err_msg=f"{key} of {name}")
