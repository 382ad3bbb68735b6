"""The NeMF-based motion prior: a VAE whose decoder is a continuous function of time."""
