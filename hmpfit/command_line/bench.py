"""`hmpfit bench`: the group of measurements; each is a command of its own, imported when it runs."""

import importlib

import click

BENCHES = {
    "solver": ("hmpfit.command_line.bench_solver:solver", "Time the solvers beside the published method's loop."),
    "scaling": ("hmpfit.command_line.bench_scaling:scaling", "Time batches of windows on the device."),
    "pipeline": ("hmpfit.command_line.bench_pipeline:pipeline", "Time whole runs: phases, memory, length."),
    "networks": ("hmpfit.command_line.bench_networks:networks", "Parameters, FLOPs and frames/s of the networks."),
    "live": ("hmpfit.command_line.bench_live:live", "Play a file at its own pace: frames kept, lag, error."),
    "detection": ("hmpfit.command_line.bench_detection:detection", "Share of generated frames with a found hand."),
}


class LazyBenches(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the table's order."""
        return list(BENCHES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in BENCHES:
            return None
        module, _, attribute = BENCHES[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in BENCHES.items()])


@click.group(cls=LazyBenches)
def bench() -> None:
    """Measure how fast this machine fits hands, and how well generated clips pass for real ones."""
