"""How far STC and HandDGCL are from the truth on unseen clips, beside a hand that never changes.

    python benchmarks/two_hand_networks.py -o clips stc handdgcl
    python benchmarks/two_hand_networks.py -o clips stc:DIR/stc.safetensors

Renders clips of unseen words, grasps and seeds into the folder unless they are there. MPJPE (about the middle knuckle)
and PA-MPJPE of each hand, mm, mean over both. "mean joints" are the mean true joints of clips of the training's
vocabulary, the best that can be said without looking (MPJPE); "mean pose" is a hand of their mean fingers and shape
(PA-MPJPE, which forgives the turn).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.checkpoints import find, load_network, load_plan
from hmpfit.regressors.plan import NetworkPlan
from hmpfit.regressors.samples import View
from hmpfit.regressors.two_hands import scoring
from hmpfit.regressors.two_hands.hand_pair import HandPair
from hmpfit.regressors.two_hands.labels import PairLabels, pair_labels
from hmpfit.synthesis.crop_folder import crop_folder
from hmpfit.synthesis.crops import CloseUpOptions
from hmpfit.synthesis.motion import HELD_OUT
from hmpfit.training.regressors.batches import ClipMixture, HeldOutBatches

BATCH = 48
Scores = dict[str, float]


def main() -> None:
    """Render, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NETWORK[:CHECKPOINT]")
    parser.add_argument("-o", "--out", type=Path, default=Path("two_hand_crops"))
    parser.add_argument("--count", type=int, default=480, help="clips of two frames")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    models = load_hand_models("open")
    unseen = CloseUpOptions(size=160, frames=2, hands="both", vocabulary=HELD_OUT)
    clips = ClipMixture([crop_folder(chosen.out / "unseen", models, unseen, chosen.count, 77)])
    seen = ClipMixture(
        [crop_folder(chosen.out / "seen", models, CloseUpOptions(size=160, frames=2, hands="both"), 480, 78)]
    )
    rows: dict[str, Scores] = {}
    for said in chosen.networks:
        name, _, path = said.partition(":")
        plan = load_plan(name)
        network, switches = load_network(find(name, path or None), name)
        hand = ManoHand(models.right)
        batches = HeldOutBatches(clips, plan.view(switches), BATCH)
        rows[said] = _mean([plan.scores(network, batches[i], hand) for i in range(len(batches))])
    rows |= _constants(load_plan("stc"), seen, clips, models)
    print("| | MPJPE | PA-MPJPE |\n|---|---:|---:|")
    for name, row in rows.items():
        print(f"| {name} | {row.get('mpjpe_mm', np.nan):.1f} | {row.get('pa_mpjpe_mm', np.nan):.1f} |")


def _constants(plan: NetworkPlan, seen: ClipMixture, clips: ClipMixture, models: HandModels) -> dict[str, Scores]:
    view: View = plan.view(plan.switches("small", {"window": "2"}))
    learned = [pair_labels(batch) for batch in _all(seen, view)]
    joints = torch.cat([scoring.about_knuckle(labels.joints, labels.joints) for labels in learned]).mean((0, 1))
    pose = torch.cat([labels.hand_pose for labels in learned]).mean((0, 1))
    betas = torch.cat([labels.betas for labels in learned]).mean(0)
    upright = torch.eye(3).expand(2, 3, 3)
    posed = HandPair.of(models, joints).pose(upright, pose, betas, vertices=False).joints
    unseen = [pair_labels(batch) for batch in _all(clips, view)]
    flat, turned = (_mean([_errors(one, labels) for labels in unseen]) for one in (joints, posed))
    return {
        "mean joints": {"mpjpe_mm": flat["mpjpe_mm"]},
        "mean pose": {"pa_mpjpe_mm": turned["pa_mpjpe_mm"]},
    }


def _errors(hands: Tensor, labels: PairLabels) -> dict[str, Tensor]:
    return scoring.joint_errors(hands.expand(labels.joints.shape), labels.joints, labels.valid)


def _all(clips: ClipMixture, view: View) -> list[dict[str, Tensor]]:
    batches = HeldOutBatches(clips, view, BATCH)
    return [batches[i] for i in range(len(batches))]


def _mean(scores: list[dict[str, Tensor]]) -> Scores:
    return {key: float(torch.stack([one[key] for one in scores]).nanmean()) for key in scores[0]}


if __name__ == "__main__":
    main()
