"""Which torch device a run computes on."""

from hmpfit.errors import InputError


def device_for(name: str) -> str:
    """Return the torch device that "auto", "cpu" or "cuda" means here. Raises InputError where there is no GPU."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda needs a GPU that torch can use, and there is none; leave --device out.")
    return "cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu")
