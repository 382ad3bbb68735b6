"""Learned regressors: networks that see crops of hands and give MANO parameters, and the one loop that trains them."""
