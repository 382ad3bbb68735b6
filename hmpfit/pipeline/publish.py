"""The last step: `result.npz`, overlay, `result.json` and report, put into the run folder together."""

import time
from typing import Any

from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.interfaces.context import RunContext
from hmpfit.pipeline.timing import Timings, count_from_total
from hmpfit.records import FitResult, Floats, KeypointTracks
from hmpfit.results.npz import write_result
from hmpfit.results.summary import summarize, write_summary
from hmpfit.run_folder import RunFolder
from hmpfit.viewing.overlay import write_overlay, write_overlay_picture
from hmpfit.viewing.report import write_report


def publish(
    context: RunContext, folder: RunFolder, result: FitResult, hidden_px: Floats | None, timings: Timings
) -> dict[str, Any]:
    """Write the results of a run and return the content of `result.json`."""
    clip = context.clip
    with folder.publish() as scratch:
        write_result(scratch / "result.npz", result)
        with timings.of("render"):
            if clip.still:
                write_overlay_picture(scratch / "overlay.jpg", clip, result, context.models)
            else:
                report = count_from_total(context.progress, "drawing the overlay")
                write_overlay(scratch / "overlay.mp4", clip, result, context.models, on_frame=report)
        timings.seconds["total"] = time.perf_counter() - timings.began
        summary = summarize(result, clip.fps, timings.seconds, hidden_px)
        write_summary(scratch / "result.json", summary)
        write_report(scratch)
    return summary


def hidden_of_result(hidden_px: Floats, tracks: KeypointTracks, result: FitResult) -> Floats:
    """Return landmarks of the withheld frames by the result's hands, which may be others than the detector's."""
    rows = match_hands(tracks.xy_px, tracks.is_right, result.tracks.xy_px, result.motion.is_right)
    return pick_hands(hidden_px, rows)
