"""Every option of every command with hostile values, chosen from the commands themselves: new ones are fuzzed too.

Each line runs in a process of its own, as from a shell. A command that turns out to be valid works for some seconds, is
asked to end (SIGTERM), and must do so.
"""

import contextlib
import importlib
import io
import json
import os
import pkgutil
import shutil
from pathlib import Path
from random import Random

import click

from hmpfit.command_line.main import COMMANDS, commands
from hmpfit.errors import HmpfitError
from tests.fuzz.families import Family, run_command

TEXTS = (
    "", " ", "-1", "0", "1", "nan", "inf", "-inf", "1e308", "1e-320", "99999999999999999999", "1:2", "5:1", "0:0",
    "-3:-1", "a,b,c,d", "1,2,3,4", "nan,nan,nan,nan", "0,0,0,0", "1e308,1,1,1", "absent.mp4", "/dev/zero",
    "/proc/self/mem", ".", "\xe9\u4e2d", "\udc80", "a" * 300, "file:", "file:absent", "file:/dev/zero", "default",
    "none", "open", "stages.1.weights.prior=nan", "stages.9.x=1", "keypoints.gamma=-1", "stages=[]", "x=[[[[",
    "solver=1", "=", "a.b", "v.mp4", "v.npz", "cuda", "cuda:99", "both", "ho3d:.", "synthetic:.", "ho3d", ":",
    "http://[::1", "ftp://x/a", "/proc/x", "-", "pipe", "/dev/full", "/dev/null", "locked", "p.jpg", "run",
    "run/result.npz", "file:v.npz", "runs:run", "truth:.", "mediapipe", "assumed", "moving", "file:run", "1920x1080",
    "0.5", "1e9", "2", "1000000", "x" * 5000, "a\nb", "~", "~absent/x", "run/", "../case/v.mp4", "%s%n", "$HOME",
    "C:\\x", "v.mp4#t=1",
)  # fmt: skip
ENVIRONMENT = (
    "HMPFIT_MANO=/dev/zero", "HMPFIT_MANO=absent", "HMPFIT_MANO=v.npz", "XDG_CACHE_HOME=/dev/null", "HOME=/absent",
    "XDG_CACHE_HOME=locked", "TMPDIR=/absent", "PYTHONIOENCODING=ascii", "COLUMNS=1", "COLUMNS=x", "NO_COLOR=1",
    "OMP_NUM_THREADS=0", "CUDA_VISIBLE_DEVICES=99", "LC_ALL=tr_TR.UTF-8", "TERM=dumb",
)  # fmt: skip


class OptionFamily(Family):
    """A family whose case is a command line instead of a damaged file, and which gets a process of its own."""

    def choose(self, random: Random) -> list[str]:
        """Return a command with hostile values for some of its parameters, perhaps behind NAME=VALUE."""
        name = random.choice(sorted(COMMANDS))
        line, command = [name], commands.get_command(click.Context(commands), name)
        assert command is not None
        while isinstance(command, click.Group):  # its commands may be known by name only, and imported when asked for
            context = click.Context(command)
            line.append(random.choice(sorted(command.list_commands(context))))
            command = command.get_command(context, line[-1])
            assert command is not None
        options = [one for one in command.params if isinstance(one, click.Option)]
        for argument in (one for one in command.params if isinstance(one, click.Argument)):
            if argument.required or random.random() < 0.7:
                for _ in range(random.choice((1, 1, 1, 2)) if argument.nargs == -1 else 1):
                    line.append(random.choice(("v.mp4", "run", "run", "p.jpg", "v.npz", random.choice(TEXTS))))
        needed = [one for one in options if one.required and random.random() < 0.8]
        for option in {*needed, *random.sample(options, min(len(options), random.choice((0, 1, 1, 2, 4))))}:
            line.append(random.choice(option.opts))
            for _ in range(0 if option.is_flag or option.count else option.nargs):
                known = list(option.type.choices) if isinstance(option.type, click.Choice) else []
                line.append(str(random.choice([*TEXTS, *known, *known])))
        return [random.choice(ENVIRONMENT), *line] if random.random() < 0.15 else line


def _build(folder: Path) -> None:
    from tests.fuzz.clips import _photos
    from tests.fuzz.families import _recording, _run_folder, _video

    _video(folder)
    _recording(folder)
    (folder / "m.npz").rename(folder / "v.npz")
    _photos(folder)
    (folder / "a.jpg").rename(folder / "p.jpg")
    for name in ("b.webp", "c.png", "d.tif", "e.gif"):
        (folder / name).unlink()
    (folder / "run").mkdir()
    _run_folder(folder / "run")


def preload() -> None:
    """Import what commands import, once for all the processes that are forked off."""
    import hmpfit.command_line

    for module in pkgutil.iter_modules(hmpfit.command_line.__path__):
        importlib.import_module(f"hmpfit.command_line.{module.name}")
    for name in ("pipeline", "pipeline.detect", "exporters.glb", "viewing.report", "viewing.overlay", "video.clip"):
        importlib.import_module(f"hmpfit.{name}")


def _use(folder: Path) -> None:
    line = json.loads((folder / ".arguments").read_text())
    while line and "=" in line[0]:
        name, _, value = line.pop(0).partition("=")
        os.environ[name] = value
    os.mkfifo(folder / "pipe")
    (folder / "locked").mkdir(mode=0o500)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = run_command(line)
    if "Traceback" in said.getvalue():
        raise RuntimeError(f"a traceback on stderr of {line}: {said.getvalue()[-500:]}")
    if code == 2:
        raise HmpfitError(said.getvalue().strip()[-1500:])


def tidy(folder: Path) -> None:
    """Remove what only this family lays, so that the next case can."""
    (folder / "pipe").unlink(missing_ok=True)
    shutil.rmtree(folder / "locked", ignore_errors=True)


OPTIONS = OptionFamily(_build, _use, "*", 12)
