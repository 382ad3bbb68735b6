"""Import mmpose without the parts of its stack that do not install: mmdet, mmcv's compiled operators, pkg_resources.

All make-do lies in this one file and is gone once the imports are done; a full stack is left alone.
Also here: reading mmpose's checkpoints without running what is in them.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from hmpfit.errors import MissingExtraError
from hmpfit.files.torch_files import read_weights

INSTALL = (
    "pip install --no-deps mmpose==1.3.2 mmengine==0.10.7 mmcv-lite==2.1.0 xtcocotools==1.14.3 && "
    "pip install 'hmpfit[mmpose]'"
)


def mmpose_api() -> Any:
    """Return the module `mmpose.apis`. Raises MissingExtraError, saying what to type."""
    if importlib.util.find_spec("mmpose") is None:
        raise MissingExtraError("--keypoints mmpose", "mmpose", INSTALL)
    try:
        with _stand_ins():
            return importlib.import_module("mmpose.apis")
    except ModuleNotFoundError as error:
        raise MissingExtraError("--keypoints mmpose", error.name or "a part of mmpose", INSTALL) from error


def read_mmpose_weights(path: Path) -> dict[str, Any]:
    """Return the weights of an mmpose checkpoint by name. Raises InputError for anything else than a checkpoint."""
    import torch

    return {name: torch.from_numpy(values) for name, values in read_weights(path, "an mmpose checkpoint").items()}


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Let mmpose import what it never uses here; the stand-ins leave `sys.modules` again at the end."""

    class NotFound(Exception):
        pass

    def get_distribution(name: str) -> Any:
        raise NotFound(name)

    made: dict[str, dict[str, Any]] = {
        "mmcv._ext": {"__getattr__": lambda name: None},
        "mmdet": {"__path__": []},
        "mmdet.utils": {"ConfigType": dict, "reduce_mean": lambda value: value},
        "pkg_resources": {"DistributionNotFound": NotFound, "get_distribution": get_distribution},
        "torchvision": {"__path__": []},
        "torchvision.transforms": {"ToPILImage": type("ToPILImage", (), {})},
    }
    added = []
    for name, content in made.items():
        if _absent(name):
            module = ModuleType(name)
            module.__dict__.update(content)
            sys.modules[name] = module
            added.append(name)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


def _absent(name: str) -> bool:
    if name in sys.modules:
        return False
    root = name.partition(".")[0]
    try:
        return importlib.util.find_spec(name if root == "mmcv" else root) is None
    except (ModuleNotFoundError, ValueError):
        return True
