"""Import mmpose without the parts of its stack that do not install: mmdet, mmcv's compiled operators, pkg_resources.

All make-do lies in this one file and is gone once the imports are done; a full stack is left alone.
Also here: reading mmpose's checkpoints without running what is in them.
"""

import contextlib
import importlib.util
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.hands.restricted_pickle import Refused, Restricted

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


def read_state(path: Path) -> dict[str, Any]:
    """Return the weights of an mmpose checkpoint by name. Raises InputError for anything else than a checkpoint."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_pickle_module())
    except Refused as refused:
        raise InputError(
            f"'{path}' asks to load '{refused}', which no checkpoint needs; the file was refused and nothing in it ran."
        ) from None
    except FileNotFoundError:
        raise InputError(f"The mmpose checkpoint '{path}' does not exist.") from None
    except Exception as error:  # whatever broken bytes make the reader do
        raise InputError(f"'{path}' is not a readable mmpose checkpoint ({type(error).__name__}: {error}).") from None
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"'{path}' holds no state_dict of tensors; give a checkpoint that mmpose wrote.")
    return dict(state)


class _Ignored:
    """Stands in for mmengine's log buffers and the like, whose content is not needed."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass


def _pickle_module() -> Any:
    import torch

    class Unpickler(Restricted, pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("collections", "OrderedDict"):
                return OrderedDict
            if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
                return getattr(torch._utils, name)
            if module == "torch" and (name.endswith("Storage") or name in ("Size", "device")):
                return getattr(torch, name)
            if module.partition(".")[0] in ("mmengine", "mmcv", "mmpose", "datetime"):
                return _Ignored
            return super().find_class(module, name)

    return SimpleNamespace(Unpickler=Unpickler, load=pickle.load, __name__="restricted")


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
