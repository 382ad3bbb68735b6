"""STC's switches: widths and loss weights by size, and the paper's ablations as changes to them.

Every number here is stated in the paper or says that it is ours.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class StcSwitches:
    """The paper states the window, the picture, the widths of ResNet-50's last maps and the weights of the losses.

    Heads, inner width, extractor and decoder are those that meet its 55.4 M parameters (docs/papers.md). The
    weights are equation 10's for lengths in meters; `shape_consistency` and `beta` are inside L_mano and L_reg.
    """

    backbone: str = "resnet50"
    window: int = 10
    image: int = 256
    hand: str = "open"  # whose parameters are learned, as `--hand-model` names it
    extractor: int = 512  # hidden channels of the hand-chirality extractor
    heads: int = 8
    head_width: int = 64
    out: int = 512  # width after the second temporal block
    decoder: int = 1024
    orient_rot6d: bool = False  # the paper regresses axis-angle, which jumps where hands turn by half a circle
    temporal: bool = True  # False: the paper's baseline, features of each frame alone
    dropout: float = 0.0
    smooth: float = 1.0
    joint: float = 100.0
    inter: float = 10.0
    inter_every: int = 1  # of so many frames one is judged for penetration, which costs most of a step of `small`
    mano: float = 1.0
    reg: float = 0.1
    shape_consistency: float = 1.0
    beta: float = 0.1
    reg_orient: bool = True  # L_reg over all of theta, as printed; False: over the 45 finger angles, as ITH-3D
    points: bool = False  # ours: the 42 points in the picture are read first and join the features of the hands
    points_2d: float = 0.0  # ours, weight of the points that are read
    turn: float = 0.0  # ours, weight of the orientation's error: while it is unknown, L_joint closes every hand
    bend: float = 0.0  # ours, weight of L_joint with each hand in its own axes


SIZES = {
    "paper": StcSwitches(),
    # Two blocks of 96 and 128 channels; the orientation in the form that small networks learn sooner.
    "small": StcSwitches(
        backbone="light", window=2, image=112, extractor=64, heads=4, head_width=32, out=128, decoder=256,
        orient_rot6d=True, reg_orient=False, inter_every=2, points=True, points_2d=400.0, turn=5.0, bend=100.0,
    ),
}  # fmt: skip

# What a second stage of training may change: the window, which any weights take, and the losses.
SECOND_STAGE_SWITCHES = (
    "window", "dropout", "smooth", "joint", "inter", "inter_every", "mano", "reg", "shape_consistency", "beta",
    "reg_orient", "points_2d", "turn", "bend",
)  # fmt: skip

# Rows of tables 2 and 3.
ABLATIONS: dict[str, dict[str, bool | float]] = {
    "full": {},
    "baseline": {"temporal": False, "smooth": 0.0, "inter": 0.0},
    "temporal": {"smooth": 0.0, "inter": 0.0},
    "temporal+penetration": {"smooth": 0.0},
    "temporal+smoothness": {"inter": 0.0},
    "no_mano": {"mano": 0.0, "reg": 0.0},
}
