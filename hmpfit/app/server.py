"""The routes of the local page: upload, state, results, exports, 3D view. HTML and script are files beside this one."""

import functools
import shutil
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from hmpfit.app.access import Gate
from hmpfit.app.choices import clean_title, file_name, folder_name, read_choices
from hmpfit.app.downloads import OWN_FILES, export, formats
from hmpfit.app.jobs import DONE, FitJob, JobQueue
from hmpfit.app.viewers import JobViewer
from hmpfit.errors import HmpfitError, InputError

_PAGE = {"/": ("page.html", "text/html"), "/app.js": ("app.js", "text/javascript"), "/app.css": ("app.css", "text/css")}
_MIB = 1 << 20
_LEAST_FREE = 512 * _MIB  # that an upload must leave on the disk

Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class FitServer:
    """The page's state: its queue, its folder, its limits."""

    folder: Path
    queue: JobQueue
    host: str
    port: int
    key: str
    most_mib: int
    viewer: JobViewer = field(init=False)

    def __post_init__(self) -> None:
        self.viewer = JobViewer(self.host, self.port)

    def app(self) -> Gate:
        """Return the ASGI application."""
        own = [Route(path, functools.partial(_own_file, *what)) for path, what in _PAGE.items()]
        job = "/jobs/{job}"
        routes = [
            Route("/formats", self._formats),
            Route("/jobs", self._list),
            Route("/jobs", self._upload, methods=["POST"]),
            Route(job, self._remove, methods=["DELETE"]),
            Route(f"{job}/cancel", self._cancel, methods=["POST"]),
            Route(f"{job}/told", self._told),
            Route(f"{job}/view", self._view, methods=["POST"]),
            Route(f"{job}/exports", self._export, methods=["POST"]),
            Route(job + "/exports/{path:path}", self._download),
            Route(job + "/files/{file}", self._file),
        ]
        inner = Starlette(routes=[*own, *routes], exception_handlers={HmpfitError: _sentence, HTTPException: _sentence})
        return Gate(inner, self.key, self.host)

    def close(self) -> None:
        """End the job that runs and the 3D view."""
        self.queue.close()
        self.viewer.close()

    async def _formats(self, _: Request) -> Response:
        return JSONResponse({"formats": [asdict(one) for one in formats()], "most_mib": self.most_mib})

    async def _list(self, _: Request) -> Response:
        return JSONResponse([self._state(job) for job in self.queue.all()])

    def _state(self, job: FitJob) -> dict[str, Any]:
        told = ("id", "title", "state", "phase", "done", "total", "warnings", "error", "seconds")
        return {**{name: getattr(job, name) for name in told}, "ahead": self.queue.ahead_of(job)}

    async def _upload(self, request: Request) -> Response:
        """Take a video as the request's body; the form's values are in the query."""
        title = clean_title(request.query_params.get("name", ""))
        choices = read_choices(request.query_params)
        self.queue.check_room()
        job = FitJob(title, Path(), Path(), choices)
        job.folder = self.folder / f"{folder_name(title)}-{job.id}"
        job.video = job.folder / file_name(title)
        try:
            await self._receive(request, job.video)
            self.queue.submit(job)
        except BaseException:
            shutil.rmtree(job.folder, ignore_errors=True)
            raise
        return JSONResponse(self._state(job), 201)

    async def _receive(self, request: Request, file: Path) -> None:
        """Write the request's body to a file. Raises HTTPException 413 past the limit, InputError without a file."""
        limit = self.most_mib * _MIB
        too_large = HTTPException(413, f"The file is larger than {self.most_mib} MiB; hmpfit app --max-upload sets it.")
        declared = request.headers.get("content-length", "0")
        if not declared.isdigit() or int(declared) > limit:
            raise too_large
        file.parent.mkdir(parents=True)
        if shutil.disk_usage(file.parent).free - int(declared) < _LEAST_FREE:
            raise InputError("The disk is nearly full; free some space, or start hmpfit app with another --out.")
        got = 0
        try:
            with file.open("wb") as out:
                async for piece in request.stream():
                    got += len(piece)
                    if got > limit:
                        raise too_large
                    await run_in_threadpool(out.write, piece)
        except ClientDisconnect as error:
            raise InputError("The upload broke off.") from error
        if not got:
            raise InputError("The file is empty.")

    async def _cancel(self, request: Request) -> Response:
        job = self._job(request)
        self.queue.cancel(job)
        return JSONResponse(self._state(job))

    async def _remove(self, request: Request) -> Response:
        job = self._job(request)
        self.viewer.close(job.id)
        await run_in_threadpool(self.queue.remove, job)
        return JSONResponse({})

    async def _told(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(_what_a_run_found, self._job(request, DONE)))

    async def _view(self, request: Request) -> Response:
        port, key = await run_in_threadpool(self.viewer.show, self._job(request, DONE))
        return JSONResponse({"port": port, "key": key})

    async def _export(self, request: Request) -> Response:
        job = self._job(request, DONE)
        name = request.query_params.get("format", "")
        file = await run_in_threadpool(export, job, name)
        return JSONResponse({"file": str(file.relative_to(job.folder / "exports"))})

    async def _download(self, request: Request) -> Response:
        """Send a file below the job's exports."""
        home = (self._job(request, DONE).folder / "exports").resolve()
        file = (home / request.path_params["path"]).resolve()
        if home not in file.parents or not file.is_file():
            raise HTTPException(404, "There is no such file.")
        return FileResponse(file, filename=file.name)

    async def _file(self, request: Request) -> Response:
        job, name = self._job(request, DONE), request.path_params["file"]
        if name not in OWN_FILES or not (job.run / name).is_file():
            raise HTTPException(404, "There is no such file.")
        page = {"Content-Security-Policy": "sandbox allow-scripts; frame-ancestors 'none'"}
        saved = f"{folder_name(job.title)}_{name}" if "save" in request.query_params else None
        return FileResponse(job.run / name, filename=saved, headers=page if name.endswith(".html") else None)

    def _job(self, request: Request, state: str | None = None) -> FitJob:
        job = self.queue.get(request.path_params["job"])
        if job is None or (state is not None and job.state != state):
            raise HTTPException(404, "There is no such job, or it is not finished.")
        return job


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises InputError when host or port cannot be used."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"This machine cannot listen on '{host}', port {port} ({error}); choose others with --host and --port."
        ) from error
    return opened


def _what_a_run_found(job: FitJob) -> dict[str, Any]:
    from hmpfit.results.npz import read_result
    from hmpfit.viewing.report import read_run_summary
    from hmpfit.viewing.warnings import cautions

    stored, summary = read_result(job.run), read_run_summary(job.run)
    times_s = stored.tracks.times_s - stored.tracks.times_s[0]
    return {
        "still": bool(summary.get("still")),
        "frames": summary["frames"],
        "hands": [
            {key: hand.get(key) for key in ("name", "detected", "interpolated", "extrapolated")}
            for hand in summary["hands"]
        ],
        "warnings": [
            {"sentence": one.sentence, "time_s": None if one.frames is None else float(times_s[one.frames[0]])}
            for one in cautions(stored, summary)
        ],
        "files": [name for name in OWN_FILES if (job.run / name).is_file()],
    }


async def _own_file(name: str, kind: str, _: Request) -> Response:
    return Response(Path(__file__).with_name(name).read_text(encoding="utf-8"), media_type=kind)


async def _sentence(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 422
    text = error.detail if isinstance(error, HTTPException) else str(error)
    return JSONResponse({"error": text}, status)
