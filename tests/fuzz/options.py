"""Every option of every command with hostile values, chosen from the commands themselves: new ones are fuzzed too.

A command that turns out to be valid does its work for some seconds and is stopped.
"""

import contextlib
import io
import json
import signal
from pathlib import Path
from random import Random

import click

from hmpfit.command_line.main import COMMANDS, commands
from tests.fuzz.families import Family, run_command

STOP_S = 2.0
NEVER = ("view", "batch", "doctor")  # wait for a browser, start processes, or have no input
TEXTS = (
    "", " ", "-1", "0", "1", "nan", "inf", "-inf", "1e308", "1e-320", "99999999999999999999", "1:2", "5:1", "0:0",
    "-3:-1", "a,b,c,d", "1,2,3,4", "nan,nan,nan,nan", "0,0,0,0", "1e308,1,1,1", "absent.mp4", "/dev/zero",
    "/proc/self/mem", ".", "\u00e9\u4e2d", "\udc80", "a" * 300, "file:", "file:absent", "file:/dev/zero", "default",
    "none", "open", "stages.1.weights.prior=nan", "stages.9.x=1", "keypoints.gamma=-1", "stages=[]", "x=[[[[",
    "solver=1", "=", "a.b", "v.mp4", "v.npz", "cuda", "cuda:99", "both", "ho3d:.", "synthetic:.", "ho3d", ":",
    "http://[::1", "ftp://x/a", "/proc/x",
)  # fmt: skip


class OptionFamily(Family):
    """A family whose case is a command line instead of a damaged file."""

    def choose(self, random: Random) -> list[str]:
        """Return a command with hostile values for some of its parameters."""
        name = random.choice(sorted(set(COMMANDS) - set(NEVER)))
        with click.Context(commands) as context:
            command = commands.get_command(context, name)
        assert command is not None
        line = [name]
        options = [one for one in command.params if isinstance(one, click.Option)]
        if isinstance(command, click.Group):
            inner = random.choice(sorted(command.commands))
            line.append(inner)
            options = [one for one in command.commands[inner].params if isinstance(one, click.Option)]
            arguments = [one for one in command.commands[inner].params if isinstance(one, click.Argument)]
        else:
            arguments = [one for one in command.params if isinstance(one, click.Argument)]
        for argument in arguments:
            if argument.required or random.random() < 0.7:
                line.append(random.choice(("v.mp4", "v.npz", random.choice(TEXTS))))
        for option in random.sample(options, min(len(options), random.randint(1, 4))):
            line.append(option.opts[-1])
            if not option.is_flag and option.nargs == 1:
                known = list(option.type.choices) if isinstance(option.type, click.Choice) else []
                line.append(str(random.choice([*TEXTS, *known])))
        return line


def _build(folder: Path) -> None:
    from tests.fuzz.families import _recording, _video

    _video(folder)
    _recording(folder)
    (folder / "m.npz").rename(folder / "v.npz")


def _use(folder: Path) -> None:
    line = json.loads((folder / ".arguments").read_text())
    signal.setitimer(signal.ITIMER_REAL, STOP_S)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        run_command(line)
    if "Traceback" in said.getvalue():
        raise RuntimeError(f"a traceback on stderr of {line}")


OPTIONS = OptionFamily(_build, _use, "*", 12)
