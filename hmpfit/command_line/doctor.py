"""`hmpfit doctor`: what this machine can do, what each optional part needs, and what to type for it.

Every check is small, never raises, and ends in a line: what was tested, whether it works, and the remedy.
"""

import ctypes.util
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import click

from hmpfit import __version__
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import HmpfitError
from hmpfit.strict_json import to_json

APT = "apt install libgl1 libglib2.0-0 libegl1"
PACKAGES = (
    "torch", "numpy", "scipy", "mediapipe", "ai-edge-litert", "opencv-contrib-python", "smplx", "roma", "av",
    "click", "rich", "safetensors", "moderngl",
)  # fmt: skip
EXTRAS = (  # module, distribution, what it is for, the extra that brings it
    ("lightning", "lightning", "training the prior", "train"),
    ("tensorboard", "tensorboard", "watching a training", "train"),
    ("pi_heif", "pi-heif", "HEIC photos", "heic"),
    ("viser", "viser", "hmpfit view", "view"),
    ("starlette", "starlette", "hmpfit app", "app"),
    ("uvicorn", "uvicorn", "hmpfit app", "app"),
    ("rerun", "rerun-sdk", "hmpfit export --to rrd", "view"),
    ("pxr", "usd-core", "hmpfit export --to usd", "animation"),
    ("ezc3d", "ezc3d", "hmpfit export --to c3d", "science"),
    ("h5py", "h5py", "hmpfit export --to egodex", "science"),
    ("pyarrow", "pyarrow", "hmpfit export --to parquet and lerobot", "science"),
    ("dexi_rs", "dexi-rs", "hmpfit export --to robot:NAME", "robots"),
    ("websockets", "websockets", "hmpfit live", "live"),
    ("fsspec", "fsspec", "hmpfit batch --manifest", "scale"),
)
PACKAGE = Path(__file__).resolve().parents[1]
MANO = "https://mano.is.tue.mpg.de"


