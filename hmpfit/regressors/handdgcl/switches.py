"""HandDGCL's switches: widths and loss weights by size, and the paper's ablations as changes to them."""

from dataclasses import dataclass

from hmpfit.errors import InputError

DISTURBANCES = ("none", "mask", "noise", "random_edge", "flip_edge", "unet")


@dataclass(frozen=True)
class HandDgclSwitches:
    """Stated: picture, ResNet-50, the queue of 2048, the loss weights. From IntagHand, which the paper builds on: node
    features, three levels, Chebyshev order, blocks, dropout. Ours: the MLP's layers and the whole disturbing branch.

    Weights are for 3D in meters of a hand whose middle metacarpal measures 95 mm, 2D in pixels of a 256 px picture and
    bone lengths in mm, which balances the magnitudes. `hand` is the hand model whose mesh is learned, as `--hand-model`
    names it.
    """

    backbone: str = "resnet50"
    image: int = 256
    hand: str = "open"
    hidden: int = 1024  # of each hand's MLP
    dims: tuple[int, ...] = (512, 256, 128, 64)  # of a node on its way through the three levels
    order: int = 2  # Chebyshev polynomials a convolution
    blocks: int = 4  # a level
    dropout: float = 0.05
    camera_rotation: bool = False  # the "rotation matrix" that L_2d learns beside the camera, a turn before projection
    rigid_first: bool = False  # ours: the GCN bends a hand at rest, which is then turned and placed as one
    disturbance: str = "unet"
    mask_share: float = 0.1  # of the feature dimensions, disturbance (a); how strong (a) to (d) are is open
    noise_std: float = 0.1  # beside features of unit size, (b)
    edge_share: float = 0.05  # of the pairs of nodes, (c) and (d)
    similarity: bool = True  # the similarity-distinguish loss
    unet_depth: int = 3
    unet_ratio: float = 0.5
    queue: int = 2048
    momentum: float = 0.999
    temperature: float = 0.07
    joints: float = 10.0
    vertices: float = 10.0
    joints_2d: float = 1e-3
    length: float = 1e-3
    consistent: float = 1.0
    transition: float = 1.0
    contrast: float = 1e-2
    points: bool = False  # ours: the 42 points in the picture are read first and join the picture's features
    points_2d: float = 0.0  # ours, weight of the points that are read
    turn: float = 0.0  # ours, weight of the orientation's error where `rigid_first` has one
    bend: float = 0.0  # ours, weight of the joints in each hand's own axes: an unknown turn shrinks the hand otherwise

    def __post_init__(self) -> None:
        """Refuse what does not exist. Raises InputError, listing what does."""
        if self.disturbance not in DISTURBANCES:
            known = ", ".join(DISTURBANCES)
            raise InputError(f"Switch disturbance = '{self.disturbance}' does not exist; known: {known}.")
        if len(self.dims) != 4:
            raise InputError(f"Switch dims = {self.dims} must have four widths, such as 512,256,128,64.")


SIZES = {
    "paper": HandDgclSwitches(camera_rotation=True),
    "small": HandDgclSwitches(
        backbone="light",
        image=112,
        hidden=128,
        dims=(64, 48, 32, 24),
        blocks=1,
        dropout=0.0,
        rigid_first=True,
        unet_depth=2,
        queue=512,
        points=True,
        points_2d=10.0,
        turn=0.3,
        bend=30.0,
    ),
}

# What a second stage of training may change: the losses and what disturbs.
SECOND_STAGE_SWITCHES = (
    "dropout", "mask_share", "noise_std", "edge_share", "queue", "momentum", "temperature", "joints", "vertices",
    "joints_2d", "length", "consistent", "transition", "contrast", "points_2d", "turn", "bend",
)  # fmt: skip

# Rows of table 2.
ABLATIONS: dict[str, dict[str, str | bool]] = {
    "full": {},
    "baseline": {"disturbance": "none", "similarity": False},
    "mask": {"disturbance": "mask", "similarity": False},
    "noise": {"disturbance": "noise", "similarity": False},
    "random_edge": {"disturbance": "random_edge", "similarity": False},
    "flip_edge": {"disturbance": "flip_edge", "similarity": False},
    "dgclnet": {"disturbance": "unet", "similarity": False},
}
