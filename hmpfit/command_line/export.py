"""`hmpfit export`: a finished run in the formats of other programs."""

from pathlib import Path

import click

from hmpfit import registry
from hmpfit.command_line.options import hand_model_option
from hmpfit.errors import InputError
from hmpfit.recipes.resolving import known_names
from hmpfit.strict_json import to_json

_SUFFIXES = {
    "amass": ".npz",
    "hamer": ".npz",
    "glb": ".glb",
    "bvh": ".bvh",
    "csv": ".csv",
    "json": ".json",
    "rrd": ".rrd",
    "npz": ".npz",
}
_HELP = f"Format: {', '.join(known_names('exporters'))}."


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--to", "formats", multiple=True, required=True, metavar="FORMAT", help=f"{_HELP} (repeatable)")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A folder, or a file with the format's suffix [RESULT's folder/export].",
)
@hand_model_option("The hand model that the result was fitted with.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", is_flag=True, help="Print nothing; errors only.")
def export(
    result: Path, formats: tuple[str, ...], out: Path | None, hand_model: str, as_json: bool, quiet: bool
) -> None:
    """Write RESULT (a run folder or its result.npz) in other programs' formats.

    GLB, BVH and OBJ have upright axes (y up); CSV, JSON, AMASS and HaMeR files keep the camera's. Metres throughout.
    """
    writers = [(name, registry.load("exporters", name)) for name in formats]  # a misspelt name costs nothing
    from hmpfit.results.matching import read_with_model

    stored, models = read_with_model(result, hand_model)
    folder = (result if result.is_dir() else result.parent) / "export" if out is None else out
    _check_target(folder, formats)
    written: dict[str, list[str]] = {}
    for name, write in writers:
        files = write(stored, models, folder)
        written[name] = [str(file) for file in files]
        if not (as_json or quiet):
            more = f" and {len(files) - 1} more below it" if len(files) > 1 else ""
            click.echo(f"{name}: {files[0]}{more}")
    if as_json:
        click.echo(to_json({"files": written}))


def _check_target(out: Path, formats: tuple[str, ...]) -> None:
    """Refuse a target that cannot hold these formats; a path with a format's suffix is meant as a file."""
    if out.suffix in _SUFFIXES.values() and not out.is_dir():
        if len(formats) > 1:
            raise InputError(f"'{out}' names one file for {len(formats)} formats; give -o a folder.")
        if _SUFFIXES.get(formats[0]) != out.suffix:
            raise InputError(f"'{out}' has not the suffix of {formats[0]}; give -o a folder or another name.")
    elif out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file; give -o a folder.")
