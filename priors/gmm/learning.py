"""Fit the Gaussian priors to windows of motion (extra `train`: scikit-learn)."""

import numpy as np
import torch
from torch import Tensor

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.geometry import rotations
from hmpfit.priors.gmm.mixture import GaussianMixture

COEFFICIENTS = 64  # the paper's; docs/method.md section 5
REGULARIZATION = 1e-3  # rad^2 added to each coefficient's variance: EM's floor
SMALLEST_NOISE = 0.01  # rad


def learn_gaussians(
    whole: Tensor, kind: str, skeleton: Tensor, tips: Tensor, components: int = 1, fps: float = 30.0, seed: int = 0
) -> GaussianMixture:
    """Fit PCA and `components` full-covariance Gaussians to windows [N, T, 15, 3, 3]; `kind` names the result.

    The paper's GMM has one component, which is PCA with its variances. `skeleton` [16, 3] and `tips` [5, 3] in meters
    go into the prior. Raises InputError when there are not enough windows for the coefficients, and
    MissingExtraError.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture as Mixture
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the prior '{kind}'", "scikit-learn", "pip install scikit-learn") from error
    least = 2 * COEFFICIENTS * components
    if len(whole) < least:
        raise InputError(
            f"The prior '{kind}' needs {least} whole windows of {whole.shape[1]} frames, and {len(whole)} were found;"
            " give longer motion, or --generated N."
        )
    angles = rotations.log(whole).flatten(1).numpy()
    reduced = PCA(COEFFICIENTS, svd_solver="randomized", random_state=seed)
    coefficients = reduced.fit_transform(angles)
    mixture = Mixture(components, reg_covar=REGULARIZATION, random_state=seed, max_iter=300).fit(coefficients)
    left = angles - reduced.inverse_transform(coefficients)
    frames = whole.shape[1]

    def tensor(array: np.ndarray) -> Tensor:
        return torch.tensor(np.asarray(array), dtype=torch.float32)

    return GaussianMixture(
        tensor(reduced.mean_.reshape(frames, -1)),
        tensor(reduced.components_.reshape(COEFFICIENTS, frames, -1)),
        tensor(mixture.means_),
        tensor(np.linalg.cholesky(mixture.covariances_)),
        tensor(mixture.weights_),
        tensor(np.maximum(left.std(), SMALLEST_NOISE)),
        skeleton,
        tips,
        fps,
        kind,
    )
