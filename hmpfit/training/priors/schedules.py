"""How long and how fast priors train, as data; apart from the run so that nothing here imports Lightning."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. The linear codec that training starts from learns at `codec_rate` of the rate."""

    steps: int = 4000
    batch: int = 32
    learning_rate: float = 6e-4
    codec_rate: float = 0.1
    warm_up_steps: int = 100
    weight_decay: float = 1e-4
    average: float = 0.998  # decay of the running mean of weights, which is what is kept
    validate_every: int = 200
    seed: int = 0
    optimizer: str = "adamw"  # or "adamax", the paper's


SMALL = Schedule(steps=9000, batch=24, learning_rate=2e-3)
PAPER = Schedule(batch=16, learning_rate=1e-4, optimizer="adamax")  # docs/method.md section 5
PRESETS = {"small": SMALL, "paper": PAPER}
