"""`hmpfit bench live`: rate and lag of the live fit, and its distance from the offline fit."""

from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError
from hmpfit.strict_json import to_json


@click.command()
@click.argument("video")
@click.option("--views", type=click.IntRange(min=0), metavar="N", help="As in `hmpfit live`; also of the offline fit.")
@click.option("--look-ahead", type=click.FloatRange(0.0, 2.0), metavar="S", help="As in `hmpfit live`.")
@click.option("--reckoned", is_flag=True, help="As two idle cores would play it, from CPU seconds.")
@click.option(
    "--offline",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A run of VIDEO to compare with (default: one is made).",
)
@click.option("--no-offline", is_flag=True, help="Compare with nothing.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def live(
    video: str, views: int | None, look_ahead: float | None, reckoned: bool, offline: Path | None, no_offline: bool,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Play VIDEO at its own pace and print frames kept, lag (median, 95 %) and the distance from the offline fit.

    --reckoned computes what two idle cores would do, however busy this machine is.
    """
    from hmpfit.bench.live_pace import distances_mm, play, reckon
    from hmpfit.live.session import LiveTools, live_settings
    from hmpfit.live.smoother import SmootherOptions
    from hmpfit.recipes.resolving import resolve_settings
    from hmpfit.video.live_source import LiveSource, kind_of_source

    if kind_of_source(video) != "file":
        raise InputError(f"'{video}' is no file; `hmpfit bench live` plays files, whose end is known.")
    if offline is not None and no_offline:
        raise InputError("Give --offline RUN or --no-offline, not both.")
    settings = live_settings(resolve_settings(views=views))
    options = SmootherOptions() if look_ahead is None else SmootherOptions(lookahead_s=look_ahead)
    with TerminalProgress(quiet) as progress:
        source = LiveSource(video)
        tools = LiveTools.load(settings, source.width, source.height, options)
        advance = progress.phase("playing", 1)
        played = reckon(source, tools) if reckoned else play(source, tools)
        advance(1)
        source.close()
        apart = None
        if not no_offline:
            apart = distances_mm(played.estimates, _offline(Path(video), offline, views, progress))
    content = _content(played, reckoned, apart)
    if as_json:
        click.echo(to_json(content))
    elif not quiet:
        _tell(content)


def _offline(video: Path, run: Path | None, views: int | None, progress: Any) -> Any:
    from hmpfit.pipeline.api import fit_to_record
    from hmpfit.results.npz import read_result

    if run is not None:
        return read_result(run / "result.npz" if run.is_dir() else run)
    return fit_to_record(video, progress=progress, views=views)


def _content(played: Any, reckoned: bool, apart: Any) -> dict[str, Any]:
    import numpy as np

    from hmpfit.live.statistics import lag_percentile

    counts = played.counts
    return {
        "reckoned": reckoned,
        "frames": counts.arrived,
        "kept": counts.kept,
        "fps": played.rate,
        "lag_s": {"median": lag_percentile(counts, 50), "p95": lag_percentile(counts, 95)},
        "cpu_s": played.cpu_s,
        "cpu_s_per_frame": sum(played.cpu_s.values()) / max(counts.known, 1),
        "offline_mm": None
        if apart is None or not len(apart)
        else {"mean": float(apart.mean()), "median": float(np.median(apart)), "p95": float(np.percentile(apart, 95))},
    }


def _tell(content: dict[str, Any]) -> None:
    how = "as two idle cores would" if content["reckoned"] else "at its own pace"
    click.echo(f"played {how}: {content['frames']} frames, {content['kept']:.1%} kept, {content['fps']:.1f} frames/s")
    lag = content["lag_s"]
    click.echo(f"lag: median {lag['median'] or 0:.2f} s, 95 % {lag['p95'] or 0:.2f} s")
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in content["cpu_s"].items())
    click.echo(f"CPU seconds: {parts}; {1e3 * content['cpu_s_per_frame']:.1f} ms a frame")
    if content["offline_mm"] is not None:
        far = content["offline_mm"]
        click.echo(
            f"joints as seen from the wrist, beside the offline fit: mean {far['mean']:.1f} mm, median "
            f"{far['median']:.1f}, 95 % {far['p95']:.1f}"
        )
