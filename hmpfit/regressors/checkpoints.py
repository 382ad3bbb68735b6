"""Networks on disk: safetensors weights whose metadata holds the network's name and switches, and a card beside them.

Separate from training, because a run of `hmpfit run` loads networks and trains none.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from hmpfit import registry
from hmpfit.cards import read_card
from hmpfit.errors import InputError
from hmpfit.files.opening import explained, read_bytes
from hmpfit.files.replacing import replace_file
from hmpfit.files.schemas import check_sizes
from hmpfit.files.weights import WEIGHTS_MOST, read_metadata, read_metadata_table, read_tensors
from hmpfit.regressors.plan import NetworkPlan, differing

WEIGHTS = Path(__file__).resolve().parent / "weights"
POINTS = "points"  # the part of two-hand networks that reads points
KIND, ABOUT = "hmpfit regressor", "about"
_RENAMED_PARTS = {"eyes": "image_encoder", "eyes_for_all": "pair_encoder"}


def load_plan(name: str) -> NetworkPlan:
    """Return the plan of a network. Raises UnknownNameError, listing the known ones."""
    plan: NetworkPlan = registry.load("networks", name)
    return plan


def shipped(name: str) -> tuple[str, ...]:
    """Return the sizes of a network whose weights ship with the package."""
    return tuple(sorted(path.stem.removeprefix(f"{name}_") for path in WEIGHTS.glob(f"{name}_*.safetensors")))


def find(name: str, checkpoint: str | Path | None = None) -> Path:
    """Return the weights file that `--checkpoint` means: a path, a size that ships, or None for the small one.

    Raises InputError when the network has no such weights.
    """
    if checkpoint is not None and Path(checkpoint).is_file():
        return Path(checkpoint)
    size = "small" if checkpoint is None else str(checkpoint)
    path = WEIGHTS / f"{name}_{size}.safetensors"
    if path.is_file():
        return path
    have = ", ".join(shipped(name)) or "none"
    if checkpoint is not None and size not in load_plan(name).sizes:
        raise InputError(f"There is no checkpoint at '{checkpoint}'; sizes of {name} that ship: {have}.")
    raise InputError(
        f"No weights of {name} in the size '{size}' ship with hmpfit (shipped sizes: {have}); train some with "
        f"`hmpfit train {name} --size {size} --data KIND:PATH -o DIR` and give DIR/{name}.safetensors by --checkpoint."
    )


def load_network(path: Path, name: str, switches: Any = None) -> tuple[nn.Module, Any]:
    """Load weights of the network `name` in float32 and evaluation mode; return it and its switches.

    With `switches` given, the file must be of these. Raises InputError, listing the switches that differ, for files of
    another network or of other switches, for damaged ones and for ones that differ from their card.
    """
    plan = load_plan(name)
    about = read_metadata_table(path, read_metadata(path), ABOUT)
    if about.get("kind") != KIND:
        raise InputError(f"'{path}' is a safetensors file but no regressor; `hmpfit train {name}` writes such files.")
    if about.get("network") != name:
        raise InputError(f"'{path}' holds the network {about.get('network')}, and {name} was asked for.")
    try:
        found = plan.from_table(about["switches"])
        known = [asdict(one) for one in plan.sizes.values()]
        unusual = check_sizes(asdict(found), known)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"The switches inside '{path}' are not readable ({error}); train it anew.") from error
    if switches is not None and found != switches:
        raise InputError(
            f"'{path}' was trained with other switches: {'; '.join(differing(found, switches))}. Choose these, or "
            "another checkpoint."
        )
    expected = read_card(path).get("sha256")
    if expected is not None and expected != hashlib.sha256(read_bytes(path, WEIGHTS_MOST)).hexdigest():
        raise InputError(f"'{path}' is not the file its card describes (its checksum differs); get it anew.")
    tensors = _read_weights(path)
    if unusual:
        with explained(path, "a checkpoint of possible switches"), torch.device("meta"):  # shapes without memory
            _compare(plan.build(found), tensors, path)
    with explained(path, "a checkpoint of possible switches"):
        network = plan.build(found)
    own = _compare(network, tensors, path)
    network.load_state_dict({key: tensors[key].to(value.dtype) for key, value in own.items()})
    return network.eval().requires_grad_(False), found


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return a file's weights; parts that the version before called otherwise have their names of now."""
    out = {}
    for key, value in read_tensors(path).items():
        part, dot, rest = key.partition(".")
        out[_RENAMED_PARTS.get(part, part) + dot + rest] = value
    return out


def _compare(network: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    own: dict[str, torch.Tensor] = network.state_dict()
    wrong = [key for key, value in own.items() if key not in tensors or tensors[key].shape != value.shape]
    wrong += sorted(set(tensors) - set(own))
    if wrong:
        raise InputError(f"'{path}' lacks weights that its switches call for ({len(wrong)}, first '{wrong[0]}').")
    return own


def is_regressor(path: Path) -> bool:
    """Return whether a file holds a network of ours."""
    try:
        return bool(read_metadata_table(path, read_metadata(path), ABOUT).get("kind") == KIND)
    except InputError:
        return False


def borrow_backbone(network: nn.Module, path: Path) -> None:
    """Load the backbone of another network of ours into this one's, which was trained on hands.

    What reads points off it comes along where both networks have it. Raises InputError when the backbones are not
    alike.
    """

    def inside(key: str) -> str:
        return key.partition("backbone.")[2]

    stored = _read_weights(path)
    lent: dict[str, torch.Tensor] = {}
    for key in sorted(stored):  # of several backbones (IFVONet's) the first, which sees single pictures
        if inside(key):
            lent.setdefault(inside(key), stored[key])
    own = {key: value for key, value in network.state_dict().items() if inside(key)}
    alike = [key for key, value in own.items() if inside(key) in lent and lent[inside(key)].shape == value.shape]
    if not own or len(alike) < len(own):
        raise InputError(f"The backbone of '{path}' is not like this network's; give weights of the same backbone.")
    network.load_state_dict({key: lent[inside(key)].to(own[key].dtype) for key in own}, strict=False)
    reader = network.get_submodule(POINTS).state_dict() if hasattr(network, POINTS) else {}
    read = {key: stored[f"{POINTS}.{key}"] for key in reader if f"{POINTS}.{key}" in stored}
    if reader and all(key in read and read[key].shape == value.shape for key, value in reader.items()):
        network.get_submodule(POINTS).load_state_dict({key: read[key].to(reader[key].dtype) for key in reader})


def save_network(network: nn.Module, name: str, switches: Any, path: Path, dtype: torch.dtype = torch.float16) -> str:
    """Write weights (matrices as `dtype`) and switches to a safetensors file and return its sha256."""
    tensors = {
        key: (value.to(dtype) if value.ndim > 1 else value).detach().cpu().contiguous()  # statistics stay exact
        for key, value in network.state_dict().items()
    }
    about = {"kind": KIND, "network": name, "switches": asdict(switches)}
    content = save(tensors, {ABOUT: json.dumps(about)})  # one key: safetensors orders several at random
    partial = path.with_suffix(".part")
    partial.write_bytes(content)
    replace_file(partial, path)
    return hashlib.sha256(content).hexdigest()
