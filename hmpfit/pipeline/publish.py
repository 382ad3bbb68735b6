"""The last step: `result.npz`, overlay, `result.json` and report, put into the run folder together."""

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hmpfit.files.opening import reason_of
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.interfaces.context import RunContext
from hmpfit.pipeline.timing import Timings
from hmpfit.progress import count_from_total
from hmpfit.records import FitRecord, Floats, KeypointTracks
from hmpfit.results.npz import write_result
from hmpfit.results.summary import summarize, write_summary
from hmpfit.run_folder import RunFolder
from hmpfit.viewing.overlay import write_overlay, write_overlay_picture
from hmpfit.viewing.report import write_report

log = logging.getLogger("hmpfit")


def publish(
    context: RunContext, folder: RunFolder, result: FitRecord, hidden_px: Floats | None, timings: Timings
) -> dict[str, Any]:
    """Write the results of a run and return the content of `result.json`."""
    clip, layout = context.clip, context.settings.layout
    with folder.publish() as scratch:
        write_result(scratch / "result.npz", result)
        missing: dict[str, str] = {}
        with timings.of("render"):
            if clip.still:
                with _optional("overlay.jpg", missing, scratch):
                    write_overlay_picture(scratch / "overlay.jpg", clip, result, context.models, layout)
            else:
                with _optional("overlay.mp4", missing, scratch):
                    report = count_from_total(context.progress, "drawing the overlay")
                    write_overlay(
                        scratch / "overlay.mp4", clip, result, context.models, on_frame=report, layout=layout,
                        workers=context.settings.workers,
                    )  # fmt: skip
        timings.seconds["total"] = time.perf_counter() - timings.began
        summary = summarize(result, clip.fps, timings.seconds, hidden_px, timings.cpu_seconds)
        write_summary(scratch / "result.json", {**summary, **({"missing": missing} if missing else {})})
        with _optional("report.html", missing, scratch):
            write_report(scratch)
        if missing:
            summary = {**summary, "missing": missing}
            write_summary(scratch / "result.json", summary)
    return summary


@contextmanager
def _optional(name: str, missing: dict[str, str], scratch: Path) -> Iterator[None]:
    """Let a run keep its result when a picture of it fails; the summary's `missing` names it and the reason.

    A full or shut disk is no such case: it would take the result too.
    """
    try:
        yield
    except Exception as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            raise
        missing[name] = reason_of(error)
        log.warning("%s is missing: %s", name, missing[name])
        (scratch / name).unlink(missing_ok=True)


def hidden_of_result(hidden_px: Floats, tracks: KeypointTracks, result: FitRecord) -> Floats:
    """Return landmarks of the withheld frames by the result's hands, which may be others than the detector's."""
    rows = match_hands(tracks.xy_px, tracks.is_right, result.tracks.xy_px, result.motion.is_right)
    return pick_hands(hidden_px, rows)
