"""Training of motion priors: windows and masks, the objective, a start from statistics, and the Lightning run."""
