"""Whether a crop shows a hand, and of which side: a head of our own on the landmark network's last vector.

Separate from `networks`, whose own answer (presence) was learned from hands in full sight: it refuses every third hand
that holds something. Trained by `benchmarks/train_hand_judge.py` on boxes that `hand_detector` proposes; the card
beside the weights says on what.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hmpfit.files.weights import read_tensors
from hmpfit.keypoints.networks import Landmarks
from hmpfit.keypoints.regions import Regions, crop_axes
from hmpfit.records import Floats

if TYPE_CHECKING:
    from hmpfit.keypoints.judge_network import JudgeNetwork

WEIGHTS = Path(__file__).parent / "weights" / "hand_judge.safetensors"


def judge_inputs(seen: Landmarks, regions: Regions) -> Floats:
    """Return what the judge reads of N crops, [N, 1196]: the vector, landmarks in the crop, logits of both answers."""
    assert seen.pooled is not None
    away = (seen.xy_px - regions.center_px[:, None]) / regions.side_px[:, None, None]
    within = np.einsum("nkc,ncd->nkd", away, crop_axes(regions, False))
    signs = np.clip(np.stack((seen.presence, seen.right), -1), 1e-4, 1 - 1e-4)
    logits = np.log(signs) - np.log1p(-signs)
    return np.concatenate((seen.pooled, within.reshape(len(within), -1), logits), axis=-1)


def judged(seen: Landmarks, regions: Regions, network: "JudgeNetwork | None" = None) -> Landmarks:
    """Return the landmarks with the judge's presence and side in the place of the landmark network's."""
    import torch

    with torch.no_grad():
        inputs = torch.from_numpy(judge_inputs(seen, regions).astype(np.float32))
        answers = torch.sigmoid((shipped_judge() if network is None else network)(inputs)).double().numpy()
    return replace(seen, presence=answers[:, 0], right=answers[:, 1])


@cache
def shipped_judge() -> "JudgeNetwork":
    """Return the network with the shipped weights, in evaluation mode."""
    from hmpfit.keypoints.judge_network import JudgeNetwork

    network = JudgeNetwork()
    network.load_state_dict({name: values.float() for name, values in read_tensors(WEIGHTS).items()})
    return network.eval().requires_grad_(False)
