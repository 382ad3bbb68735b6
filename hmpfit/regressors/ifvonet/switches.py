"""IFVONet's switches: every design decision, so that the paper's ablations (Tables IV to VII) are configurations.

Separate from the modules so that listing sizes imports no torch. What the paper leaves open is resolved in
the papers (docs/method.md); where that says nothing, the comment here does.
"""

from dataclasses import dataclass

from hmpfit.errors import InputError

# single: one frame, the baseline; off: both frames' features as they are; three: variation with each of the last two.
PDV = ("single", "off", "two", "three")
GOR = ("transformer", "fit", "softmax_bn", "sigmoid_bn")  # Table V, top to bottom
VOF = ("off", "concat", "add", "multiply", "dynamic")  # off: recovery alone; concat: Table IV's row without VOF
LOSS_WEIGHTS = ("paper", "small", "frozen")  # whose weights the losses have, see `losses`
BACKBONES = ("resnet50", "light", "mediapipe")  # mediapipe: the frozen landmark network of the installed package

FROZEN_IMAGE, FROZEN_SIDE = 224, 8


@dataclass(frozen=True)
class IfvonetSwitches:
    """The defaults are the paper's."""

    image: int = 256  # side of the crops, pixels
    backbone: str = "resnet50"
    two_backbones: bool = True  # the stacked frames have their own; else one for all, behind a 1x1 stem
    width: int = 256  # channels of all feature maps
    heads: int = 4
    pdv: str = "two"
    pdv_residual: bool = False  # add the values to the variation, which the printed formula does not
    gor: str = "sigmoid_bn"
    gor_blocks: int = 2
    vof: str = "dynamic"
    vof_channels: bool = False  # a possibility for every channel; else one map, summed over channels
    literal: bool = False  # sigmoids, normalized maps and the fusion's product as printed, without what tames them
    tiny_start: bool = True  # weights of attention and head drawn as HandOccNet draws them
    loss_weights: str = "paper"
    upright: bool = False  # crops are turned so that the fingers point up
    spatial: bool = True  # the paper's modules between backbone and head; off: the frozen network's pooled vector alone
    trunk: int = 0  # width of a layer between the code and the pose; 0: none
    dropout: float = 0.0  # of the head's inputs beside the maps

    def __post_init__(self) -> None:
        """Refuse what does not exist. Raises InputError, listing what does."""
        for key, known in (
            ("pdv", PDV),
            ("gor", GOR),
            ("vof", VOF),
            ("backbone", BACKBONES),
            ("loss_weights", LOSS_WEIGHTS),
        ):
            if getattr(self, key) not in known:
                raise InputError(f"Switch {key} = '{getattr(self, key)}' does not exist; known: {', '.join(known)}.")
        if self.pdv == "single" and self.backbone == "mediapipe":
            raise InputError("Switch pdv = 'single' is not for backbone = 'mediapipe', whose head takes two frames.")
        if not self.spatial and self.backbone != "mediapipe":
            raise InputError("Switch spatial = false is for backbone = 'mediapipe', whose head takes more than maps.")
        if self.backbone == "mediapipe":
            if self.image != FROZEN_IMAGE or self.two_backbones or not self.upright:
                raise InputError("Switch backbone = 'mediapipe' needs image=224, two_backbones=false and upright=true.")
        elif self.image < 64 or self.image % 32 or (self.image // 8) & (self.image // 8 - 1):
            raise InputError(f"Switch image = {self.image} must be 64, 128, 256 or 512.")
        if self.width % (4 * self.heads):
            raise InputError(f"Switch width = {self.width} must be a multiple of 4 x heads = {4 * self.heads}.")

    @property
    def frames(self) -> int:
        """Number of frames that the network sees."""
        return {"single": 1, "three": 3}.get(self.pdv, 2)

    @property
    def side(self) -> int:
        """Side of the feature maps."""
        return FROZEN_SIDE if self.backbone == "mediapipe" else self.image // 8


# The single-frame baseline of tables I to III: HandOccNet's recovery (its FIT) of one picture, no frame before.
SINGLE_FRAME_BASELINE = {"pdv": "single", "gor": "fit", "vof": "off"}

SIZES = {
    "paper": IfvonetSwitches(),
    "small": IfvonetSwitches(
        image=FROZEN_IMAGE,
        backbone="mediapipe",
        two_backbones=False,
        width=24,
        heads=2,
        pdv_residual=True,
        gor_blocks=1,
        tiny_start=False,
        loss_weights="frozen",
        upright=True,
        trunk=256,
        dropout=0.2,
    ),
    "tiny": IfvonetSwitches(
        image=64,
        backbone="light",
        width=64,
        pdv_residual=True,
        gor_blocks=1,
        tiny_start=False,
        loss_weights="small",
        upright=True,
    ),
}
