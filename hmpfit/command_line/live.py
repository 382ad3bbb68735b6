"""`hmpfit live`: follow the hands of a camera, a stream or a file."""

import contextlib
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmpfit.command_line.interrupt import ending_gently
from hmpfit.command_line.main import WRONG_INPUT
from hmpfit.command_line.options import hand_model_option
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.standard_error import say
from hmpfit.errors import HmpfitError, InputError, MissingExtraError
from hmpfit.recipes import recipe_names
from hmpfit.recipes.ranges import VIEWS_MOST
from hmpfit.recipes.resolving import known_names, resolve_settings

if TYPE_CHECKING:
    from hmpfit.live.engine import LiveEngine
    from hmpfit.live.outlets import Outlets

WEBSOCKET_PORT, VIEW_PORT = 8765, 8080
_SAID_EVERY_S = 5.0
_LOOPBACK = "127.0.0.1"


@click.command()
@click.argument("source", default="0", metavar="[CAMERA|VIDEO|URL]")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Record into this run folder.")
@click.option("--hands", type=click.Choice(["auto", "left", "right", "both"]), default="auto", show_default=True)
@click.option("--max-hands", type=click.IntRange(1, 8), default=2, show_default=True, help="Follow at most so many.")
@click.option(
    "--views",
    type=click.IntRange(0, VIEWS_MOST),
    metavar="N",
    help="Augmented views (default: the recipe's; 0 is fast).",
)
@click.option("--look-ahead", type=click.FloatRange(0.0, 2.0), default=0.3, show_default=True, metavar="S",
              help="Later frames that an answer waits for, seconds: more is smoother and later.")  # fmt: skip
