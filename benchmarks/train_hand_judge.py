"""Train the judge of boxes: does the landmark network's crop show a hand, and which one?

`python benchmarks/train_hand_judge.py INPUTS BACKGROUNDS -o DIR [--hold-out NAME] [--people FOLDER]`
Pictures are drawn as for `train_hand_detector.py`, sharp and coarse. The detector proposes boxes down to a low score;
what the landmark network reads in them is kept in DIR, with what the labels say of the box. A box on nothing is a false
one, and those that the detector likes best are what the judge must learn. The same command again takes what is in DIR.
Writes `hand_judge.safetensors` and its card.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from detector_pictures import Frame, Image, Label
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor
from train_hand_detector import AGAIN, KINDS, PIXELS, SHARD, SMALL, arguments, draw_picture, drawn, variety

from hmpfit.cards import write_card
from hmpfit.keypoints.hand_detector import SIDE_PER_BOX, HandDetector
from hmpfit.keypoints.hand_judge import judge_inputs
from hmpfit.keypoints.judge_network import JudgeNetwork
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.networks import LandmarkNetwork
from hmpfit.keypoints.regions import Regions, from_landmarks

LEAST_SCORE, MOST_BOXES = 0.03, 5
NEAR, SIZES = 0.35, (0.5, 2.0)  # a box is a hand's within this share of its diagonal, and between these sizes
BATCH, LEARNING_RATE, DECAY = 256, 5e-4, 0.3


@dataclass(frozen=True)
class Crops:
    """N crops: inputs [N, F], hand (0 or 1) [N], right (0, 1, -1: no hand) [N], kind and number of the picture [N]."""

    inputs: NDArray[np.float16]
    hand: NDArray[np.int8]
    right: NDArray[np.int8]
    kind: NDArray[np.str_]
    picture: NDArray[np.int64]


def draw(folder: Path, count: int, frames: list[list[Frame]], bank: list[Image], seed: int) -> Crops:
    """Draw pictures, a shard at a time, and keep what the landmark network reads in the boxes; none is drawn twice."""
    folder.mkdir(parents=True, exist_ok=True)
    files, rendered = load_landmarker(), variety(9300)
    detector = HandDetector(files.palm, LEAST_SCORE, MOST_BOXES)
    network = LandmarkNetwork(files.landmarks, with_pooled=True)
    for shard in range(-(-count // SHARD)):
        file = folder / f"{shard:04d}.npz"
        if file.is_file():
            continue
        g, rows = np.random.default_rng((seed, shard)), list[tuple[NDArray[np.float16], int, int, str, int]]()
        for n in range(SHARD):
            kind = str(g.choice(list(KINDS), p=list(KINDS.values())))
            image, labels = draw_picture(kind, frames, bank, rendered, g, int(g.choice(PIXELS)), SMALL)
            for inputs, hand, right in _crops(image, labels, detector, network, g):
                rows.append((inputs, hand, right, kind, shard * SHARD + n))
        names = ("inputs", "hand", "right", "kind", "picture")
        np.savez(file, **{name: np.array(part) for name, part in zip(names, zip(*rows, strict=True), strict=True)})
    parts = [np.load(file) for file in sorted(folder.glob("*.npz"))]
    return Crops(*(np.concatenate([part[name] for part in parts]) for name in Crops.__annotations__))


def _crops(
    image: Image, labels: list[Label], detector: HandDetector, network: LandmarkNetwork, g: np.random.Generator
) -> list[tuple[NDArray[np.float16], int, int]]:
    """Return the inputs of boxes that the detector proposes and of true ones, and of the second look at each."""
    found, pixels = detector(image), image.shape[0]
    boxes, angles = [found.xyxy_px], [found.regions.angle]
    for row, use in labels:
        if use > 0:
            box = np.concatenate((row[:2] - row[2:4] / 2, row[:2] + row[2:4] / 2)) * pixels
            box = box + 0.1 * np.ptp(box.reshape(2, 2)) * g.normal(size=4)
            boxes.append(box[None])
            angles.append(np.arctan2(row[5:6], -row[6:7]))
    xyxy, angle = np.concatenate(boxes), np.concatenate(angles)
    if not len(xyxy):
        return []
    center, extent = (xyxy[:, :2] + xyxy[:, 2:]) / 2, np.abs(xyxy[:, 2:] - xyxy[:, :2])
    regions = Regions(center, SIDE_PER_BOX * extent.max(-1), angle + g.normal(0, 0.35, len(angle)))
    seen = network(image, regions)
    again_at = from_landmarks(seen.xy_px)
    again = network(image, again_at)
    out = []
    for look, at in ((seen, regions), (again, again_at)):
        for n, row in enumerate(judge_inputs(look, at)):
            said = truth_of(at.center_px[n] / pixels, xyxy[n] / pixels, labels)
            if said is not None:
                out.append((row.astype(np.float16), *said))
    return out


def truth_of(center: NDArray[np.floating], box: NDArray[np.floating], labels: list[Label]) -> tuple[int, int] | None:
    """Say whether a box (shares of the picture) is a hand's, and of which side; None where the labels leave it open."""
    size = np.linalg.norm(box[2:] - box[:2])
    answer: tuple[int, int] | None = (0, -1)
    for row, use in labels:
        diagonal, away = np.linalg.norm(row[2:4]), np.linalg.norm(row[:2] - center)
        if use > 0 and away < NEAR * diagonal and SIZES[0] < size / diagonal < SIZES[1]:
            return 1, int(row[4] > 0.5)
        if away < max(diagonal, size):
            answer = None
    return answer


