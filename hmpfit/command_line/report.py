"""`hmpfit report`: write the page of a finished run again and print its warnings, or the page on two runs."""

from pathlib import Path

import click

from hmpfit.errors import InputError
from hmpfit.strict_json import to_json


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="[RESULT/report.html; of two: comparison.html]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout: the page and its warnings.")
def report(result: Path, second: Path | None, out: Path | None, as_json: bool) -> None:
    """Write one page on RESULT (a run folder) that any browser opens without a network.

    With SECOND, another run of the same video, the page compares the two.
    """
    from hmpfit.results.npz import read_result
    from hmpfit.viewing.comparison import write_comparison
    from hmpfit.viewing.report import read_run_summary, write_report
    from hmpfit.viewing.warnings import warnings

    for folder in (result, second):
        if folder is not None and not folder.is_dir():
            raise InputError(f"'{folder}' is not a run folder; give the folder that hmpfit run wrote.")
    if out is not None and out.is_dir():
        out = out / ("report.html" if second is None else "comparison.html")
    file = write_report(result, out) if second is None else write_comparison(result, second, out)
    said = [] if second is not None else warnings(read_result(result), read_run_summary(result))
    if as_json:
        click.echo(to_json({"report": str(file), "warnings": said}))
        return
    click.echo(str(file))
    for sentence in said:
        click.echo(f"  {sentence}")
