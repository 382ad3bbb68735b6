"""`hmpfit overlay`: draw the overlay of a finished run again, in any layout."""

from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.options import hand_model_option, layout_option
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError
from hmpfit.files.structured import read_json_table
from hmpfit.strict_json import to_json


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@layout_option
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="[RESULT/overlay.mp4 or .jpg]")
@click.option(
    "--video", type=click.Path(path_type=Path), help="The video, if it lies elsewhere than when it was fitted."
)
@hand_model_option("The hand model that the result was fitted with.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress; errors only.")
def overlay(
    result: Path, layout: str, out: Path | None, video: Path | None, hand_model: str, as_json: bool, quiet: bool
) -> None:
    """Draw the hands of RESULT (a run folder) over its video again, without fitting again."""
    from hmpfit.front_door import read_result
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.viewing.overlay import write_overlay, write_overlay_picture

    if not result.is_dir():
        raise InputError(f"'{result}' is not a run folder; give the folder that hmpfit run wrote.")
    found, models = read_result(result, hand_model), load_hand_models(hand_model)
    told = found.provenance
    file = out or result / ("overlay.jpg" if told.get("still") else "overlay.mp4")
    if file.is_dir() or file.suffix != (".jpg" if told.get("still") else ".mp4"):
        raise InputError(f"'{file}' is no name for a {'.jpg' if told.get('still') else '.mp4'} file; give -o FILE.")
    clip = _clip(result, told, video, len(found.tracks.times_s))
    with TerminalProgress(quiet) as progress:
        if told.get("still"):
            write_overlay_picture(file, clip, found, models, layout)
        else:
            advance = progress.phase("drawing the overlay", clip.frames)
            write_overlay(file, clip, found, models, on_frame=lambda done, total: advance(), layout=layout)
    if as_json:
        click.echo(to_json({"overlay": str(file), "layout": layout}))
    elif not quiet:
        click.echo(str(file))


def _clip(result: Path, told: dict[str, Any], video: Path | None, frames: int) -> Any:
    """Open the frames of the video that a run was made from. Raises InputError when they are gone or others."""
    from hmpfit.video.clip import open_clip

    known = video or Path(str(told.get("video", "")))
    if not known.exists() or known == Path():
        raise InputError(f"The video '{known}' is gone; give --video.")
    first = int(told.get("first_frame") or 0)
    settings = result / "settings.json"
    fps = (read_json_table(settings).get("settings") or {}).get("fps") if settings.is_file() else None
    chosen = None if told.get("still") else (first, first + frames)
    clip = open_clip(known, chosen, None, fps, bool(told.get("mirrored")))
    if clip.frames != frames:
        raise InputError(f"'{known}' has {clip.frames} of the run's {frames} frames; give --video.")
    return clip
