"""The 3D view of the local page: one viser server at a time, for the job that was opened last."""

import contextlib
import io
import threading

from hmpfit.app.jobs import FitJob
from hmpfit.viewing.viewer import Viewer

_LAST_PORT = 65535


class JobViewer:
    """Shows finished jobs in 3D, one at a time."""

    def __init__(self, host: str, page_port: int) -> None:
        """Listen on `host`, on the port after the page's or the next free one."""
        self._host, self._page_port = host, page_port
        self._lock = threading.Lock()
        self._shown: tuple[str, Viewer] | None = None

    def show(self, job: FitJob) -> tuple[int, str]:
        """Return port and key of the view of a job; the one before is closed. Raises MissingExtraError, InputError."""
        from hmpfit.results.matching import read_with_model
        from hmpfit.viewing.report import read_run_summary

        with self._lock:
            if self._shown is not None and self._shown[0] == job.id:
                return self._shown[1].port, self._shown[1].key
            self._close()
            stored, models = read_with_model(job.run, "open")
            summary = read_run_summary(job.run)
            first, mirrored = int(summary.get("first_frame", 0)), bool(summary.get("mirrored"))
            with contextlib.redirect_stdout(io.StringIO()):  # viser announces itself with other addresses
                viewer = Viewer(
                    stored, models, job.video, first, min(self._page_port + 1, _LAST_PORT), mirrored, self._host,
                    frame_port=self._page_port,
                )  # fmt: skip
            threading.Thread(target=viewer.play_until_closed, name="hmpfit view", daemon=True).start()
            self._shown = (job.id, viewer)
            return viewer.port, viewer.key

    def close(self, job: str | None = None) -> None:
        """Close the view, of a certain job only if one is given."""
        with self._lock:
            if self._shown is not None and job in (None, self._shown[0]):
                self._close()

    def _close(self) -> None:
        if self._shown is not None:
            self._shown[1].close()
        self._shown = None
