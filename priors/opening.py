"""Open any prior by name or path, whatever kind of model the file holds."""

from pathlib import Path

from hmpfit.errors import InputError
from hmpfit.files.weights import read_metadata
from hmpfit.priors.gmm import files
from hmpfit.priors.gmm.mixture import GaussianMixture
from hmpfit.priors.motion_field.loading import WEIGHTS, checked_digest, load_prior
from hmpfit.priors.motion_field.network import MotionPrior

Prior = MotionPrior | GaussianMixture


def open_prior(name_or_path: str | Path) -> Prior:
    """Load a shipped prior by name ("default", "gmm", "nemf", "pca") or one that `train-prior` wrote by its path.

    Float32, evaluation mode. Raises UnknownNameError and InputError as `load_prior` does.
    """
    if name_or_path == "pca" and not Path("pca").is_file():
        return load_pca()
    path = Path(name_or_path)
    if not path.is_file() and not path.suffix and path.parent == Path("."):
        path = WEIGHTS / f"{name_or_path}.safetensors"
    if not path.is_file():
        return load_prior(name_or_path)
    metadata = _metadata(path)
    if metadata.get("kind") != files.KIND:
        return load_prior(name_or_path)
    digest = checked_digest(path)
    prior = files.read_gaussians(path, metadata)
    prior.name, prior.fingerprint = path.stem, digest[:16]
    return prior.eval()


def load_gmm() -> Prior:
    """Load the shipped mixture of Gaussians."""
    return open_prior("gmm")


def load_nemf() -> Prior:
    """Load the shipped neural motion field."""
    return open_prior("nemf")


def load_pca() -> Prior:
    """Load the shipped mixture's single Gaussian: PCA with its variances."""
    mixture = open_prior("gmm")
    assert isinstance(mixture, GaussianMixture)
    return mixture.as_one("pca").eval()


def _metadata(path: Path) -> dict[str, str]:
    try:
        return read_metadata(path)
    except InputError:
        return {}  # `load_prior` raises for what is wrong with it
