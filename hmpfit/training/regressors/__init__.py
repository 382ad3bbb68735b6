"""Training of regressors: samples, the one loop for all networks, and the files that it leaves."""
