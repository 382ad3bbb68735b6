"""`hmpfit view`: open a run in 3D in a browser."""

import contextlib
import io
from pathlib import Path

import click

from hmpfit.command_line.options import hand_model_option
from hmpfit.command_line.standard_error import say


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--video", type=click.Path(path_type=Path), help="The video, if it lies elsewhere than when it was fitted."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; 0.0.0.0 lets other machines see the page and the video.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@hand_model_option("The hand model that the result was fitted with.")
def view(result: Path, video: Path | None, host: str, port: int, hand_model: str) -> None:
    """Serve RESULT (a run folder or its result.npz) as an interactive 3D page; Ctrl-C ends it."""
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it, not an accident
        _serve(result, video, host, port, hand_model)


def _serve(result: Path, video: Path | None, host: str, port: int, hand_model: str) -> None:
    from hmpfit.results.matching import read_with_model
    from hmpfit.viewing.report import read_run_summary
    from hmpfit.viewing.viewer import Viewer

    stored, models = read_with_model(result, hand_model)
    summary = read_run_summary(result) if result.is_dir() else {}
    known = video or (Path(summary["video"]) if "video" in summary else None)
    if known is not None and video is None and not known.exists():
        say(f"hmpfit: '{known}' is gone; the frustum stays empty (give --video).")
        known = None
    first, mirrored = int(summary.get("first_frame", 0)), bool(summary.get("mirrored"))
    with contextlib.redirect_stdout(io.StringIO()):  # viser announces itself with other addresses
        viewer = Viewer(stored, models, known, first, port, mirrored, host)
    try:
        if viewer.open_to_others:
            say(f"hmpfit: listening on {host}: other machines can open the page, and it asks for no password.")
        click.echo(f"{viewer.address} (Ctrl-C ends it)")
        viewer.play_until_closed()
    finally:
        viewer.close()
