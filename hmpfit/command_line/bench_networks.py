"""`hmpfit bench networks`: parameters, FLOPs and frames a second of the learned initializers."""

from dataclasses import asdict

import click

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.strict_json import to_json

NETWORKS = ("ifvonet", "stc", "handdgcl")


@click.command()
@click.argument("names", nargs=-1, metavar="[NETWORK]...")
@click.option("--size", "sizes", multiple=True, metavar="SIZE", help="Repeatable; default: paper and small.")
@click.option(
    "--calls", type=click.IntRange(min=1), default=3, show_default=True, help="Timed calls; the median counts."
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of torch, on the CPU.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress; errors only.")
def networks(
    names: tuple[str, ...], sizes: tuple[str, ...], calls: int, device: str, threads: int, as_json: bool, quiet: bool
) -> None:
    """Count what ifvonet, stc and handdgcl compute for a frame, and time it, with random weights.

    GFLOP count a multiplication and an addition as two, over one call: IFVONet a pair of frames, STC a window,
    HandDGCL a picture. Small IFVONet's GFLOP hold the frozen landmark network, which a run has done already, and its
    parameters do not.
    """
    import torch

    from hmpfit.bench.network_cost import measure_cost
    from hmpfit.regressors.checkpoints import load_plan

    torch.set_num_threads(threads)
    plans = [load_plan(name) for name in names or NETWORKS]
    wanted = sizes or ("paper", "small")
    for plan in plans:
        for size in wanted:
            plan.switches(size)  # a wrong size is refused before the first is built
    with TerminalProgress(quiet) as progress:
        advance = progress.phase("measuring networks", len(plans) * len(wanted))
        rows = []
        for plan in plans:
            for size in wanted:
                rows.append(measure_cost(plan, size, calls, device))
                advance(1)
    if as_json:
        click.echo(to_json({"device": device, "threads": threads, "networks": [asdict(row) for row in rows]}))
        return
    click.echo(
        "| network | size | parameters | GFLOP a call | GFLOP a frame | frames/s |\n|---|---|---:|---:|---:|---:|"
    )
    for row in rows:
        click.echo(
            f"| {row.network} | {row.size} | {row.parameters / 1e6:.1f} M | {row.gflop:.2f} | "
            f"{row.gflop_per_frame:.2f} | {row.frames_per_second:.1f} |"
        )
