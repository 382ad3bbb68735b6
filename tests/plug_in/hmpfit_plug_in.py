"""One plug-in of each family of hmpfit, as small as it can be: a hand that does not move, half a meter away."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hmpfit.errors import InputError
from hmpfit.fitting.solvers.gauss_newton import solve as gauss_newton
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_open_hand
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence
from hmpfit.interfaces.exporter import ExportOptions
from hmpfit.interfaces.initializer import Initializer, InitialMotion
from hmpfit.interfaces.keypoint_source import KeypointSource, SourceInputs
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.interfaces.term import Residual, Term
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.priors.opening import load_pca
from hmpfit.records import DETECTED, HandEstimates, HandMotion, KeypointTracks
from hmpfit.regressors.plan import NetworkPlan, TrainingRecipe
from hmpfit.regressors.samples import View
from hmpfit.results.npz import StoredResult


def still_hand(frames: int) -> HandMotion:
    """Return a flat right hand at rest, half a meter from the camera."""
    return HandMotion(
        global_orient=np.zeros((1, frames, 3)),
        hand_pose=np.zeros((1, frames, 15, 3)),
        transl=np.broadcast_to([0.05, 0.0, 0.5], (1, frames, 3)).copy(),
        betas=np.zeros((1, 10)),
        is_right=np.array([True]),
        status=np.full((1, frames), DETECTED, np.uint8),
    )


def extract(context: RunContext, inputs: SourceInputs) -> KeypointTracks:
    """Return the still hand's landmarks, whatever the pixels show."""
    motion = still_hand(context.clip.frames)
    return projected_tracks(motion, context.models, context.camera, context.clip.times_s, confidence=1.0)


SOURCE = KeypointSource(extract)


def initialize(context: RunContext, tracks: KeypointTracks | None) -> InitialMotion:
    """Start a centimeter beside the still hand."""
    motion = still_hand(context.clip.frames)
    return InitialMotion(replace(motion, transl=motion.transl + np.array([0.01, 0.0, 0.0])))


INITIALIZER = Initializer(initialize, requires="nothing")


@dataclass(frozen=True)
class ShapeOptions:
    """Options of the term."""

    scale: float = 1.0


def shape_residuals(motion, points, evidence, options: ShapeOptions) -> Residual:
    """Return the shape itself, [B, 1, 1, 10]."""
    values = options.scale * motion.betas[:, None, None]
    return Residual(values, torch.ones_like(values[..., 0]))


TERM = Term("plug_in", "betas", shape_residuals, ShapeOptions)


def solve(problem, start, stage, on_step=None):
    """Solve as Gauss-Newton does, under a name of its own."""
    solved = gauss_newton(problem, start, stage, on_step)
    return replace(solved, reports=tuple(replace(report, solver="plug_in") for report in solved.reports))


def load_prior():
    """Return the shipped PCA prior under a name of its own."""
    prior = load_pca()
    prior.name, prior.fingerprint = "plug_in", "0"
    return prior


def load_hands() -> HandModels:
    """Return the open hand under a name of its own."""
    model = replace(load_open_hand().right, name="plug_in", fingerprint="plug-in")
    return HandModels(model, model)


@dataclass(frozen=True)
class NetworkSwitches:
    """Switches of the network: none that matter."""

    width: int = 1


def estimate(network: nn.Module, request: EstimateRequest) -> HandEstimates:
    """Estimate every tracked hand as flat and unturned."""
    tracks = request.tracks
    hands, frames = tracks.seen.shape
    return HandEstimates(
        global_orient=np.zeros((hands, frames, 3)),
        hand_pose=np.zeros((hands, frames, 15, 3)),
        betas=np.zeros((hands, frames, 10)),
        joints_px=np.nan_to_num(tracks.xy_px),
        confidence=np.where(tracks.seen[..., None], 1.0, 0.0).repeat(21, -1),
        estimated=tracks.seen & ~request.hidden,
        is_right=tracks.is_right,
    )


def _untrained(*arguments):
    raise InputError("The network of the plug-in is not trained.")


NETWORK = NetworkPlan(
    name="plug_in_network",
    sizes={"small": NetworkSwitches()},
    recipes={"small": TrainingRecipe()},
    build=lambda switches: nn.Linear(switches.width, 1),
    view=lambda switches: View(size=8, frames=1, hands=1),
    losses=_untrained,
    scores=_untrained,
    best="none",
    estimate=estimate,
)


def open_folder(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open a folder of videos."""
    sequences = tuple(
        Sequence(
            name=file.stem, fps=30.0, images=(), frame_names=(), times_s=np.zeros(0), protocol="hmp", sides=(True,),
            read_camera=None, read_truth=_untrained, video=file,
        )
        for file in sorted(path.glob("*.mp4"))
    )  # fmt: skip
    return Dataset("plug_in", path, split, sequences)


READER = Reader("a folder of videos", ("all",), open_folder, lambda path: False)


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions) -> list[Path]:
    """Write where the wrists are."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "wrists.txt"
    np.savetxt(file, result.joints[:, :, 0].reshape(-1, 3))
    return [file]
