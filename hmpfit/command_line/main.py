"""The `hmpfit` command: a table of lazy commands, and the one place where errors become a sentence and an exit code.

A command's module is imported only when it runs, so that `hmpfit --help` imports neither torch nor numpy.
"""

import errno
import gc
import importlib
import os
import sys
from typing import Any, NoReturn

import click

from hmpfit import __version__
from hmpfit.command_line.interrupt import listen
from hmpfit.command_line.log_options import add_log_options
from hmpfit.command_line.standard_error import open_closed_streams, say, show_every_character
from hmpfit.errors import HmpfitError, InputError

COMMANDS = {
    "run": ("hmpfit.command_line.run:run", "Fit the hands of one or more videos."),
    "batch": ("hmpfit.command_line.batch:batch", "Fit many videos, several at a time."),
    "live": ("hmpfit.command_line.live:live", "Follow hands of a camera, a stream or a file as they move."),
    "demo": (
        "hmpfit.command_line.demo:demo",
        "Make a clip with known truth, fit it from its pixels, report the error.",
    ),
    "synthesize": ("hmpfit.command_line.synthesize:synthesize", "Render clips whose truth is known."),
    "eval": ("hmpfit.command_line.evaluate:evaluate", "Score runs against a known truth."),
    "ablate": ("hmpfit.command_line.ablate:ablate", "Print the paper's table on clips with known truth."),
    "train": ("hmpfit.command_line.train:train", "Train a learned initializer on datasets or rendered hands."),
    "eval-init": (
        "hmpfit.command_line.eval_init:eval_init",
        "Score a learned initializer: alone, with the fit, and against the fit without it.",
    ),
    "predict": ("hmpfit.command_line.predict:predict", "Let a network alone estimate a dataset, for eval."),
    "train-prior": ("hmpfit.command_line.train_prior:train_prior", "Train a motion prior on AMASS or other motion."),
    "eval-prior": ("hmpfit.command_line.eval_prior:eval_prior", "Measure a motion prior on motion it never saw."),
    "export": ("hmpfit.command_line.export:export", "Write a run as GLB, BVH, OBJ, CSV, JSON or parameter files."),
    "app": ("hmpfit.command_line.app:app", "Serve a web page: drop a video, see it, download it."),
    "view": ("hmpfit.command_line.view:view", "Open a run in 3D in a browser."),
    "overlay": ("hmpfit.command_line.overlay:overlay", "Write a run's overlay anew, in another layout."),
    "report": ("hmpfit.command_line.report:report", "Write a run's report page anew."),
    "bench": ("hmpfit.command_line.bench:bench", "Measure how fast this machine fits hands."),
    "doctor": ("hmpfit.command_line.doctor:doctor", "Say what this machine can do, and what to type for the rest."),
}

WRONG_INPUT, INTERRUPTED = 2, 130


class LazyCommands(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return add_log_options(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises an error that lists the existing ones."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(f"There is no command '{args[0]}'; commands: {', '.join(COMMANDS)}.", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a file that breaks off is no Ctrl-D, which click would take it for."""
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise InputError(f"A file breaks off before its end ({error or 'nothing more is known'}).") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyCommands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, message="hmpfit %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Recover the 3D motion of hands from ordinary video.

    Start with `hmpfit demo`, then `hmpfit run VIDEO`.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


add_log_options(commands)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 2 one sentence on stderr, 130 interrupted (run again to resume)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads must not spin where others want the cores
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # and NumPy's matrices are too small for more than one
    open_closed_streams()
    listen()
    show_every_character()
    try:
        status: Any = commands.main(arguments, prog_name="hmpfit", standalone_mode=False)
    except click.UsageError as error:
        _complain(error.format_message())
    except HmpfitError as error:
        _complain(str(error))
    except (KeyboardInterrupt, click.Abort):
        say("hmpfit: interrupted; the same command resumes.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader is gone; print nothing at exit
        sys.exit(1)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _complain(f"The disk is full ({error.filename or 'no file named'}); free some space and run again.")
        place = f"'{error.filename}'" if error.filename else "A file or stream"
        _complain(f"{place} cannot be used: {error.strerror or error}.")
    gc.freeze()  # or the interpreter searches all that was imported for garbage once more: 0.3 s with torch
    sys.exit(status if isinstance(status, int) else 0)


def _complain(message: str) -> NoReturn:
    say(f"hmpfit: {' '.join(message.split())}")
    sys.exit(WRONG_INPUT)


if __name__ == "__main__":
    main()