@click.option(
    "--recipe",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help=f"{', '.join(recipe_names())}, or a file.",
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change the recipe (repeatable).")
@click.option(
    "--prior",
    default="default",
    show_default=True,
    metavar="NAME|PATH",
    help=f"{', '.join(known_names('priors'))}, or a file.",
)
@hand_model_option("The shipped hand, or your MANO file or folder.")
@click.option("--intrinsics", metavar="fx,fy,cx,cy|FILE", help="Camera in pixels (default: 0.9 of the longer side).")
@click.option("--mirrored", is_flag=True, help="The source is a mirror image, as selfie cameras show it.")
@click.option("--size", metavar="WxH", help="What a camera is asked for, such as 1280x720.")
@click.option("--fps", type=click.FloatRange(1, 1000), metavar="N", help="What a camera is asked for.")
@click.option("--patience", type=click.FloatRange(0.5, 600), default=5.0, show_default=True, metavar="S",
              help="A stream that gives nothing for so long has stalled.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0.1), metavar="S", help="Stop after so long.")
@click.option(
    "--host",
    default=_LOOPBACK,
    show_default=True,
    help="Where WebSocket and page listen; 0.0.0.0 is for other machines too.",
)
@click.option(
    "--websocket-port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help=f"Hands as JSON (default: {WEBSOCKET_PORT}; 0: none).",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="A page that may listen, such as http://localhost:3000 (repeatable).",
)
@click.option(
    "--view-port", type=click.IntRange(0, 65535), metavar="N", help=f"The page (default: {VIEW_PORT}; 0: none)."
)
@click.option("--overwrite", is_flag=True, help="Record over what is in DIR.")
@click.option(
    "--json/--no-json", "as_json", default=None, help="JSON lines on stdout (default: unless it is a terminal)."
)
@click.option("--quiet", is_flag=True, help="No status; errors only.")
def live(
    source: str, out: Path | None, look_ahead: float, size: str | None, fps: float | None, patience: float,
    seconds: float | None, host: str, websocket_port: int | None, origins: tuple[str, ...], view_port: int | None,
    as_json: bool | None, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Follow hands as they move: a camera's number or device (default 0), a video at its own pace, or a stream.

    Hands go to standard output and to a WebSocket of this machine as JSON (docs/live.md), pictures to a page. Frames
    are dropped rather than waited for. Ctrl-C ends it; with -o the recording is then a run folder like any other.
    """
    from hmpfit.live.session import LiveTools, live_settings
    from hmpfit.live.smoother import SmootherOptions
    from hmpfit.video.live_source import LiveSource

    _check_origins(origins)
    settings = live_settings(resolve_settings(**options))
    opened = LiveSource(source, _size(size), fps, patience)
    with contextlib.closing(opened):
        tools = LiveTools.load(settings, opened.width, opened.height, SmootherOptions(lookahead_s=look_ahead))
        if tools.camera.source == "assumed" and not quiet:
            say("hmpfit: the focal length is assumed; --intrinsics gives it, and distances with it.")
        engine = tools.engine(opened, settings.mirrored)
        lines = not sys.stdout.isatty() if as_json is None else as_json
        with _outlets(host, websocket_port, origins, view_port, tools.camera, quiet) as outlets:
            outlets.lines = lines
            if out is not None:
                from hmpfit.live.recorder import Recorder

                outlets.recorder = Recorder(out, source, tools.camera, opened.fps, settings)
            outlets.begin(tools.camera, opened.fps)
            engine.on_frame = outlets.frame
            problem = _follow(engine, outlets, seconds, quiet)
            outlets.end(engine.counts, problem or "ended")
        if not quiet:
            known = f"{engine.counts.known} of {engine.counts.arrived} frames known"
            say(f"hmpfit: {outlets.words(engine.counts)}; {known}.")
        if problem is not None:
            say(f"hmpfit: {' '.join(problem.split())}")
        if outlets.recorder is not None:
            _finish(outlets, tools, out, quiet)
    return WRONG_INPUT if problem is not None else 0


def _follow(engine: "LiveEngine", outlets: "Outlets", seconds: float | None, quiet: bool) -> str | None:
    """Run a session to its end; return the reason where an error ended it."""
    from hmpfit.live.outlets import failed

    began = said = time.monotonic()
    try:
        with ending_gently(engine.stop):
            for estimates in engine.estimates():
                outlets.estimates(estimates, engine.counts)
                now = time.monotonic()
                if outlets.unread or (seconds is not None and now - began >= seconds):
                    engine.stop()
                if not quiet and now - said >= _SAID_EVERY_S:
                    said = now
                    say(f"hmpfit: {outlets.words(engine.counts)}")
    except HmpfitError as error:
        return failed(error)
    finally:
        engine.feed.close()
    return None if engine.feed.error is None else failed(engine.feed.error)


def _finish(outlets: "Outlets", tools: Any, out: Path | None, quiet: bool) -> None:
    """Make the run folder; a terminal that is closed meanwhile does not stop it."""
    assert outlets.recorder is not None
    with ending_gently(lambda: None), TerminalProgress(quiet) as progress:
        outlets.recorder.finish({"models": tools.models, "prior": tools.prior}, progress)
    if not quiet:
        say(f"hmpfit: recorded in '{out}'; hmpfit view {out}")


@contextlib.contextmanager
def _outlets(
    host: str, websocket_port: int | None, origins: Sequence[str], view_port: int | None, camera: Any, quiet: bool
) -> Iterator["Outlets"]:
    """Open the WebSocket and the page; without a given port, a missing package only skips one."""
    from hmpfit.live.outlets import Outlets

    outlets = Outlets()
    if websocket_port != 0:
        from hmpfit.live.broadcast import Broadcast

        with _perhaps(websocket_port is None, quiet):
            outlets.broadcast = Broadcast(host, websocket_port or WEBSOCKET_PORT, origins)
    if view_port != 0:
        from hmpfit.live.page import LivePage

        with _perhaps(view_port is None, quiet), contextlib.redirect_stdout(sys.stderr):  # viser announces itself
            outlets.page = LivePage(camera, host, view_port or VIEW_PORT)
    if not quiet:
        _announce(outlets, host)
    try:
        yield outlets
    except BaseException:
        if outlets.recorder is not None:
            outlets.recorder.abandon()
        raise


def _announce(outlets: "Outlets", host: str) -> None:
    shown = f"[{host}]" if ":" in host else host
    if outlets.broadcast is not None:
        say(f"hmpfit: hands on ws://{shown}:{outlets.broadcast.port}")
    if outlets.page is not None:
        say(f"hmpfit: page on http://{shown}:{outlets.page.port}/?key={outlets.page.key}")
    if host != "localhost" and not host.startswith("127.") and host != "::1":
        if outlets.page is not None:
            say(f"hmpfit: listening on {host}: other machines can open the page with this address.")
        if outlets.broadcast is not None:
            say(f"hmpfit: listening on {host}: the WebSocket tells other machines the hands without a password.")


@contextlib.contextmanager
def _perhaps(optional: bool, quiet: bool) -> Iterator[None]:
    """Go on without an `optional` output that cannot be opened."""
    try:
        yield
    except (MissingExtraError, InputError) as error:
        if not optional:
            raise
        if not quiet:
            say(f"hmpfit: {error}")


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if found is None:
        raise InputError(f"--size '{text}' is no size; write such as 1280x720.")
    return int(found[1]), int(found[2])


def _check_origins(origins: Sequence[str]) -> None:
    for origin in origins:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", origin):
            raise InputError(f"--allow-origin '{origin}' is no origin; write such as http://localhost:3000.")
