"""Gaussian priors, the baselines `gmm` and `pca`: whole windows as PCA coefficients under a mixture of Gaussians."""