@dataclass(frozen=True)
class Check:
    """One line of the report; `hmpfit run` fails without what is `needed`."""

    part: str
    works: bool
    found: str
    remedy: str = ""
    needed: bool = True


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Say what this machine can do, and what to type for the rest. Exits with 2 when `hmpfit run` cannot work."""
    checks = examine()
    healthy = all(check.works for check in checks if check.needed)
    if as_json:
        click.echo(to_json({"version": __version__, "healthy": healthy, "checks": [asdict(check) for check in checks]}))
    else:
        _print_summary(checks, healthy)
    return 0 if healthy else 2


def examine() -> list[Check]:
    """Run every check and return its line."""
    checks = [
        Check("python", (3, 11) <= sys.version_info[:2] < (3, 13), platform.python_version(), "use Python 3.11 or 3.12")
    ]
    checks += [_package(name) for name in PACKAGES]
    checks += [_extra(*told) for told in EXTRAS]
    looks: dict[str, tuple[Callable[[], str], str, bool]] = {
        "device cpu": (_cpu, "", True),
        "device cuda": (_cuda, "needs an NVIDIA GPU and a CUDA build of torch; the CPU does", False),
        "opencv": (_opencv, APT, True),
        "h264 encoder": (_h264, to_install("av"), True),
        "renderer (EGL)": (_egl, f"{APT}; without it a slower painter draws", False),
        "hand detector": (_detector, f"{to_install('mediapipe')}, or --hand-landmarker PATH", True),
        "hand model open": (lambda: _hand("open"), "reinstall hmpfit: the file ships inside the package", True),
        "hand model MANO": (
            _mano,
            f"optional: register at {MANO} and give --hand-model PATH or set $HMPFIT_MANO",
            False,
        ),
        "motion prior": (_prior, "reinstall hmpfit, or run with --prior none", True),
    }
    checks += [_look(part, *told) for part, told in looks.items()]
    return checks


def _package(name: str) -> Check:
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, "not installed", to_install(name))


def _extra(module: str, distribution: str, purpose: str, extra: str) -> Check:
    if importlib.util.find_spec(module) is None:
        return Check(distribution, False, f"not installed ({purpose})", to_install(distribution, extra), False)
    try:
        return Check(distribution, True, version(distribution), needed=False)
    except PackageNotFoundError:
        return Check(distribution, True, "installed, its version is not known", needed=False)


def to_install(distribution: str, extra: str | None = None, package: Path = PACKAGE) -> str:
    """Return what to type for a package: in a checkout with its pins, else as the installed hmpfit asks for it."""
    if (package.parent / "constraints.txt").is_file():
        what = distribution if extra is None else f'".[{extra}]"'
        return f"pip install -c constraints.txt {what}"
    try:
        asked = [line.partition(";")[0].strip() for line in requires("hmpfit") or ()]
    except PackageNotFoundError:
        asked = []
    found = next((line for line in asked if re.split(r"[<>=!~ ]", line)[0] == distribution), distribution)
    by_pipx = (Path(sys.prefix) / "pipx_metadata.json").is_file()
    command = "pipx inject hmpfit" if by_pipx else "pip install"
    return f'{command} "{found}"'


def _look(part: str, look: Callable[[], str], remedy: str, needed: bool) -> Check:
    try:
        return Check(part, True, look(), needed=needed)
    except (HmpfitError, ImportError, OSError, RuntimeError, ValueError) as error:
        return Check(part, False, " ".join(str(error).split()) or type(error).__name__, remedy, needed)
    except Exception as error:  # a broken driver may raise anything, and the doctor must go on to the next patient
        return Check(part, False, f"{type(error).__name__}: {' '.join(str(error).split())}", remedy, needed)


def _cpu() -> str:
    import torch

    return f"{len(os.sched_getaffinity(0))} cores, torch uses {torch.get_num_threads()} threads"


def _cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("no GPU that torch can use")
    return ", ".join(torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count()))


def _opencv() -> str:
    import cv2

    return str(cv2.__version__)


def _h264() -> str:
    import av

    return str(av.Codec("libx264", "w").long_name)


def _egl() -> str:
    if ctypes.util.find_library("EGL") is None:
        raise OSError("libEGL is not installed")
    from hmpfit.synthesis.renderer import opengl_name

    return opengl_name()


def _detector() -> str:
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        raise ImportError("mediapipe is not installed")
    own = os.environ.get("HMPFIT_HAND_LANDMARKER")
    if own:
        if not Path(own).is_file():
            raise OSError(f"$HMPFIT_HAND_LANDMARKER names '{own}', which is not a file")
        return own
    modules = Path(spec.origin).parent / "modules"
    for model in ("palm_detection/palm_detection_full.tflite", "hand_landmark/hand_landmark_full.tflite"):
        if not (modules / model).is_file():
            raise OSError(f"mediapipe {version('mediapipe')} does not carry {model}")
    return "models inside the mediapipe package"


def _hand(source: str) -> str:
    from hmpfit.hands.model_files import load_hand_models

    model = load_hand_models(source).right
    return f"{model.name}, {len(model.v_template)} vertices, {model.licence}"


def _mano() -> str:
    source = os.environ.get("HMPFIT_MANO")
    if not source:
        raise OSError("$HMPFIT_MANO is not set")
    return f"{source}: {_hand(source)}"


def _prior() -> str:
    from hmpfit.priors.motion_field.loading import load_default

    prior = load_default()
    return f"{prior.name}, {prior.window_frames} frames at {prior.fps:g} frames/s"


def _print_summary(checks: list[Check], healthy: bool) -> None:
    """Print a line a check and one a remedy: nothing is wrapped, so commands and addresses can be copied whole."""
    click.echo(f"hmpfit {__version__} on {platform.platform()}\n")
    width = max(len(check.part) for check in checks)
    for check in checks:
        mark, color = ("ok", "green") if check.works else ("missing", "red") if check.needed else ("no", "yellow")
        click.echo(f"{check.part:<{width}}  {click.style(f'{mark:<7}', fg=color)}  {check.found}")
        if check.remedy and not check.works:
            click.echo(f"{'':<{width + 9}}  {check.remedy}")
    click.echo()
    click.echo("hmpfit run works here." if healthy else "hmpfit run cannot work here yet: see what is missing.")