def learn(
    crops: Crops, held_out: Crops | None, epochs: int, seed: int, start: Path | None = None
) -> tuple[JudgeNetwork, dict[str, float]]:
    """Train the judge; with left-out crops return the epoch with the least loss there, and its figures.

    `start` has the weights to go on from.
    """
    torch.manual_seed(seed)
    g, network = np.random.default_rng(seed), JudgeNetwork()
    inputs, hand, right = _tensors(crops)
    if start is None:
        network.set_statistics(inputs)
    else:
        network.load_state_dict({name: part.float() for name, part in load(start.read_bytes()).items()})
    rate = LEARNING_RATE * (1 if start is None else AGAIN)
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=DECAY)
    steps = max(len(hand) // BATCH, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps + 1)
    best, state, figures = np.inf, network.state_dict(), dict[str, float]()
    for epoch in range(epochs):
        network.train()
        losses = []
        for rows in np.array_split(g.permutation(len(hand)), steps):
            loss = loss_of(network(inputs[rows]), hand[rows], right[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        value, now = -float(epoch), dict[str, float]()
        if held_out is not None:
            value, now = score(network, held_out)
        print(f"epoch {epoch}: loss {np.mean(losses):.3f}; {value:.3f} {now}", flush=True)
        if value < best:
            best, figures = value, now
            state = {name: part.clone() for name, part in network.state_dict().items()}
    network.load_state_dict(state)
    return network, figures


def loss_of(out: Tensor, hand: Tensor, right: Tensor) -> Tensor:
    known = right >= 0
    side = F.binary_cross_entropy_with_logits(out[known, 1], right[known])
    return F.binary_cross_entropy_with_logits(out[:, 0], hand) + 0.5 * side


@torch.no_grad()
def score(network: JudgeNetwork, crops: Crops) -> tuple[float, dict[str, float]]:
    """Return the loss, and the shares of crops of hands above the value that one false crop in 100 exceeds."""
    network.eval()
    inputs, hand, right = _tensors(crops)
    out = network(inputs)
    chance, real = torch.sigmoid(out[:, 0]).numpy(), crops.hand > 0
    figures = {"least": float(np.quantile(chance[~real], 0.99))}
    presence = 1 / (1 + np.exp(-crops.inputs[:, -2].astype(float)))
    limit = float(np.quantile(presence[~real], 0.99))
    for kind in ("real", "rendered"):
        rows = real & (crops.kind == kind)
        figures[kind] = float((chance[rows] > figures["least"]).mean())
        figures[f"{kind}_by_presence"] = float((presence[rows] > limit).mean())
        figures[f"{kind}_side"] = float(((out[rows, 1] > 0).numpy() == (crops.right[rows] > 0)).mean())
    return float(loss_of(out, hand, right)), {name: round(value, 3) for name, value in figures.items()}


def _tensors(crops: Crops) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(torch.from_numpy(part.astype(np.float32)) for part in (crops.inputs, crops.hand, crops.right))  # type: ignore[return-value]


def main() -> None:
    args = arguments(__doc__, 5000, 20)
    crops, held_out = drawn(args, draw, "crops", "held_out_crops", 6)
    torch.set_num_threads(1)
    network, figures = learn(crops, held_out, args.epochs, args.seed, args.start)
    tensors = {name: values.half() if values.ndim == 2 else values for name, values in network.state_dict().items()}
    content = save({name: values.contiguous() for name, values in tensors.items()})
    weights = args.out / "hand_judge.safetensors"
    weights.write_bytes(content)
    about = {"name": "hand_judge", "crops": len(crops.hand), "held_out": args.hold_out, "seed": args.seed}
    write_card(weights, hashlib.sha256(content).hexdigest(), about, {"held_out": figures} if figures else {})


if __name__ == "__main__":
    main()
