"""Gaussian priors on disk: one safetensors file, axes in half precision."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save

from hmpfit.errors import InputError
from hmpfit.files.replacing import replace_file
from hmpfit.files.weights import read_tensors
from hmpfit.priors.gmm.mixture import ANGLES, GaussianMixture

KIND = "hmpfit Gaussian prior"


def save_gaussians(prior: GaussianMixture, path: Path) -> str:
    """Write a Gaussian prior and return the file's sha256."""
    tensors = {key: value.detach().cpu().float().contiguous() for key, value in prior.state_dict().items()}
    tensors["axes"] = tensors["axes"].half()
    content = save(tensors, {"kind": KIND, "fps": repr(prior.fps)})
    temporary = path.with_suffix(".part")
    temporary.write_bytes(content)
    replace_file(temporary, path)
    return hashlib.sha256(content).hexdigest()


def read_gaussians(path: Path, metadata: dict[str, str]) -> GaussianMixture:
    """Read a Gaussian prior in float32, given its file's metadata. Raises InputError when its arrays do not fit."""
    tensors = {key: value.float() for key, value in read_tensors(path).items()}
    try:
        coefficients, frames, angles = tensors["axes"].shape
        components = len(tensors["shares"])
        fits = angles == ANGLES and {key: tuple(value.shape) for key, value in tensors.items()} == {
            "mean": (frames, angles),
            "axes": (coefficients, frames, angles),
            "centres": (components, coefficients),
            "factors": (components, coefficients, coefficients),
            "shares": (components,),
            "noise": (),
            "skeleton": (16, 3),
            "tips": (5, 3),
        }
        fps = float(metadata["fps"])
    except (KeyError, ValueError):
        fits, fps = False, 0.0
    if not fits or not 1 <= fps <= 1000 or not all(torch.isfinite(value).all() for value in tensors.values()):
        raise InputError(f"The Gaussian prior '{path}' lacks arrays or holds wrong ones; train it anew.")
    return GaussianMixture(**tensors, fps=fps)  # type: ignore[arg-type]
