"""`hmpfit predict NETWORK`: a network alone over a dataset, in the boxes that the dataset gives, for `hmpfit eval`.

Separate from `run` and `batch`, which track hands in pixels and fit: regressors are compared without any of that.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError
from hmpfit.strict_json import to_json


@click.command()
@click.argument("network")
@click.option("--dataset", required=True, metavar="KIND:PATH", help="Its boxes say where the hands are.")
@click.option("--split", metavar="S", help="The dataset's split (default: its first).")
@click.option("--checkpoint", metavar="PATH", help="Weights that `hmpfit train` wrote (default: the shipped ones).")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A folder a sequence.")
@click.option("--hand-model", default="open", envvar="HMPFIT_MANO", show_envvar=True, help="The one it was trained on.")
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda")
@json_option
@click.option("--quiet", is_flag=True, help="No progress; errors only.")
def predict(
    network: str, dataset: str, split: str | None, checkpoint: str | None, out: Path, hand_model: str, device: str,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write result.npz of every sequence as NETWORK alone sees it; score with hmpfit eval --predictions DIR.

    Frames without a box are filled between their neighbors. The wrist's place comes from the network's own 2D joints.
    """
    from hmpfit.datasets.opening import open_dataset
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.regressors.learned import Learned

    models = load_hand_models(hand_model)
    opened = open_dataset(dataset, split, models)
    learned = Learned.load(network, checkpoint)
    if getattr(getattr(learned.network, "switches", None), "upright", False):
        raise InputError(
            f"This {network} was trained on hands turned upright, and boxes do not say where up is; use hmpfit batch "
            f"--init {network} --solver none, or weights of a training with --set upright=false."
        )
    done: list[str] = []
    with TerminalProgress(quiet) as progress:
        advance = progress.phase("sequences", len(opened.sequences))
        for sequence in opened.sequences:
            _one(sequence, learned, models, device, out / sequence.name)
            done.append(sequence.name)
            advance(1)
    if as_json:
        click.echo(to_json({"sequences": done, "predictions": str(out)}))
    elif not quiet:
        told = f"--split {split} " if split else ""
        click.echo(f"{len(done)} sequences in {out}; hmpfit eval --dataset {dataset} {told}--predictions {out}")


def _one(sequence: Any, learned: Any, models: Any, device: str, folder: Path) -> None:
    from hmpfit.hands.mano import pose_hands
    from hmpfit.initializers.from_network import initialize
    from hmpfit.initializers.gaps import fill_gaps
    from hmpfit.interfaces.network import EstimateRequest
    from hmpfit.records import DETECTED, KeypointTracks
    from hmpfit.results.npz import StoredResult, write_copy

    boxes = np.asarray(sequence.boxes_px, dtype=np.float64)
    hands, frames = boxes.shape[:2]
    corners = np.repeat(boxes[:, :, None, 2:], 21, axis=2)
    corners[:, :, 0] = boxes[:, :, :2]  # what spans the box; a crop asks for nothing else
    seen = np.isfinite(boxes).all(-1)
    tracks = KeypointTracks(
        corners, np.where(seen[..., None], 1.0, 0.0).repeat(21, -1), seen, np.array(sequence.sides), sequence.times_s
    )
    camera = sequence.camera
    hidden = np.zeros(frames, dtype=bool)
    estimates = learned.estimate(EstimateRequest(sequence.clip, tracks, camera, hidden, models, device))
    unplaced = replace(tracks, seen=np.zeros_like(seen))
    motion, own = initialize(estimates, unplaced, camera, models, least_certain=0.0)
    known = motion.status == DETECTED
    if not known.any(1).all():
        raise InputError(f"'{sequence.name}' has no boxes for a hand in any frame, so there is nothing to look at.")
    motion = fill_gaps(motion, known, sequence.times_s)
    result = StoredResult(
        motion, pose_hands(models, motion).joints, np.full((hands, frames, 21), np.nan), own, camera,
        np.nan_to_num(own.xy_px),
    )  # fmt: skip
    write_copy(result, models, folder)
