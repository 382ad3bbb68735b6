"""Backbones of all regressors: ResNet-50, a light one for CPUs, and the feature pyramid on top."""
