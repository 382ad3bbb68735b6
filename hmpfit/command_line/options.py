"""The options of a fit, which `hmpfit run` and `hmpfit batch` share: one definition, two commands."""

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from hmpfit.command_line.ranges import FRAME_RANGE
from hmpfit.command_line.shared_options import device_option
from hmpfit.recipes import recipe_names
from hmpfit.recipes.overlay_layouts import LAYOUTS
from hmpfit.recipes.ranges import SEED_MOST, VIEWS_MOST
from hmpfit.recipes.resolving import known_names


def completing(*known: str, paths: bool = False) -> Callable[..., list[CompletionItem]]:
    """Return what completes an option's value in the shell: the known names, and files where a path will do too."""

    def complete(ctx: click.Context, option: click.Parameter, typed: str) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in known if name.startswith(typed)]
        # Files first: click's function for bash forgets what came before them.
        return [CompletionItem(typed, type="file"), *found] if paths else found

    return complete


def hand_model_option(help: str) -> Callable[..., Any]:
    """Return the `--hand-model` option, which several commands share, with what it means there."""
    return click.option(
        "--hand-model",
        default="open",
        envvar="HMPFIT_MANO",
        show_envvar=True,
        show_default=True,
        metavar="open|PATH",
        help=help,
    )


# Apart from the others: `hmpfit batch` gives each sequence one thread, and its `--workers` are sequences at a time.
detector_threads = click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Cores of the run (default: all)."
)

layout_option = click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="overlay",
    show_default=True,
    help="Of the overlay: alone, beside the clip, or beside a view that turns around the hands.",
)

unordered_option = click.option(
    "--unordered", is_flag=True, help="A folder's images are unrelated photos: fit each by itself."
)


_OPTIONS = (
    click.option(
        "--init",
        default="keypoints",
        show_default=True,
        metavar="NAME",
        shell_complete=completing(*known_names("initializers")),
        help=f"Initializer: {', '.join(known_names('initializers'))} (file:PATH). Networks are experimental.",
    ),
    click.option("--checkpoint", metavar="PATH", help="Weights of a learned initializer."),
    click.option(
        "--keypoints",
        default="blend",
        show_default=True,
        metavar="NAME",
        shell_complete=completing(*known_names("keypoints")),
        help=f"2D evidence: {', '.join(known_names('keypoints'))} (file:PATH).",
    ),
    click.option(
        "--prior",
        default="default",
        show_default=True,
        metavar="NAME|PATH",
        shell_complete=completing(*known_names("priors"), paths=True),
        help=f"Motion prior: {', '.join(known_names('priors'))}, or a file.",
    ),
    hand_model_option("The shipped hand, or your MANO file or folder."),
    click.option(
        "--hands",
        type=click.Choice(["auto", "left", "right", "both"]),
        default="auto",
        show_default=True,
        help="Which hands to fit.",
    ),
    click.option(
        "--max-hands",
        type=click.IntRange(min=1),
        metavar="N",
        help="Fit at most N hands, the most seen ones (default: all that are found).",
    ),
    click.option(
        "--hand-size",
        "hand_size_mm",
        type=float,
        metavar="MM",
        help="Wrist crease to middle fingertip; without it an average adult's, give or take 6 %.",
    ),
    click.option("--shape-from", metavar="RUN", help="A finished run of the same person: its hand's size and shape."),
    click.option(
        "--boxes",
        metavar="FILE",
        help="Where hands are, from another detector: COCO JSON, a YOLO text folder, or npz; best with --init ifvonet.",
    ),
    click.option(
        "--intrinsics",
        metavar="fx,fy,cx,cy|FILE|assumed",
        help="Camera in pixels; without it the focal length comes from the file's metadata, else it is estimated from "
        "perspective within the hands. `assumed`: 0.9 of the longer side.",
    ),
    click.option(
        "--camera",
        "camera_motion",
        default="auto",
        show_default=True,
        metavar="auto|static|moving|file:PATH",
        shell_complete=completing("auto", "static", "moving", "file:"),
        help="How the camera moves; a file: COLMAP's images, a TUM trajectory, or world_from_camera in an npz.",
    ),
    click.option(
        "--camera-scale",
        type=click.Choice(["file", "hands"]),
        default="file",
        show_default=True,
        help="Whether the file's path is in meters, or hands say how long it is.",
    ),
    click.option(
        "--recipe",
        default="default",
        show_default=True,
        metavar="NAME|FILE",
        shell_complete=completing(*recipe_names(), paths=True),
        help=f"Weights and stages: {', '.join(recipe_names())}, or a TOML file.",
    ),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change the recipe, such as stages.1.weights.prior=200 (repeatable).",
    ),
    click.option(
        "--solver",
        metavar="NAME",
        shell_complete=completing(*known_names("solvers")),
        help=f"{', '.join(known_names('solvers'))} (default: the recipe's; none = initializer and filled gaps).",
    ),
    click.option(
        "--views",
        type=click.IntRange(0, VIEWS_MOST),
        metavar="N",
        help=f"Augmented views per frame, 0 to {VIEWS_MOST} (default: the recipe's).",
    ),
    click.option(
        "--hide-keypoints",
        multiple=True,
        type=FRAME_RANGE,
        help="Withhold these frames' landmarks, then score against them (repeatable).",
    ),
    click.option("--frames", type=FRAME_RANGE, help="Fit these source frames only (B not included)."),
    click.option(
        "--fps",
        type=click.FloatRange(0.1, 10_000),
        metavar="N",
        help="Frames a second of a folder of images, or of a file whose time stamps lie.",
    ),
    click.option(
        "--mirrored",
        is_flag=True,
        help="The video is a mirror image, as selfie cameras record it: turn it back, or sides are exchanged.",
    ),
    device_option,
    click.option("--seed", type=click.IntRange(0, SEED_MOST), default=0, show_default=True),
    click.option("--wait", is_flag=True, help="Wait for another run that uses the folder, instead of refusing."),
    click.option(
        "--hand-landmarker", metavar="PATH", help="A hand_landmarker.task file instead of the bundled models."
    ),
    click.option(
        "--mmpose-config",
        metavar="FILE|NAME",
        help="For --keypoints mmpose: a packaged name, or a config file. mmpose's configs are Python programs, which "
        "run: take files only from those you trust, or use --mmpose-onnx, which runs nothing.",
    ),
    click.option("--mmpose-checkpoint", metavar="FILE", help="Its weights; nothing in the file is run."),
    click.option("--mmpose-onnx", metavar="FILE", help="An ONNX export of an RTMPose hand model: the safe way."),
)


def fit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add every option of a fit to a click command; they arrive as the keywords of `resolve_settings`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
