"""Length and learning rates of prior trainings, as data; apart from the run so that nothing here imports Lightning."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. The linear codec that training starts from learns at `codec_rate` of the rate."""

    steps: int = 4000
    batch: int = 32
    learning_rate: float = 6e-4
    codec_rate: float = 0.1
    warm_up_steps: int = 100
    weight_decay: float = 1e-4
    average: float = 0.998  # decay of the running mean of weights, which is what is kept; 0: the weights themselves
    cosine: bool = True  # the rate falls to 2 % along a cosine; else it stays
    clip: float = 1.0  # largest norm of a gradient; 0: any
    validate_every: int = 200
    seed: int = 0
    optimizer: str = "adamw"  # or "adamax", the paper's


SMALL = Schedule(steps=9000, batch=24, learning_rate=2e-3)
NEMF = Schedule(steps=12000, batch=16, learning_rate=1e-3)
PAPER_WITH_ADDITIONS = Schedule(batch=16, learning_rate=1e-4, optimizer="adamax")  # the paper's and what is ours
# docs/method.md section 5
PAPER = replace(PAPER_WITH_ADDITIONS, warm_up_steps=0, average=0.0, cosine=False, clip=0.0)
PRESETS = {"small": SMALL, "nemf": NEMF, "paper": PAPER}
