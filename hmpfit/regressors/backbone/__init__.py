"""What all regressors see with: ResNet-50, a light stand-in for CPUs, and the feature pyramid on top."""
