"""The sizes a motion prior can have, as data: `PAPER` (docs/method.md section 5), `NEMF`, the same field small enough
for a CPU, and `SMALL`, the default.

Apart from the network so that cards and checkpoints can name sizes without importing torch.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hmpfit.errors import InputError


@dataclass(frozen=True)
class Sizes:
    """Every number that shapes a `MotionPrior`.

    `path_channels` > 0 adds a latent path c(t), a cosine series in time whose coefficients are linear in z, which
    enters the first layer and, linearly, the output; its encoder is in closed form but for the gaps. With
    `latent_in_layers` every layer sees z itself, as in NeMF. With `angles` the decoder's numbers are axis-angle, in
    which hands move along fewer directions than in 6D, and no layers are needed.
    """

    latent: int
    width: int
    layers: int
    channels: tuple[int, ...] = ()  # encoder, per joint, after each of the residual blocks; time halves at each
    frequencies: int = 7
    latent_in_layers: bool = True
    path_channels: int = 0
    path_waves: int = 0
    gap_width: int = 0  # of the network that learns in-betweening along the path
    observed_std: float = 0.02  # noise of a known frame's path, radians
    angles: bool = False
    extra_convolutions: int = 0  # stride-1 convolutions before the strided one of each encoder block
    root_latent: int = 0  # > 0: NeMF's global branch and encoder, for the root's rotation
    window_frames: int = 128
    fps: float = 30.0


PAPER = Sizes(
    latent=1024, width=1024, layers=8, channels=(30, 60, 120, 240), extra_convolutions=1, root_latent=256
)  # fmt: skip
SMALL = Sizes(
    latent=384,
    width=0,
    layers=0,
    latent_in_layers=False,
    path_channels=32,
    path_waves=40,
    gap_width=128,
    angles=True,
)
NEMF = Sizes(latent=128, width=192, layers=4, channels=(6, 12, 24, 48), frequencies=6)
KNOWN: Mapping[str, Sizes] = {"paper": PAPER, "nemf": NEMF, "small": SMALL}


def to_table(sizes: Sizes) -> dict[str, Any]:
    """Return the sizes as plain values that TOML and JSON can hold."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(sizes).items()}


def from_table(table: Mapping[str, Any]) -> Sizes:
    """Build sizes from plain values; InputError names missing, unknown or mistyped keys."""
    known = {field.name for field in fields(Sizes)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise InputError(
            f"The prior's sizes hold unknown keys {', '.join(unknown)}; known: {', '.join(sorted(known))}."
        )
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        return Sizes(**values)
    except TypeError as error:
        raise InputError(f"The prior's sizes are incomplete: {error}.") from error
