"""Train the classifier of occluded landmarks: `python benchmarks/train_occlusion.py INPUTS RUNS RENDERS`.

INPUTS is the folder with `clips/` and `truth/`, RUNS a folder with a run of each clip (`hmpfit run clips/*.mp4 -o
RUNS`), RENDERS one of rendered clips without occluders (`hmpfit synthesize -o RENDERS --count 12 --frames 90 --seed
5000`), whose fists show that fingers hide each other. Trains once without each clip or set, scores it there and prints
the table, then trains on all and writes the weights and their card. About ten CPU minutes. `--without NAME` leaves a
source out of the weights that are written (to test on it).
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from cover_samples import CleanHand, Samples, clean_hands, landmarks_of_run, landmarks_of_truth, make_samples
from safetensors.numpy import save
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits, dropout

from hmpfit.cards import write_card
from hmpfit.keypoints.occlusion import WEIGHTS, OcclusionClassifier
from hmpfit.records import Floats

CLIPS = {"pinches": 90, "fingerspelling": 100, "reach": 70, "cups": 70}  # frames at most
RENDERED = 40  # frames of each rendered clip
TRUTH = {"desk": 30, "rig_near": 90, "stereo_fist": 60}  # of each camera
FREE_UNTIL = {"desk": 54}  # frames: from there on a board covers parts of the hands
HIDDEN, EPOCHS, BATCH, LEARNING_RATE, DECAY = 32, 12, 64, 6e-3, 1e-3
NOISE, DROPPED = 0.3, 0.2  # of the features, while training
CLEAN = 0.4  # share of a source's samples that nothing covers, while training


def gather(inputs: Path, runs: Path, renders: Path) -> list[CleanHand]:
    """Return the hands of all clips and sets."""
    hands: list[CleanHand] = []
    for name, frames in CLIPS.items():
        hands += clean_hands(name, inputs / "clips" / f"{name}.mp4", *landmarks_of_run(runs / name), frames)
    for name, frames in TRUTH.items():
        for file in sorted((inputs / "truth" / name).glob("*.truth.npz")):
            video = next(
                path for path in file.parent.glob(f"{file.name.split('.')[0]}.*") if path.suffix in (".mp4", ".avi")
            )
            points, is_right = landmarks_of_truth(file)
            hands += clean_hands(name, video, points[:, : FREE_UNTIL.get(name)], is_right, frames)
    for folder in sorted(path.parent for path in renders.glob("*/truth.npz")):
        with np.load(folder / "truth.npz") as truth:
            hands += clean_hands("renders", folder / "clip.mp4", truth["keypoints_px"], truth["is_right"], RENDERED)
    return hands


def train(samples: Samples, seed: int) -> OcclusionClassifier:
    """Fit the classifier; every source counts by the root of its samples, `CLEAN` of it without occluders."""
    torch.manual_seed(seed)
    x = torch.as_tensor(samples.features.astype(np.float32))
    y = torch.as_tensor(samples.covered.astype(np.float32))
    mean, std = x.mean((0, 1)), x.std((0, 1)) + 1e-3
    width = x.shape[-1]
    weights = {
        "own": torch.randn(width, HIDDEN) / width**0.5,
        "landmark": torch.zeros(21, HIDDEN),
        "hand": torch.randn(HIDDEN, HIDDEN) * 0.1,
        "out": torch.randn(HIDDEN, 1) / HIDDEN**0.5,
        "bias": torch.zeros(21),
    }
    for values in weights.values():
        values.requires_grad_(True)
    steps = EPOCHS * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(list(weights.values()), lr=LEARNING_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps + 1)
    share_of = torch.as_tensor(_shares(samples))
    for _ in range(steps):
        rows = torch.multinomial(share_of, BATCH)
        features = (x[rows] - mean) / std
        features = dropout(features + NOISE * torch.randn_like(features), DROPPED)
        own = features @ weights["own"] + weights["landmark"]
        hidden = torch.relu(own + own.mean(1, keepdim=True) @ weights["hand"])
        logit = (dropout(hidden, 0.1) @ weights["out"])[..., 0] + weights["bias"]
        loss = binary_cross_entropy_with_logits(logit, y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    found = {"mean": mean, "std": std, **weights}
    return OcclusionClassifier({name: values.detach().numpy() for name, values in found.items()})


def _shares(samples: Samples) -> Floats:
    """Return how often each sample is drawn, up to a factor."""
    share, free = np.zeros(len(samples.source)), ~samples.covered.any(-1)
    for name in np.unique(samples.source):
        own = samples.source == name
        for kind, part in ((own & free, CLEAN), (own & ~free, 1 - CLEAN)):
            share[kind] = np.sqrt(own.sum()) * part / kind.sum()
    return share


def score(classifier: OcclusionClassifier, samples: Samples) -> dict[str, float]:
    """Return how well covered landmarks, and hands with eight or more of them, are told from the others."""
    chance = classifier(samples.features.astype(np.float32))
    count, expected = samples.covered.sum(-1), chance.sum(-1)
    many, none = expected[count >= 8], expected[count == 0]
    told = np.concatenate((np.ones(len(many)), np.zeros(len(none))))
    return {
        "samples": float(len(count)),
        "landmark_auc": float(roc_auc_score(samples.covered.ravel(), chance.ravel())),
        "hand_auc": float(roc_auc_score(told, np.concatenate((many, none)))),
    }


def _only(samples: Samples, kept: np.ndarray) -> Samples:
    return Samples(samples.features[kept], samples.covered[kept], samples.source[kept])


def main() -> None:
    """Make samples, leave each source out once, train on all, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("renders", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=WEIGHTS)
    parser.add_argument("--times", type=int, default=7, help="samples of every hand")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", default="", help="sources to leave out of the weights, with commas")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    hands = gather(chosen.inputs, chosen.runs, chosen.renders)
    samples = make_samples(hands, chosen.times, np.random.default_rng(chosen.seed))
    without = [name for name in chosen.without.split(",") if name]
    table: dict[str, dict[str, float]] = {}
    for name in without or np.unique(samples.source).tolist():
        rest, left_out = (_only(samples, (samples.source == name) == here) for here in (False, True))
        table[name] = score(train(rest, chosen.seed), left_out)
        print(name, {key: round(value, 3) for key, value in table[name].items()}, flush=True)
    write(chosen.out, train(_only(samples, ~np.isin(samples.source, without)), chosen.seed), samples, without, table)


def write(
    path: Path,
    classifier: OcclusionClassifier,
    samples: Samples,
    without: list[str],
    table: dict[str, dict[str, float]],
) -> None:
    """Write the weights as half floats, and their card."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half: dict[str, Floats] = {name: values.astype(np.float16) for name, values in classifier.weights.items()}
    path.write_bytes(save(half))
    about = {
        "what": "probability that something covers a landmark, from features of MediaPipe's landmark network",
        "command": "python benchmarks/train_occlusion.py ../shared/inputs RUNS RENDERS",
        "seen": sorted(set(samples.source.tolist()) - set(without)),
        "occluders": "benchmarks/training_occluders.py",
    }
    rounded = {f"left_out_{name}": {key: round(v, 3) for key, v in row.items()} for name, row in table.items()}
    write_card(path, hashlib.sha256(path.read_bytes()).hexdigest(), about, rounded)


if __name__ == "__main__":
    main()
