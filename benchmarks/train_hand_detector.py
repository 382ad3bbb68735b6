"""Train the detector of hands that hold something.

`python benchmarks/train_hand_detector.py INPUTS BACKGROUNDS -o DIR`
INPUTS is the folder with `clips/`, `cases/` and `truth/`, BACKGROUNDS one of pictures without hands. Pictures are drawn
(`detector_pictures.py`), the palm detector's inner layers are computed once and kept in DIR a shard at a time, and the
head learns from these. Sources named by `--hold-out` (clips and sets, repeatable) are never learned from; with them
training stops at the epoch that is best there. The same command again takes what is in DIR. A picture takes 0.09 s
of CPU time to draw and 0.01 s an epoch. `--start FILE` goes on from weights.
Writes `hand_detector.safetensors` and its card.
"""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from detector_pictures import (
    Frame,
    Image,
    Label,
    RenderedHands,
    empty_picture,
    frames_of_clip,
    frames_of_truth,
    read_backgrounds,
    real_picture,
)
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor, nn

from hmpfit.cards import write_card
from hmpfit.keypoints.center_network import DIRECTION, HEAT, OFFSET, RIGHT, SIZE, CenterNetwork
from hmpfit.keypoints.hand_detector import decode_centers
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.palm_detector import INPUT
from hmpfit.keypoints.palm_features import COARSE, COARSE_CHANNELS, FINE, FINE_CHANNELS, PalmFeatures

CLIPS = {"pinches": 120, "reach": 100, "fingerspelling": 120, "blocks_left_missed": 60, "cups": 80}
TRUTH = {"desk": 80, "rig_near": 100, "stereo_fist": 80}  # frames at most of each clip and camera
OF_A_FOLDER = 100
KINDS = {"real": 0.35, "rendered": 0.42, "empty": 0.18, "things": 0.05}  # shares of the pictures
PIXELS = (INPUT, 2 * INPUT)  # sides of the pictures
TAKES, SMALL = 200, 0.35  # of finger motion; share of hands that are drawn smaller than the others
MOST_HANDS, BATCH, LEARNING_RATE, DECAY = 4, 32, 3e-3, 1e-2
AGAIN = 0.5  # share of the learning rate when a network learns on
SHARD = 100  # pictures
Drawn = TypeVar("Drawn")
Draw = Callable[[Path, int, list[list[Frame]], list[Image], int], Drawn]


