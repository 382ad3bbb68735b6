"""The settings of one run as plain values: parsed by the command line, read by the pipeline.

Kept apart from both, so that a script can say the same as `hmpfit run` without click.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hmpfit.errors import InputError, UnknownNameError
from hmpfit.recipes.camera_modes import check_camera_mode
from hmpfit.recipes.hand_sizes import check_hand_size
from hmpfit.recipes.loading import load_recipe
from hmpfit.recipes.overlay_layouts import LAYOUTS
from hmpfit.recipes.ranges import SEED_MOST
from hmpfit.recipes.schema import Recipe

CAMERA_SCALES = ("file", "hands")
_CHOICES = {"hands": ("auto", "left", "right", "both"), "device": ("auto", "cpu", "cuda"), "layout": LAYOUTS}
# What names files: a run's identity has their contents instead (`pipeline.run.run_identity`).
_FILES = (
    "checkpoint", "prior", "hand_model", "intrinsics", "boxes", "shape_from", "hand_landmarker", "mmpose_config",
    "mmpose_checkpoint", "mmpose_onnx",
)  # fmt: skip
_NOT_SETTINGS = ("overwrite", "wait", "workers", "device")  # how a run is carried out, not what it computes


@dataclass(frozen=True)
class RunSettings:
    """Every choice of `hmpfit run`; ranges are half-open (start, end) pairs of source frames.

    Whatever a recipe can say (weights, views, solver) is said by `recipe` alone.
    `fps` takes the place of the file's own time stamps; a `mirrored` picture is turned back before anything else.
    `camera_motion` is one of `camera_modes.CAMERA_MODES`; `camera_scale` "hands" looks for the scale of a file's path.
    `intrinsics` is the text the user gave (`fx,fy,cx,cy` in pixels, or a file), `hand_model` "open" or a path.
    `hand_size_mm` is from the wrist's crease to the middle fingertip; `shape_from` a run of the same person.
    Raises InputError when two choices contradict each other.
    """

    init: str = "keypoints"
    checkpoint: str | None = None
    keypoints: str = "blend"
    prior: str = "default"
    hand_model: str = "open"
    hands: str = "auto"
    max_hands: int | None = None
    intrinsics: str | None = None
    hand_size_mm: float | None = None
    shape_from: str | None = None
    boxes: str | None = None
    camera_motion: str = "auto"
    camera_scale: str = "file"
    recipe: Recipe = field(default_factory=lambda: load_recipe("default"))
    hide_keypoints: tuple[tuple[int, int], ...] = ()
    frames: tuple[int, int] | None = None
    fps: float | None = None
    mirrored: bool = False
    layout: str = "overlay"
    device: str = "auto"
    seed: int = 0
    overwrite: bool = False
    wait: bool = False
    workers: int | None = None
    hand_landmarker: str | None = None
    mmpose_config: str | None = None
    mmpose_checkpoint: str | None = None
    mmpose_onnx: str | None = None

    def __post_init__(self) -> None:
        """Refuse contradictions early, before a detector has worked for minutes."""
        for name, known in _CHOICES.items():
            value = str(getattr(self, name)).partition(":")[0]
            if value not in known:
                raise UnknownNameError(f"value of {name}", value, known)
        if self.keypoints == "initializer" and self.init == "keypoints":
            raise InputError(
                "--keypoints initializer projects the initializer's hand, and --init keypoints builds that hand from "
                "keypoints; choose another --init (such as file:PATH) or another --keypoints."
            )
        models = (self.mmpose_config, self.mmpose_checkpoint, self.mmpose_onnx)
        if self.keypoints == "mmpose" and self.mmpose_onnx is None and None in models[:2]:
            raise InputError("--keypoints mmpose needs --mmpose-config and --mmpose-checkpoint, or --mmpose-onnx.")
        if self.keypoints != "mmpose" and any(models):
            raise InputError(f"--mmpose-... names a model for --keypoints mmpose, and --keypoints is {self.keypoints}.")
        if self.checkpoint is not None and self.init.partition(":")[0] in ("keypoints", "file"):
            raise InputError(f"--checkpoint names weights of a learned initializer, and --init {self.init} has none.")
        check_camera_mode(self.camera_motion)
        if self.camera_scale not in CAMERA_SCALES:
            raise InputError(f"--camera-scale '{self.camera_scale}' is unknown; known: {', '.join(CAMERA_SCALES)}.")
        if self.camera_scale == "hands" and not self.camera_motion.startswith("file:"):
            raise InputError("--camera-scale hands is for --camera file:PATH; other paths take their scale from hands.")
        if self.hand_size_mm is not None:
            check_hand_size(self.hand_size_mm)
            if self.shape_from is not None:
                raise InputError("--hand-size and --shape-from both say how large the hand is; give one of them.")
        if self.max_hands is not None and self.max_hands < 1:
            raise InputError(f"--max-hands must be 1 or more, not {self.max_hands}.")
        if not isinstance(self.seed, int) or not 0 <= self.seed <= SEED_MOST:
            raise InputError(f"--seed must be a whole number from 0 to {SEED_MOST}, not {self.seed}.")

    @property
    def views(self) -> int:
        """Number of augmented views per frame, a key of the recipe."""
        return self.recipe.keypoints.views

    @property
    def solver(self) -> str:
        """Name of the solver, a key of the recipe; "none" stops after the initializer and its filled gaps."""
        return self.recipe.solver

    @property
    def fit_recipe(self) -> Recipe:
        """The recipe as the fit takes it: a size or shape that the user told is not fitted again."""
        if self.hand_size_mm is None and self.shape_from is None:
            return self.recipe
        stages = [replace(one, free=[name for name in one.free if name != "betas"]) for one in self.recipe.stages]
        return replace(self.recipe, stages=stages)

    def comparable(self) -> dict[str, Any]:
        """Return what decides the result, for `settings.json`: all but the contents of files."""
        values = {name: value for name, value in asdict(self).items() if name not in _NOT_SETTINGS}
        values = {name: value for name, value in values.items() if name not in _FILES}
        values["camera_motion"] = self.camera_motion.partition(":")[0]
        values["init"], values["keypoints"] = (text.partition(":")[0] for text in (self.init, self.keypoints))
        values["frames"] = None if self.frames is None else list(self.frames)
        values["hide_keypoints"] = [list(stretch) for stretch in self.hide_keypoints]
        if self.layout == "overlay":
            del values["layout"]  # runs from before there were layouts stay finished
        return values
