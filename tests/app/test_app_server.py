"""The local page's queue and its gate: one job at a time, cancel, limits, and nobody but the page itself gets in."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")

from hmpfit.app.access import refused  # noqa: E402
from hmpfit.app.choices import clean_title, file_name, folder_name, read_choices  # noqa: E402
from hmpfit.app.downloads import formats  # noqa: E402
from hmpfit.app.jobs import CANCELED, DONE, FAILED, MOST_WAITING, RUNNING, WAITING, FitJob, JobQueue  # noqa: E402
from hmpfit.app.server import FitServer, listening_socket  # noqa: E402
from hmpfit.errors import HmpfitError, InputError  # noqa: E402
from tests.app.app_work import by_title  # noqa: E402

KEY = "key-of-tests"


def until(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    opened = JobQueue(by_title)
    yield opened
    opened.close()


def job(folder: Path, title: str) -> FitJob:
    made = FitJob(title, folder / title, folder / title / "video.mp4", {})
    made.folder.mkdir()
    return made


def test_jobs_are_done_one_after_another_and_a_dead_one_stops_nothing(queue: JobQueue, tmp_path: Path) -> None:
    jobs = [job(tmp_path, title) for title in ("fails.mp4", "dies.mp4", "works.mp4")]
    for one in jobs:
        queue.submit(one)
    assert jobs[2].state == WAITING and queue.ahead_of(jobs[2]) == 2
    until(lambda: jobs[2].state == DONE)
    assert [one.state for one in jobs] == [FAILED, FAILED, DONE]
    assert jobs[0].error == "No hand was found." and jobs[0].warnings == ["it looks bad"]
    assert "without a word" in jobs[1].error
    assert (jobs[2].run / "result.json").is_file() and (jobs[2].phase, jobs[2].done, jobs[2].total) == ("working", 1, 4)


def test_cancel_ends_the_process_and_deletes_the_files(queue: JobQueue, tmp_path: Path) -> None:
    running, waiting, last = (job(tmp_path, title) for title in ("long.mp4", "long too.mp4", "works.mp4"))
    for one in (running, waiting, last):
        queue.submit(one)
    until(lambda: running.state == RUNNING and running.phase == "working")
    queue.cancel(waiting)
    assert waiting.state == CANCELED and not waiting.folder.exists()
    queue.cancel(running)
    until(lambda: last.state == DONE)  # the job that was running would sleep for longer than this waits
    assert running.state == CANCELED and not running.folder.exists()
    queue.remove(last)
    assert queue.get(last.id) is None and not last.folder.exists()


def test_the_queue_has_an_end(queue: JobQueue, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wait already"):
        for number in range(MOST_WAITING + 2):
            queue.submit(job(tmp_path, f"long{number}"))


@pytest.mark.parametrize(
    ("headers", "method", "fine"),
    [
        ({"host": "127.0.0.1:80"}, "GET", True),
        ({"host": "localhost:80"}, "GET", True),
        ({"host": "[::1]:80"}, "GET", True),
        ({"host": "rebound.example:80"}, "GET", False),
        ({"host": ""}, "GET", False),
        ({"host": "127.0.0.1:80", "origin": "http://127.0.0.1:80"}, "POST", True),
        ({"host": "127.0.0.1:80", "origin": "http://127.0.0.1:80", "sec-fetch-site": "same-origin"}, "POST", True),
        ({"host": "127.0.0.1:80", "origin": "http://127.0.0.1:80", "sec-fetch-site": "cross-site"}, "POST", False),
        ({"host": "127.0.0.1:80", "origin": "http://127.0.0.1:81"}, "POST", False),
        ({"host": "127.0.0.1:80", "origin": "null"}, "POST", False),
        ({"host": "127.0.0.1:80"}, "POST", False),
        ({"host": "127.0.0.1:80", "origin": "https://evil.example"}, "DELETE", False),
    ],
)
def test_only_the_page_itself_may_change_something(headers: dict[str, str], method: str, fine: bool) -> None:
    assert (refused(headers, method, "127.0.0.1") is None) == fine


class Served:
    """A server in a thread, and requests as a browser would send them."""

    def __init__(self, folder: Path, most_mib: int = 1) -> None:
        self.socket = listening_socket("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        self.served = FitServer(folder, JobQueue(by_title), "127.0.0.1", self.port, KEY, most_mib)
        config = uvicorn.Config(self.served.app(), log_config=None, lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()
        until(lambda: self.server.started)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        self.served.close()
        self.socket.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        own = {"Cookie": f"hmpfit_key_{self.port}={KEY}", "Origin": f"http://127.0.0.1:{self.port}"}
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            asked.request(method, path, body, {**own, **headers})
            answer = asked.getresponse()
            content = answer.read()
        finally:
            asked.close()
        kind = answer.headers.get("content-type", "")
        told = json.loads(content) if kind.startswith("application/json") else content.decode()
        return answer.status, told, {name.lower(): value for name, value in answer.headers.items()}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    opened = Served(tmp_path)
    yield opened
    opened.close()


def test_the_key_opens_the_page_and_nothing_else_does(served: Served) -> None:
    for path in ("/", "/jobs", "/app.js", "/nothing"):
        assert served.ask("GET", path, Cookie="")[0] == 403
    assert served.ask("GET", "/?key=wrong", Cookie="")[0] == 403
    status, _, headers = served.ask("GET", "/?key=key-of-tests", Cookie="")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=strict" in headers["set-cookie"]
    status, page, headers = served.ask("GET", "/")
    assert status == 200 and "Drop a video" in page and KEY not in page
    assert "default-src 'none'" in headers["content-security-policy"] and "unsafe" not in str(headers)
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert served.ask("POST", "/jobs?name=x.mp4", b"x", Origin="http://evil.example")[0] == 403
    assert served.ask("GET", "/jobs", Host="rebound.example")[0] == 403
    assert served.ask("GET", "/jobs")[1] == []


def test_uploads_have_a_limit_and_a_folder(served: Served, tmp_path: Path) -> None:
    status, told, _ = served.ask("POST", "/jobs?name=large.mp4", b"\0" * ((1 << 20) + 1))
    assert status == 413 and "1 MiB" in told["error"]
    pieces = iter([b"\0" * (1 << 19)] * 3)  # without a length, as a hostile client would
    assert served.ask("POST", "/jobs?name=large.mp4", pieces)[0] == 413
    assert served.ask("POST", "/jobs?name=empty.mp4", b"")[1] == {"error": "The file is empty."}
    status, told, _ = served.ask("POST", "/jobs?name=a.mp4&frames=9:3", b"x")
    assert status == 422 and "A:B" in told["error"]
    assert list(tmp_path.iterdir()) == []
    status, told, _ = served.ask("POST", "/jobs?name=..%2F..%2Fup%5B1%5D.MP4", b"x")
    assert status == 201 and told["title"] == "up[1].MP4"
    (folder,) = tmp_path.iterdir()
    assert (folder / "video.mp4").read_bytes() == b"x"


def test_a_job_from_upload_to_deletion(served: Served, tmp_path: Path) -> None:
    _, told, _ = served.ask("POST", "/jobs?name=works.mp4", b"x")
    name = f"/jobs/{told['id']}"
    until(lambda: served.ask("GET", "/jobs")[1][0]["state"] == DONE)
    assert served.ask("GET", f"{name}/files/result.json")[1] == {}
    for path in ("settings.json", "..%2Fvideo.mp4", "%2e%2e/video.mp4"):
        assert served.ask("GET", f"{name}/files/{path}")[0] == 404
    for path in ("../run/result.json", "%2e%2e/video.mp4", "..%2fvideo.mp4", "/etc/passwd"):
        assert served.ask("GET", f"{name}/exports/{path}")[0] == 404
    status, told, _ = served.ask("POST", f"{name}/exports?format=../x")
    assert status == 422 and "no format" in told["error"]
    assert served.ask("POST", f"{name}/exports?format=glb")[0] == 422  # this stand-in's run has no result.npz
    assert served.ask("DELETE", name)[0] == 200 and list(tmp_path.iterdir()) == []
    assert served.ask("POST", f"{name}/cancel")[0] == 404
    _, told, _ = served.ask("POST", "/jobs?name=long.mp4", b"x")
    until(lambda: served.ask("GET", "/jobs")[1][0]["phase"] == "working")
    assert served.ask("POST", f"/jobs/{told['id']}/cancel")[1]["state"] == CANCELED


def test_choices_name_no_file_of_this_machine() -> None:
    chosen = read_choices(
        {"hands": "both", "camera": "static", "mirrored": "true", "frames": "3:9", "hand_size": "185"}
    )
    assert chosen == {
        "hands": "both", "camera_motion": "static", "mirrored": True, "frames": (3, 9), "hand_size_mm": 185.0,
    }  # fmt: skip
    assert read_choices({"intrinsics": "600, 600, 320, 240"})["intrinsics"] == "600,600,320,240"
    for wrong in ({"intrinsics": "/etc/passwd"}, {"camera": "file:/etc/passwd"}, {"hands": "three"},
                  {"hand_size": "1"}, {"hand_size": "x"}, {"frames": "1"}):  # fmt: skip
        with pytest.raises(HmpfitError):
            read_choices(wrong)


def test_names_are_kept_to_what_a_disk_takes() -> None:
    assert clean_title("C:\\a\\take[red]\n.mp4") == "take[red].mp4"
    assert folder_name("../../e vil;$(x).mp4") == "e_vil_x"
    assert folder_name("....") == "video" and file_name("x.M P") == "video" and file_name("x.MOV") == "video.mov"


def test_every_export_is_offered_but_the_one_that_needs_a_body() -> None:
    from hmpfit import registry

    offered = {one.name.partition(":")[0] for one in formats()}
    assert offered == set(registry.names("exporters")) - {"smplx", "npz"}
    assert all(one.title != one.name for one in formats())


def test_a_busy_port_is_one_sentence() -> None:
    with listening_socket("127.0.0.1", 0) as busy:
        busy.listen()
        with pytest.raises(InputError, match="choose others with --host and --port"):
            listening_socket("127.0.0.1", busy.getsockname()[1])


def test_the_command_serves_until_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hmpfit", "app", "--port", "8795", "-o", str(tmp_path / "jobs")]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    try:
        assert served.stdout is not None
        address = served.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:8795/?key=")
        until(lambda: _status("127.0.0.1", 8795) == 403)  # without the key
        served.send_signal(signal.SIGINT)
        said, complained = served.communicate(timeout=60)
    finally:
        served.kill()
    assert served.returncode == 0 and "Traceback" not in said + complained and "resume" not in complained


def _status(host: str, port: int) -> int | None:
    asked = http.client.HTTPConnection(host, port, timeout=5)
    try:
        asked.request("GET", "/")
        return asked.getresponse().status
    except OSError:
        return None
    finally:
        asked.close()
