"""Training of motion priors and regressors on Lightning (extra `train`)."""
