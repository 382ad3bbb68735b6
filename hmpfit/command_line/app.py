"""`hmpfit app`: the local page on which videos are dropped and results taken away."""

import contextlib
import logging
import secrets
from pathlib import Path

import click

from hmpfit.command_line.standard_error import say
from hmpfit.errors import MissingExtraError

_KEY_BYTES = 16


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; 0.0.0.0 is for other machines too.",
)
@click.option("--port", type=click.IntRange(1, 65534), default=8090, show_default=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("hmpfit_app"), show_default=True, metavar="DIR",
    help="Where uploads and results are kept.",
)  # fmt: skip
@click.option(
    "--max-upload", "most_mib", type=click.IntRange(1, 1 << 20), default=2048, show_default=True, metavar="MIB",
    help="The largest file that is taken, in MiB.",
)  # fmt: skip
def app(host: str, port: int, out: Path, most_mib: int) -> None:
    """Serve a web page: drop a video, watch the fit, see overlay and 3D view, download any export; Ctrl-C ends it.

    One video is fitted at a time, the others wait. Only who has the printed address can open the page.
    """
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it, not an accident
        _serve(host, port, out, most_mib)


def _serve(host: str, port: int, out: Path, most_mib: int) -> None:
    try:
        import uvicorn

        from hmpfit.app.server import FitServer, listening_socket
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise MissingExtraError(
            "hmpfit app", str(error.name), "pip install starlette uvicorn (or hmpfit[app])"
        ) from error
    from hmpfit.app.jobs import JobQueue

    opened = listening_socket(host, port)
    out.mkdir(parents=True, exist_ok=True)
    key = secrets.token_urlsafe(_KEY_BYTES)
    served = FitServer(out.resolve(), JobQueue(), host, port, key, most_mib)
    config = uvicorn.Config(
        served.app(), log_config=None, log_level=logging.WARNING, access_log=False, lifespan="off", server_header=False,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    shown = "127.0.0.1" if host in ("0.0.0.0", "") else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/?key={key}"
    if host != "localhost" and not host.startswith("127.") and host != "::1":
        say(f"hmpfit: listening on {host}: other machines that know the key can use this one, over plain http.")
    click.echo(f"{address} (Ctrl-C ends it)")
    try:
        uvicorn.Server(config).run(sockets=[opened])
    finally:
        served.close()
        opened.close()
