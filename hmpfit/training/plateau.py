"""A schedule that halves the learning rate when the training loss stops falling (HandDGCL, section 4.1).

torch's `ReduceLROnPlateau` needs one number an epoch, and a resumed training must not forget the epoch that it was
in: this counts steps and keeps its own few numbers.
"""

from typing import Any

from hmpfit.regressors.plan import Plateau


class PlateauRate:
    """Follows a training's loss step by step and returns the learning rate as a share of the first."""

    def __init__(self, plateau: Plateau, steps_per_epoch: int, learning_rate: float) -> None:
        self.plateau, self.steps_per_epoch, self.learning_rate = plateau, steps_per_epoch, learning_rate
        self.share, self.lowest, self.still = 1.0, float("inf"), 0
        self.sum, self.steps = 0.0, 0

    def follow(self, loss: float) -> None:
        """Take the loss of one step."""
        self.sum, self.steps = self.sum + loss, self.steps + 1
        if self.steps < self.steps_per_epoch:
            return
        mean = self.sum / self.steps
        self.sum, self.steps = 0.0, 0
        gained = self.lowest - mean >= self.plateau.least_gain
        self.lowest, self.still = min(self.lowest, mean), 0 if gained else self.still + 1
        if self.still >= self.plateau.epochs:
            least = min(1.0, self.plateau.least_rate / self.learning_rate)
            self.share, self.still = max(self.share * self.plateau.factor, least), 0

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {name: getattr(self, name) for name in _KEPT}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name in _KEPT:
            setattr(self, name, state[name])


_KEPT = ("share", "lowest", "still", "sum", "steps")
