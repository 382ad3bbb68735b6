"""`hmpfit bench pipeline`: whole runs, timed from outside, on a given clip and on generated ones."""

import tempfile
from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import device_option, json_option
from hmpfit.errors import InputError
from hmpfit.strict_json import to_json

LENGTHS_S = "10,30,120"


@click.command()
@click.argument("video", required=False, type=click.Path(path_type=Path))
@click.option("--lengths", default=LENGTHS_S, show_default=True, metavar="S,S,...", help="Generated clips, seconds.")
@click.option("--no-generated", is_flag=True, help="Measure VIDEO alone.")
@click.option("--times", type=click.IntRange(min=2), metavar="N", help="Also VIDEO played to and fro, N times as long.")
@click.option("--views", type=click.IntRange(min=0), metavar="N", help="As in `hmpfit run`.")
@device_option
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def pipeline(
    video: Path | None, lengths: str, no_generated: bool, times: int | None, views: int | None, device: str,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Time `hmpfit run` on VIDEO and on generated clips: seconds and CPU seconds a phase, the share of the cores
    that is busy, peak memory, growth with length.

    CPU seconds tell more than wall seconds where other work shares the machine.
    """
    from hmpfit.bench.pipeline_speed import lengthened, linearity, make_lengths, time_run

    seconds = [] if no_generated else _lengths(lengths)
    if video is None and (times or not seconds):
        raise InputError("There is nothing to measure; give a VIDEO, or leave --no-generated and --times out.")
    options = ["--device", device, *(["--views", str(views)] if views is not None else [])]
    with tempfile.TemporaryDirectory(prefix="hmpfit-bench-") as folder, TerminalProgress(quiet) as progress:
        if video is not None and not video.exists():
            raise InputError(f"There is no file or folder '{video}'; give the path of a video.")
        progress.phase("making clips", 1)
        given = [video] if video is not None else []
        if video is not None and times:
            given.append(lengthened(video, Path(folder), times))
        made = make_lengths(Path(folder), seconds) if seconds else []
        advance = progress.phase("timing runs", len(given) + len(made))
        timings = []
        for clip in (*given, *made):
            timings.append(time_run(clip, options))
            advance(1)
    content = {
        "clips": [_plain(timing) for timing in timings],
        "linearity": {"given": linearity(timings[: len(given)]), "generated": linearity(timings[len(given) :])},
        "machine": _machine(),
    }
    if as_json:
        click.echo(to_json(content))
    elif not quiet:
        _print_summary(content)


def _lengths(text: str) -> list[float]:
    try:
        lengths = [float(part) for part in text.split(",")]
    except ValueError:
        lengths = []
    if not lengths or min(lengths) < 1:
        raise InputError(f"--lengths {text} is no list of seconds, each at least 1; write such as {LENGTHS_S}.")
    return lengths


def _plain(timing: Any) -> dict[str, Any]:
    return {
        **vars(timing),
        "wall_over_duration": timing.wall_over_duration,
        "fit_share": timing.fit_share,
        "overlap": timing.overlap,
    }


def _machine() -> dict[str, Any]:
    import platform

    from hmpfit.process_copies import usable_cores

    return {"cores": usable_cores(), "processor": platform.processor() or platform.machine()}


def _print_summary(content: dict[str, Any]) -> None:
    from rich.table import Table

    from hmpfit.command_line.literal import literal_console

    title = f"Whole runs on {content['machine']['cores']} cores, wall seconds and below them CPU seconds"
    table = Table(title=title, title_justify="left")
    phases = list(content["clips"][0]["seconds"])
    for heading in ("clip", "video", *phases, "all", "all/video", "busy", "peak MB"):
        table.add_column(heading, justify="left" if heading == "clip" else "right")
    for clip in content["clips"]:
        wall, cpu = ([clip[kind].get(phase, 0.0) for phase in phases] for kind in ("seconds", "cpu_seconds"))
        ends = [f"{clip['wall_over_duration']:.2f}", f"{clip['overlap']:.0%}", f"{clip['peak_mb']:.0f}"]
        table.add_row(clip["name"], *(f"{value:.1f}" for value in (clip["video_s"], *wall, clip["wall_s"])), *ends)
        table.add_row("", "CPU", *(f"{value:.1f}" for value in (*cpu, clip["cpu_s"])))
    literal_console(width=120).print(table)
    for name, growth in content["linearity"].items():
        if growth:
            click.echo(
                f"{name} clips, longest to shortest: time a second of video without start-up x {growth['time']:.2f}, "
                f"memory x {growth['memory']:.2f}"
            )
