"""`hmpfit bench detection`: the share of generated frames in which the detector finds a hand that nothing hides."""

import click

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.strict_json import to_json


@click.command()
@click.argument("dataset", metavar="KIND:PATH")
@click.option("--split", metavar="NAME", help="Part of the dataset (default: its first).")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Threads for the detector.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress; errors only.")
def detection(dataset: str, split: str | None, workers: int, as_json: bool, quiet: bool) -> None:
    """Count the frames of clips with truth in which MediaPipe finds the hand, in sight and hidden.

    A hand is in sight when at most 30 % of its joints are hidden. KIND:PATH such as synthetic:CLIPS.
    """
    from hmpfit.datasets.opening import open_dataset
    from hmpfit.evaluation.detection_rate import detection_rate, total

    sequences = open_dataset(dataset, split).sequences
    with TerminalProgress(quiet) as progress:
        advance = progress.phase("looking for hands", len(sequences))
        rates = {}
        for sequence in sequences:
            rates[sequence.name] = detection_rate(sequence, workers)
            advance(1)
    every = total(list(rates.values()))
    if as_json:
        content = {name: vars(rate) for name, rate in rates.items()}
        click.echo(to_json({**vars(every), "share": every.share if every.in_sight else None, "clips": content}))
        return
    for name, rate in rates.items():
        click.echo(f"{name}: {rate.found} of {rate.in_sight} in sight, {rate.hidden_found} of {rate.hidden} hidden")
    click.echo(f"in sight: found in {every.found} of {every.in_sight} frames, {every.share:.1%}")
