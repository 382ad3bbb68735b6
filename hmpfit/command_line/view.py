"""`hmpfit view`: open a run in 3D in a browser."""

from pathlib import Path

import click

from hmpfit.command_line.options import hand_model_option


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--video", type=click.Path(path_type=Path), help="The video, if it lies elsewhere than when it was fitted."
)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@hand_model_option("The hand model that the result was fitted with.")
def view(result: Path, video: Path | None, port: int, hand_model: str) -> None:
    """Serve RESULT (a run folder or its result.npz) as an interactive 3D page; Ctrl-C ends it."""
    from hmpfit.results.matching import read_with_model
    from hmpfit.viewing.report import read_run_summary
    from hmpfit.viewing.viewer import Viewer

    stored, models = read_with_model(result, hand_model)
    summary = read_run_summary(result) if result.is_dir() else {}
    known = video or (Path(summary["video"]) if "video" in summary else None)
    if known is not None and video is None and not known.exists():
        click.echo(f"hmpfit: '{known}' is gone; the frustum stays empty (give --video).", err=True)
        known = None
    viewer = Viewer(stored, models, known, int(summary.get("first_frame", 0)), port, bool(summary.get("mirrored")))
    click.echo(f"http://localhost:{viewer.port} (Ctrl-C ends it)")
    try:
        viewer.play_forever()
    finally:
        viewer.close()
