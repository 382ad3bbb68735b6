"""`hmpfit export`: finished runs in the formats of other programs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmpfit import registry
from hmpfit.command_line.options import completing, hand_model_option
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError
from hmpfit.exporters.robot_hands import ROBOTS
from hmpfit.files.structured import read_json_table
from hmpfit.recipes.resolving import known_names
from hmpfit.strict_json import to_json

if TYPE_CHECKING:
    from hmpfit.hands.model import HandModels
    from hmpfit.interfaces.exporter import ExportOptions
    from hmpfit.results.npz import StoredResult

_SUFFIXES = {
    "amass": ".npz",
    "angles": ".csv",
    "bvh": ".bvh",
    "c3d": ".c3d",
    "coco": ".json",
    "csv": ".csv",
    "glb": ".glb",
    "hamer": ".npz",
    "json": ".json",
    "mano": ".npz",
    "npz": ".npz",
    "openxr": ".json",
    "parquet": ".parquet",
    "rrd": ".rrd",
    "trc": ".trc",
}
_GATHERING = ("lerobot",)  # many results make one of these
_HELP = f"Format: {', '.join(known_names('exporters'))}; some take a variant as NAME:VARIANT, see docs/exports.md."


@click.command()
@click.argument("results", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RESULT...")
@click.option(
    "--to", "formats", multiple=True, required=True, metavar="FORMAT", help=f"{_HELP} (repeatable)",
    shell_complete=completing(*known_names("exporters"), *(f"robot:{name}" for name in ROBOTS)),
)  # fmt: skip
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A folder, or a file with the format's suffix [RESULT's folder/export].",
)
@click.option(
    "--frame",
    type=click.Choice(("camera", "world")),
    default="camera",
    show_default=True,
    help="The frame of positions; world needs a run with a known camera path.",
)
@click.option(
    "--bones",
    type=click.Choice(("mano", "vrm", "arkit")),
    default="mano",
    show_default=True,
    help="Names of the bones in GLB, BVH and USD.",
)
@click.option("--into", type=click.Path(path_type=Path), metavar="FILE", help="The body that --to smplx fills in.")
@click.option("--video", metavar="PATH|none", help="The clip, for formats that hold pictures [the run's own].")
@click.option("--task", metavar="TEXT", help="What is done in the clip, in words, for data sets.")
@hand_model_option("The hand model that the result was fitted with.")
@json_option
@click.option("--quiet", is_flag=True, help="Print nothing; errors only.")
def export(
    results: tuple[Path, ...],
    formats: tuple[str, ...],
    out: Path | None,
    frame: str,
    bones: str,
    into: Path | None,
    video: str | None,
    task: str | None,
    hand_model: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write RESULT (a run folder or its result.npz) in other programs' formats.

    Animation formats have upright axes (y up); CSV, JSON, parquet, AMASS and HaMeR files keep the camera's. Meters
    unless a format has its own unit. Several results go to one folder each below -o.
    """
    # A misspelt name costs nothing.
    writers = [(name, registry.load("exporters", name.partition(":")[0])) for name in formats]
    if len(results) > 1 and out is None:
        raise InputError(f"{len(results)} results need a folder for their files; give -o FOLDER.")
    written: dict[str, list[str]] = {}
    told = _Told(frame, hand_model, bones, into, video, task)
    with TerminalProgress(quiet) as progress:
        for result in results:
            folder = _folder(result, out, len(results) > 1)
            _check_target(folder, formats)
            for name, files in _export(result, writers, folder, out, told, progress):
                known = written.setdefault(name, [])
                known.extend(file for file in map(str, files) if file not in known)
    if not (as_json or quiet):
        for name, found in written.items():
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            click.echo(f"{name}: {found[0]}{more}")
    if as_json:
        click.echo(to_json({"files": written}))


@dataclass(frozen=True)
class _Told:
    """The command line's options for every result."""

    frame: str
    hand_model: str
    bones: str
    into: Path | None
    video: str | None
    task: str | None


def _export(
    result: Path,
    writers: list[tuple[str, Callable[..., list[Path]]]],
    folder: Path,
    out: Path | None,
    told: _Told,
    progress: TerminalProgress,
) -> list[tuple[str, list[Path]]]:
    from hmpfit.results.matching import read_with_model

    stored, models = read_with_model(result, told.hand_model)
    if told.frame != "camera" and any(name == "npz" for name, _ in writers):
        raise InputError("result.npz is in the camera's frame; leave out --frame or --to npz.")
    stored, options = _in_frame(stored, models, told.frame, result)
    options = replace(options, progress=progress, **_options(result, told))
    done = []
    for name, write in writers:
        base, _, variant = name.partition(":")
        target = out if base in _GATHERING and out is not None else folder
        done.append((name, write(stored, models, target, replace(options, variant=variant or None))))
    return done


def _in_frame(
    stored: "StoredResult", models: "HandModels", frame: str, result: Path
) -> "tuple[StoredResult, ExportOptions]":
    """Return the result in the requested frame, and the options of its exporters."""
    from hmpfit.interfaces.exporter import ExportOptions
    from hmpfit.results.frames import move_result

    if frame == "camera":
        return stored, ExportOptions()
    poses = stored.world_from_camera
    if poses is None and stored.camera_motion is not None:
        status = stored.camera_motion.status
        raise InputError(
            f"The camera of '{result}' is '{status}', so places in the world are not known in meters; leave out "
            "--frame world, or give hmpfit run the path with --camera file:PATH."
        )
    if poses is None:
        raise InputError(f"'{result}' knows no path of its camera, so it has no world frame; leave out --frame world.")
    return move_result(stored, models, poses), ExportOptions(frame=frame, camera_pose=poses)


def _options(result: Path, told: _Told) -> dict[str, Any]:
    """Return the options that the command line and `result.json` give."""
    known = _summary(result)
    given, kept, first = told.video, known.get("video"), known.get("first_frame")
    kept = kept if isinstance(kept, str) and "\0" not in kept else None
    first = first if isinstance(first, int) and 0 <= first < 1 << 31 else 0
    video = None if given == "none" else Path(given) if given else Path(kept) if kept else None
    task = {"task": told.task} if told.task else {}
    return {
        "video": video,
        "first_frame": first,
        "mirrored": bool(known.get("mirrored")),
        "bones": told.bones,
        "merge_into": told.into,
        **task,
    }


def _summary(result: Path) -> dict[str, Any]:
    """Return the content of `result.json` beside the result; nothing when it is missing or damaged."""
    file = _own(result) / "result.json"
    try:
        return read_json_table(file)
    except InputError:
        return {}


def _own(result: Path) -> Path:
    return (result if result.is_dir() else result.parent).resolve()


def _folder(result: Path, out: Path | None, several: bool) -> Path:
    if out is None:
        return (result if result.is_dir() else result.parent) / "export"
    return out / _own(result).name if several else out


def _check_target(out: Path, formats: tuple[str, ...]) -> None:
    """Refuse a target that cannot hold these formats; a path with a format's suffix is meant as a file."""
    if out.suffix in _SUFFIXES.values() and not out.is_dir():
        if len(formats) > 1:
            raise InputError(f"'{out}' names one file for {len(formats)} formats; give -o a folder.")
        if _SUFFIXES.get(formats[0].partition(":")[0]) != out.suffix:
            raise InputError(f"'{out}' has not the suffix of {formats[0]}; give -o a folder or another name.")
    elif out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file; give -o a folder.")
