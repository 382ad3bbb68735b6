"""`hmpfit view`: open a run, or two of one video, in 3D in a browser."""

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmpfit.command_line.options import hand_model_option
from hmpfit.command_line.standard_error import say

if TYPE_CHECKING:
    from hmpfit.viewing.viewer import OtherRun


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path), required=False)
@click.option(
    "--video", type=click.Path(path_type=Path), help="The video, if it lies elsewhere than when it was fitted."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; 0.0.0.0 lets other machines see page and video, with the printed key.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@hand_model_option("The hand model that the results were fitted with.")
def view(result: Path, second: Path | None, video: Path | None, host: str, port: int, hand_model: str) -> None:
    """Serve RESULT (a run folder or its result.npz) as an interactive 3D page; Ctrl-C ends it.

    With SECOND, another run of the same video, both are shown, side by side or over each other.
    """
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it, not an accident
        _serve(result, second, video, host, port, hand_model)


def _serve(result: Path, second: Path | None, video: Path | None, host: str, port: int, hand_model: str) -> None:
    from hmpfit.results.matching import read_with_model
    from hmpfit.viewing.viewer import Viewer

    stored, models = read_with_model(result, hand_model)
    summary = _summary(result)
    known = video or (Path(summary["video"]) if "video" in summary else None)
    if known is not None and video is None and not known.exists():
        say(f"hmpfit: '{known}' is gone; the frustum stays empty (give --video).")
        known = None
    first, mirrored = int(summary.get("first_frame", 0)), bool(summary.get("mirrored"))
    other = None if second is None else _other(second, hand_model)
    with contextlib.redirect_stdout(io.StringIO()):  # viser announces itself with other addresses
        viewer = Viewer(stored, models, known, first, port, mirrored, host, other)
    try:
        if viewer.open_to_others:
            say(f"hmpfit: listening on {host}: other machines can open the page with this address.")
        click.echo(f"{viewer.address} (Ctrl-C ends it)")
        viewer.play_until_closed()
    finally:
        with contextlib.redirect_stdout(io.StringIO()):  # as above
            viewer.close()


def _summary(result: Path) -> dict[str, Any]:
    from hmpfit.viewing.report import read_run_summary

    return read_run_summary(result) if result.is_dir() else {}


def _other(second: Path, hand_model: str) -> "OtherRun":
    from hmpfit.results.matching import read_with_model
    from hmpfit.viewing.viewer import OtherRun

    stored, _ = read_with_model(second, hand_model)
    return OtherRun(stored, int(_summary(second).get("first_frame", 0)), second.resolve().name)
