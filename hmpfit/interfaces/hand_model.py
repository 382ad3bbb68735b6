"""The family `hand_models`: what a hand model is; the records lie in `hands.model`, which the forward pass reads."""

from hmpfit.hands.model import HandModel, HandModels, LoadHandModels

__all__ = ["HandModel", "HandModels", "LoadHandModels"]