@dataclass(frozen=True)
class Pictures:
    """N pictures: the maps of each, its hands [N, 4, 8], what they are [N, 4] (`Label`), and its kind [N]."""

    fine: NDArray[np.float16]
    coarse: NDArray[np.float16]
    labels: NDArray[np.float32]
    uses: NDArray[np.int8]
    kinds: NDArray[np.str_]

    def maps(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        fine, coarse = (torch.from_numpy(one[rows].astype(np.float32)) for one in (self.fine, self.coarse))
        return fine.permute(0, 3, 1, 2), coarse.permute(0, 3, 1, 2)


def sources(inputs: Path, wanted: Callable[[str], bool], folders: Sequence[Path] = ()) -> list[list[Frame]]:
    """Return the frames of each clip and camera that is wanted, and of each folder of one person's clips."""
    out = []
    for folder in folders:
        videos = sorted(one for one in folder.iterdir() if one.suffix in (".mp4", ".mkv", ".avi"))
        out.append([frame for video in videos for frame in frames_of_clip(video, OF_A_FOLDER // len(videos))])
    for name, most in CLIPS.items():
        if wanted(name):
            video = next(one for one in (inputs / "clips", inputs / "cases") if (one / f"{name}.mp4").is_file())
            out.append(frames_of_clip(video / f"{name}.mp4", most))
    for name, most in TRUTH.items():
        if wanted(name):
            out += [frames_of_truth(file, most) for file in sorted((inputs / "truth" / name).glob("*.truth.npz"))]
    return out


def draw(folder: Path, count: int, frames: list[list[Frame]], bank: list[Image], seed: int) -> Pictures:
    """Draw pictures and keep their maps in a folder; what is there already is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    rendered, look = variety(9000), PalmFeatures(load_landmarker().palm)
    sizes = {"fine": (count, FINE, FINE, FINE_CHANNELS), "coarse": (count, COARSE, COARSE, COARSE_CHANNELS)}
    files = [folder / f"{name}.npy" for name in sizes]
    for file, size in zip(files, sizes.values(), strict=True):
        if not file.is_file():
            np.lib.format.open_memmap(file, "w+", np.float16, size).flush()
    maps = [np.lib.format.open_memmap(file, "r+") for file in files]
    shards = [folder / f"labels_{first:06d}.npz" for first in range(0, count, SHARD)]
    for shard, file in enumerate(shards):
        if file.is_file():
            continue
        g, rows = np.random.default_rng((seed, shard)), range(shard * SHARD, min((shard + 1) * SHARD, count))
        labels, uses = np.zeros((len(rows), MOST_HANDS, 8), np.float32), np.zeros((len(rows), MOST_HANDS), np.int8)
        kinds = g.choice(list(KINDS), size=len(rows), p=list(KINDS.values()))
        for n, row in enumerate(rows):
            image, hands = draw_picture(str(kinds[n]), frames, bank, rendered, g, int(g.choice(PIXELS)), SMALL)
            (maps[0][row], maps[1][row]), _, _ = look.of_image(image)
            for place, (label, use) in enumerate(hands[:MOST_HANDS]):
                labels[n, place], uses[n, place] = label, use
        np.savez(file, labels=labels, uses=uses, kinds=kinds)
    parts = [np.load(file) for file in shards]
    return Pictures(*maps, *(np.concatenate([part[name] for part in parts]) for name in ("labels", "uses", "kinds")))


def variety(seed: int) -> RenderedHands:
    """Return the rendered hands that are learned from."""
    return RenderedHands(seed, TAKES, SMALL, colored=True)


def draw_picture(
    kind: str,
    frames: list[list[Frame]],
    bank: list[Image],
    rendered: RenderedHands,
    g: np.random.Generator,
    pixels: int = INPUT,
    small: float = 0.0,
) -> tuple[Image, list[Label]]:
    """Return a square picture of one of the `KINDS`, and where hands are in it.

    The share `small` of real pictures shows hands smaller than the others; `rendered` knows its own.
    """
    if kind == "things":
        return rendered.things_only(bank, g, pixels)
    if kind == "rendered":
        return rendered(bank, g, pixels)
    if kind == "empty":
        return empty_picture(frames, bank, g, pixels)
    return real_picture(frames[g.integers(len(frames))], bank, g, pixels, small)


def targets(labels: NDArray[np.float32], uses: NDArray[np.int8]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the heat map, where it counts, and the numbers at the cells near a center with their weights."""
    heat, counts, near = (np.full((len(labels), FINE, FINE), value, np.float32) for value in (0, 1, 0))
    numbers = np.zeros((len(labels), 7, FINE, FINE), np.float32)
    y, x = np.mgrid[0:FINE, 0:FINE] + 0.5
    for n, place in zip(*np.nonzero(uses), strict=True):
        row = labels[n, place]
        cx, cy, width, height = row[:4] * FINE
        away = (x - cx) ** 2 + (y - cy) ** 2
        if uses[n, place] < 0:
            counts[n][(abs(x - cx) < width / 2 + 1) & (abs(y - cy) < height / 2 + 1)] = 0
            continue
        spread = max(0.18 * np.sqrt(max(width * height, 1e-3)), 0.6)
        bump = np.exp(-away / (2 * spread**2))
        at = tuple(np.clip((cy, cx), 0, FINE - 1).astype(int))
        bump[at] = 1
        here = away < max(spread, 1.0) ** 2
        here[at] = True
        heat[n] = np.maximum(heat[n], bump)
        counts[n][bump > 0.5] = 1
        flat = np.zeros_like(x)
        sides = np.log(np.maximum((width, height), 0.3))
        values = np.stack((cx - x, cy - y, *(flat + number for number in (*sides, *row[4:7]))))
        numbers[n][:, here], near[n][here] = values[:, here], bump[here] / bump[here].sum()
    return tuple(torch.from_numpy(one) for one in (heat, counts, numbers, near))  # type: ignore[return-value]


def loss_of(out: Tensor, heat: Tensor, counts: Tensor, numbers: Tensor, near: Tensor) -> Tensor:
    """Return CenterNet's focal loss and the losses of the numbers at centers."""
    chance = torch.sigmoid(out[:, HEAT]).clamp(1e-5, 1 - 1e-5)
    center = (heat == 1).float()
    hits = center * (1 - chance) ** 2 * chance.log()
    others = (1 - center) * (1 - heat) ** 4 * chance**2 * (1 - chance).log() * counts
    total = -(hits + others).sum() / center.sum().clamp(min=1)
    weight = near / near.sum().clamp(min=1)
    total = total + 0.3 * ((out[:, OFFSET] - numbers[:, :2]).abs().sum(1) * weight).sum()
    total = total + 0.8 * ((out[:, SIZE] - numbers[:, 2:4]).abs().sum(1) * weight).sum()
    right = F.binary_cross_entropy_with_logits(out[:, RIGHT], numbers[:, 4], reduction="none")
    cosine = (F.normalize(out[:, DIRECTION], dim=1) * numbers[:, 5:]).sum(1)
    return total + 0.3 * (right * weight).sum() + 0.5 * ((1 - cosine) * weight).sum()


@torch.no_grad()
def score(network: CenterNetwork, pictures: Pictures) -> dict[str, float]:
    """Return the share of hands found at the score that one empty picture in twenty exceeds, sides and angles."""
    network.eval()
    found = []
    for first in range(0, len(pictures.kinds), BATCH):
        out = network(*pictures.maps(np.arange(first, min(first + BATCH, len(pictures.kinds)))))
        found += [decode_centers(cells.double().numpy(), 0.02, 8) for cells in out]
    empty = [found[n].score.max(initial=0.0) for n in np.flatnonzero(pictures.kinds == "empty")]
    least = float(np.quantile(empty, 0.95))
    figures = {"least_score": least}
    for kind in ("real", "rendered"):
        hits, sides, angles = [], [], []
        for n in np.flatnonzero(pictures.kinds == kind):
            for row in pictures.labels[n][pictures.uses[n] > 0]:
                boxes = found[n].xyxy_px
                away = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - row[:2] * INPUT, axis=1)
                size = np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1) / np.linalg.norm(row[2:4] * INPUT)
                good = (away < 0.35 * np.linalg.norm(row[2:4] * INPUT)) & (size > 0.5) & (size < 2)
                best = int(np.where(good, found[n].score, -1).argmax()) if good.any() else -1
                hits.append(best >= 0 and found[n].score[best] > least)
                if hits[-1]:
                    sides.append((found[n].right[best] > 0.5) == (row[4] > 0.5))
                    angles.append(np.degrees(np.arccos(np.clip(found[n].direction[best] @ row[5:7], -1, 1))))
        figures |= {f"{kind}_found": float(np.mean(hits)), f"{kind}_side": float(np.mean(sides or [0]))}
        figures[f"{kind}_angle_deg"] = float(np.median(angles or [180]))
    return {name: round(value, 3) for name, value in figures.items()}


def learn(
    pictures: Pictures, held_out: Pictures | None, epochs: int, seed: int, start: Path | None = None
) -> tuple[CenterNetwork, dict[str, float]]:
    """Train the head; with left-out pictures return the epoch that finds most of their real and rendered hands.

    `start` has the weights to go on from; maps that they do not read begin with weights of zero.
    """
    torch.manual_seed(seed)
    g, count = np.random.default_rng(seed), len(pictures.kinds)
    network, rate = CenterNetwork(), LEARNING_RATE * (1 if start is None else AGAIN)
    network.set_statistics(*pictures.maps(np.sort(g.choice(count, min(count, 300), replace=False))))
    if start is not None:
        go_on_from(network, start)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=DECAY)
    steps = count // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps + 1)
    best: tuple[float, dict[str, Tensor], dict[str, float]] = (-1.0, network.state_dict(), {})
    for epoch in range(epochs):
        network.train()
        losses = []
        for rows in np.array_split(g.permutation(count), steps):
            loss = loss_of(network(*pictures.maps(np.sort(rows))), *targets(*_labels(pictures, np.sort(rows))))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        figures = {} if held_out is None else score(network, held_out)
        print(f"epoch {epoch}: loss {np.mean(losses):.3f} {figures}", flush=True)
        value = float(epoch) if held_out is None else figures["real_found"] + figures["rendered_found"]
        if value > best[0]:
            best = (value, {name: part.clone() for name, part in network.state_dict().items()}, figures)
    network.load_state_dict(best[1])
    return network, best[2]


def go_on_from(network: CenterNetwork, file: Path) -> None:
    """Take the weights of a file; the first fine channels, if it lacks some, keep their statistics, at weight 0."""
    state = network.state_dict()
    for name, values in load(file.read_bytes()).items():
        if name == "fine.weight":
            values = F.pad(values.float(), (0, 0, 0, 0, state[name].shape[1] - values.shape[1], 0))
        elif name in ("fine_mean", "fine_std"):
            values = torch.cat((state[name][: len(state[name]) - len(values)], values.float()))
        state[name] = values.float()
    network.load_state_dict(state)


def _labels(pictures: Pictures, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    return pictures.labels[rows], pictures.uses[rows]


def write(network: CenterNetwork, out: Path, about: dict[str, object], figures: dict[str, float]) -> None:
    tensors = {
        name: values.half() if name.endswith("weight") and values.ndim == 4 else values
        for name, values in network.state_dict().items()
    }
    content = save({k: v.contiguous() for k, v in tensors.items() if not k.endswith("num_batches_tracked")})
    weights = out / "hand_detector.safetensors"
    weights.write_bytes(content)
    tables = {"held_out": figures} if figures else {}
    write_card(weights, hashlib.sha256(content).hexdigest(), about, tables)


def arguments(told: str | None, pictures: int, epochs: int) -> argparse.Namespace:
    """Read the command line of a training on drawn pictures, with these defaults."""
    parser = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("backgrounds", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--hold-out", action="append", default=[], help="clips and sets to score on, repeatable")
    parser.add_argument(
        "--people", type=Path, action="append", default=[], help="folder of one person's clips, repeatable"
    )
    parser.add_argument("--pictures", type=int, default=pictures)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--start", type=Path, help="weights to go on from; without them from nothing")
    return parser.parse_args()


def drawn(
    args: argparse.Namespace, draw: Draw[Drawn], folder: str, held_out_folder: str, held_out_share: int
) -> tuple[Drawn, Drawn | None]:
    """Draw what is learned from, and of the sources that `args` holds out, on a quarter of the backgrounds, the rest.

    Of those one is drawn for every `held_out_share` pictures; None without sources that are held out.
    """
    bank = read_backgrounds(args.backgrounds)
    held_out = None
    if args.hold_out:
        frames = sources(args.inputs, lambda name: name in args.hold_out)
        count = args.pictures // held_out_share
        held_out = draw(args.out / held_out_folder, count, frames, bank[::4], args.seed + 1)
        bank = [picture for n, picture in enumerate(bank) if n % 4]
    frames = sources(args.inputs, lambda name: name not in args.hold_out, args.people)
    return draw(args.out / folder, args.pictures, frames, bank, args.seed), held_out


def main() -> None:
    args = arguments(__doc__, 6000, 8)
    pictures, held_out = drawn(args, draw, "pictures", "held_out", 10)
    torch.set_num_threads(1)
    network, figures = learn(pictures, held_out, args.epochs, args.seed, args.start)
    about = {
        "name": "hand_detector", "pictures": len(pictures.kinds), "held_out": args.hold_out, "seed": args.seed,
        "epochs": args.epochs,
    }  # fmt: skip
    write(network, args.out, about, figures)


if __name__ == "__main__":
    main()
