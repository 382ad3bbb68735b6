"""Lists of clips: what a line may say, what the ledger remembers, and that every result comes once."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.manifest import chunks
from hmpfit.manifest.chunks import Chunk, run_chunk
from hmpfit.manifest.ledger import Ledger
from hmpfit.manifest.reading import read_manifest, settings_of
from hmpfit.manifest.storage import local_video, upload
from hmpfit.manifest.work import ManifestRun, read_shard, run_manifest
from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter

pq = pytest.importorskip("pyarrow.parquet")


def _list(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _finished(out: Path) -> set[str]:
    return {path.parent.name for path in out.glob("c*/result.npz")}


def _wait_until(done: Callable[[], bool], out: Path, patience_s: float = 600) -> None:
    """Wait as long as clips go on being finished: on a busy machine all of them together may take very long."""
    finished, since = _finished(out), time.monotonic()
    while not done():
        if (now := _finished(out)) != finished:
            finished, since = now, time.monotonic()
        assert time.monotonic() - since < patience_s, f"nothing was finished after {sorted(finished)}"
        time.sleep(0.2)


def test_lines_have_names_options_and_a_shard(tmp_path: Path) -> None:
    rows = [{"video": f"s3://b/clip {n}.mp4", "views": n % 3 or "", "frames": "3:9"} for n in range(10)]
    lines = read_manifest(_list(tmp_path / "a.csv", rows))
    assert [line.name for line in lines[:2]] == ["clip_0", "clip_1"]
    settings = settings_of(lines[1], {"views": 4, "hands": "left"})
    assert (settings.views, settings.hands, settings.frames) == (1, "left", (3, 9))
    assert settings_of(lines[0], {"views": 2}).views == 2
    shards = [read_manifest(tmp_path / "a.csv", (part, 3)) for part in range(3)]
    assert sorted(line.number for shard in shards for line in shard) == list(range(2, 12))


def test_parquet_says_the_same(tmp_path: Path) -> None:
    import pyarrow as pa

    pq.write_table(pa.table({"video": ["a.mp4", "b.mp4"], "views": [0, None]}), tmp_path / "a.parquet")
    lines = read_manifest(tmp_path / "a.parquet")
    assert [(line.name, line.options) for line in lines] == [("a", (("views", "0"),)), ("b", ())]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"video": "a.mp4", "name": "../../etc/x"}, "no plain word"),
        ({"video": "a.mp4", "name": ".hidden"}, "no plain word"),
        ({"video": "a.mp4", "name": "a/b"}, "no plain word"),
        ({"video": "", "name": "a"}, "names no video"),
        ({"video": "a.mp4", "out": "/tmp/x"}, "has the column 'out'"),
        ({"video": "a.mp4", "hand_landmarker": "x"}, "has the column"),
        ({"video": "a.mp4", "recipe": "../mine.toml"}, "names a file"),
        ({"video": "a.mp4", "intrinsics": "/etc/passwd"}, "names a file"),
        ({"video": "a.mp4", "views": "many"}, "line 2: views = 'many'"),
        ({"video": "a.mp4", "hands": "three"}, "line 2: Unknown value of hands"),
        ({"video": "a.mp4", "frames": "9"}, "line 2: frames"),
    ],
)
def test_a_line_that_is_wrong_is_one_sentence(tmp_path: Path, row: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_manifest(_list(tmp_path / "a.csv", [row]))


def test_names_come_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="twice"):
        read_manifest(_list(tmp_path / "a.csv", [{"video": "x/a.mp4"}, {"video": "y/a.mp4"}]))


def test_a_hundred_thousand_lines_are_read_in_one_go(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"video": f"s3://bucket/{n}.mp4", "views": n % 2} for n in range(100_000)]
    assert len(read_manifest(_list(tmp_path / "a.csv", rows))) == 100_000


def test_the_ledger_survives_a_line_that_was_cut_short(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.add([{"name": "a", "error": None}, {"name": "b", "error": "x"}])
    ledger.close()
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'{"name": "c", "err')
    again = Ledger(tmp_path / "ledger.jsonl")
    assert set(again.done) == {"a", "b"}
    again.add([{"name": "c", "error": None}])
    again.close()
    assert set(Ledger(tmp_path / "ledger.jsonl").done) == {"a", "b", "c"}


@pytest.mark.parametrize("text", ["3/3", "1", "-1/2", "a/b", "1/0"])
def test_shards_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="is no part"):
        read_shard(text)


def test_an_address_is_read_and_written_through_fsspec(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://bucket/in/clip.mp4", "wb") as file:
        file.write(b"pixels")
    with local_video("memory://bucket/in/clip.mp4") as path:
        assert path.name == "clip.mp4" and path.read_bytes() == b"pixels"
    assert not path.exists()
    (tmp_path / "result.json").write_text("{}")
    upload(tmp_path, ["result.json"], "memory://bucket/out/clip")
    assert fsspec.filesystem("memory").cat("/bucket/out/clip/result.json") == b"{}"
    with pytest.raises(InputError, match="cannot be fetched"), local_video("memory://bucket/none.mp4"):
        pass
    with pytest.raises(InputError, match="cannot be fetched"), local_video("nosuch://bucket/none.mp4"):
        pass


def test_a_clip_without_hands_costs_itself_only(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "empty.mp4", 30.0, 64, 48) as video:
        for _ in range(3):
            video.write(np.zeros((48, 64, 3), np.uint8))
    rows: list[dict[str, object]] = [{"video": tmp_path / name} for name in ("empty.mp4", "no.mp4")]
    lines = read_manifest(_list(tmp_path / "a.csv", rows))
    entries = run_chunk(Chunk("0", tuple(lines), tmp_path, {"workers": 1}), None)
    assert "No hand was found" in entries[0]["error"] and "There is no file" in entries[1]["error"]
    assert not list(tmp_path.glob("*.parquet"))


def test_a_restart_does_what_the_ledger_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hmpfit.manifest import work

    done: list[str] = []

    def fake(work_of, jobs, give_up, workers, devices=()):  # type: ignore[no-untyped-def]
        for chunk in jobs:
            done.extend(line.name for line in chunk.lines)
            yield [chunks._entry(line, "broken" if line.name == "c2" else None, 0.1, None) for line in chunk.lines]

    monkeypatch.setattr(work, "on_processes", fake)
    manifest = _list(tmp_path / "a.csv", [{"video": f"c{n}.mp4"} for n in range(5)])
    run = ManifestRun(tmp_path, {}, workers=1, chunk=2)
    (tmp_path / "hands-00000-000-000007.parquet").write_bytes(b"of a chunk that was cut short")
    entries = run_manifest(manifest, run, lambda left, before: None, lambda count: None)
    assert len(entries) == 5 and done == [f"c{n}" for n in range(5)]
    assert not list(tmp_path.glob("*.parquet"))
    told: list[tuple[int, int]] = []
    run_manifest(manifest, run, lambda left, before: told.append((left, before)), lambda count: None)
    assert told == [(1, 4)] and done[5:] == ["c2"]  # what failed is tried again


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_killed_worker_costs_its_clip_and_every_result_comes_once(tmp_path: Path, inputs: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    psutil = pytest.importorskip("psutil")
    source = open_clip(inputs / "clips" / "pinches.mp4", (0, 6))
    with VideoWriter(tmp_path / "clip.mp4", 30.0, source.width // 2, source.height // 2) as video:
        for _, image in source.images():
            video.write(np.ascontiguousarray(image[::2, ::2]))
    count = 12
    manifest = _list(tmp_path / "a.csv", [{"video": tmp_path / "clip.mp4", "name": f"c{n}"} for n in range(count)])
    command = [sys.executable, "-c", "from hmpfit.command_line.main import main; main()", "batch", "--manifest"]
    options = ["--solver", "none", "--views", "0", "--engine", engine, "--workers", "2", "--chunk", "3", "--json"]
    out = tmp_path / "out"
    with (tmp_path / "said.json").open("wb") as stdout:
        # Ray's workers are nice to others (15), so that on a busy machine they would get no time at all.
        environment = {**os.environ, "RAY_worker_niceness": "0"}
        process = subprocess.Popen([*command, str(manifest), "-o", str(out), *options], stdout=stdout, env=environment)
    try:
        _wait_until(lambda: len(_finished(out)) >= 5 or process.poll() is not None, out)
        assert process.poll() is None
        name = "ray::run_job" if engine == "ray" else "spawn_main"  # at work; Ray's idle ones are called otherwise
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [child for child in children if name in " ".join(child.cmdline())]
        os.kill(workers[-1].pid, signal.SIGKILL)
        _wait_until(lambda: process.poll() is not None, out)
    finally:
        process.kill()
    said = json.loads((tmp_path / "said.json").read_text())
    assert process.returncode == 0 and said["succeeded"] == count
    table = [pq.read_table(out / part).to_pylist() for part in said["parts"]]
    rows = Counter((row["clip"], row["hand_id"], row["frame"]) for part in table for row in part)
    assert set(rows.values()) == {1} and len({clip for clip, _, _ in rows}) == count
    assert {path.name for path in out.glob("hands-*.parquet")} == set(said["parts"])
