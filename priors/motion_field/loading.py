"""Priors on disk: safetensors weights whose metadata holds the sizes, and a card with the checksum and figures."""

import hashlib
import json
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save
from torch import Tensor

from hmpfit.cards import read_card
from hmpfit.errors import InputError, UnknownNameError, UnreadableFileError
from hmpfit.files.opening import explained, read_bytes
from hmpfit.files.replacing import replace_file
from hmpfit.files.schemas import check_sizes
from hmpfit.files.weights import WEIGHTS_MOST, read_metadata, read_metadata_table, read_tensors
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.priors.motion_field.sizes import KNOWN, from_table, to_table
from hmpfit.priors.motion_field.skeleton_convolution import SkeletonConvolution

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
KIND = "hmpfit motion prior"
NOT_STORED = 64  # at least one in so many weights exists and is stored
HINT = "train one with `hmpfit train-prior` or leave --prior out to use the shipped one"


def known_priors() -> tuple[str, ...]:
    """Return the names of the priors that ship with the package."""
    return tuple(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))


def load_default() -> MotionPrior:
    """Load the shipped default prior."""
    return load_prior("default")


def load_prior(name_or_path: str | Path) -> MotionPrior:
    """Load a shipped prior by name, or one that `train-prior` wrote by its path, in float32 and evaluation mode.

    Raises UnknownNameError, listing the shipped ones, and InputError for files that are no prior, are damaged, or
    differ from their card.
    """
    path = Path(name_or_path)
    if not path.is_file():
        if path.suffix or path.parent != Path("."):
            raise InputError(f"There is no prior at '{path}'; shipped priors: {', '.join(known_priors()) or 'none'}.")
        path = WEIGHTS / f"{name_or_path}.safetensors"
        if not path.is_file():
            raise UnknownNameError("prior", str(name_or_path), known_priors())
    digest = checked_digest(path)
    prior = _read(path)
    prior.name, prior.fingerprint = path.stem, digest[:16]
    return prior.eval().requires_grad_(False)


def checked_digest(path: Path) -> str:
    """Return the sha256 of a prior's file. Raises InputError when its card has another."""
    digest = hashlib.sha256(read_bytes(path, WEIGHTS_MOST)).hexdigest()
    if read_card(path).get("sha256", digest) != digest:
        raise InputError(f"The prior '{path}' is not the file its card describes (its checksum differs); get it anew.")
    return digest


def save_prior(prior: MotionPrior, path: Path, dtype: torch.dtype = torch.float16) -> str:
    """Write a prior's weights to a safetensors file and return its sha256; statistics and skeleton stay float32."""
    near = _existing_weights(prior)
    tensors = {}
    for key, value in prior.state_dict().items():
        kept = value.detach().cpu()
        kept = kept[near[key]] if key in near else kept
        tensors[key] = kept.to(dtype if "." in key else torch.float32).contiguous()
    content = save(tensors, {"kind": KIND, "sizes": json.dumps(to_table(prior.sizes))})
    temporary = path.with_suffix(".part")
    temporary.write_bytes(content)
    replace_file(temporary, path)
    return hashlib.sha256(content).hexdigest()


def _existing_weights(prior: MotionPrior) -> dict[str, Tensor]:
    """Return, for weights between joints of which most do not exist, which do: only those are stored."""
    found = {}
    for name, module in prior.named_modules():
        if isinstance(module, SkeletonConvolution):
            mask = cast(Tensor, module.mask).cpu()
            found[f"{name}.weight"] = mask.expand_as(module.weight) > 0
    return found


def _read(path: Path) -> MotionPrior:
    try:
        metadata = read_metadata(path)
        if metadata.get("kind") != KIND:
            raise InputError(f"'{path}' is a safetensors file but not a motion prior; {HINT}.")
        tensors = {key: value.float() for key, value in read_tensors(path).items()}
    except UnreadableFileError as error:
        raise InputError(f"'{path}' is not a readable safetensors file: {error.reason}; {HINT}.") from None
    try:
        sizes = from_table(read_metadata_table(path, metadata, "sizes"))
        unusual = check_sizes(to_table(sizes), [to_table(one) for one in KNOWN.values()])
    except (UnreadableFileError, ValueError, TypeError) as error:
        raise InputError(f"The sizes inside the prior '{path}' are not readable ({error}); {HINT}.") from error
    if unusual:
        with explained(path, "a prior of possible sizes"), torch.device("meta"):  # shapes without memory
            asked = sum(value.numel() for value in MotionPrior(sizes).state_dict().values())
            if asked > NOT_STORED * sum(value.numel() for value in tensors.values()):
                raise ValueError("its sizes ask for far more weights than it holds")
    with explained(path, "a prior of possible sizes"):
        prior = MotionPrior(sizes)
    near = _compare(prior, tensors, path)
    for key, exists in near.items():
        whole = torch.zeros(exists.shape)
        whole[exists] = tensors[key]
        tensors[key] = whole
    prior.load_state_dict(tensors)
    return prior


def _compare(prior: MotionPrior, tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return which weights exist, as `_existing_weights`. Raises InputError when the file has others."""
    near = _existing_weights(prior)
    wanted = {
        key: (int(near[key].sum()),) if key in near else tuple(value.shape) for key, value in prior.state_dict().items()
    }
    wrong = [key for key, shape in wanted.items() if key not in tensors or tuple(tensors[key].shape) != shape]
    wrong += sorted(set(tensors) - set(wanted))
    if wrong:
        raise InputError(
            f"The prior '{path}' lacks the weights its sizes call for ({len(wrong)} differ, first '{wrong[0]}');"
            f" {HINT}."
        )
    return near
