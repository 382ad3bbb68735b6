"""How many hands around objects are found: `python benchmarks/held_objects.py INPUTS BACKGROUNDS [--seed N]`.

Pictures as `detector_pictures.py` draws them, of clips that the training left out, with things pasted over the hands,
and of rendered hands, most around an object; BACKGROUNDS is a folder of pictures without hands. Counted are hands of
which at least 30 % of the landmarks show: found by MediaPipe (palm 0.4, presence 0.4), by the search of
`keypoints.search_every_s`, by either, and by the boxes alone. A hand is found where a center lies within 0.35 of its
box's diagonal; hands with a diagonal below 0.13 of the picture have a row of their own. In pictures without such hands
what the search takes for one is counted, before tracks and views judge it.
With `--videos FILE...` the same for frames of which a file beside each video, `NAME.centers.txt`, says where hands are:
lines `frame x y size`, shares of the width, the height, the width.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from detector_pictures import Frame, Image, RenderedHands, read_backgrounds
from train_hand_detector import draw_picture, sources

from hmpfit.keypoints.detection import NOTHING, DetectorOptions
from hmpfit.keypoints.hand_detector import HandDetector
from hmpfit.keypoints.held_object_search import SearchOptions, propose
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.networks import LandmarkNetwork
from hmpfit.keypoints.palm_detector import INPUT, PalmDetector
from hmpfit.records import Floats
from hmpfit.video.clip import open_clip

NEAR, BOX_SCORE = 0.35, 0.2
LEAST_DIAGONAL = 0.13  # of the picture's side; smaller hands are counted in a row of their own
WAYS = ("MediaPipe", "search", "either", "boxes")


@dataclass(frozen=True)
class Hands:
    """The hands of a picture: centers [N, 2] and diagonals [N] of their boxes in pixels, -1 or 1 for a side [N]."""

    center_px: Floats
    diagonal_px: Floats
    right: Floats


class Finders:
    """All that looks for hands in a picture."""

    def __init__(self) -> None:
        files, detection, self.options = load_landmarker(), DetectorOptions(), SearchOptions()
        self._least = detection.presence
        self._palms = PalmDetector(files.palm, detection.palm_score, detection.most_hands)
        self._detector = HandDetector(files.palm, self.options.box_score, self.options.most)
        self._network = LandmarkNetwork(files.landmarks, with_pooled=True)

    def __call__(self, image: Image) -> tuple[dict[str, Floats], Floats]:
        """Return the centers [N, 2] that each way finds, and the sides that the search says of its own."""
        palms, boxes = self._palms(image), self._detector(image)
        seen = self._network(image, palms.regions) if len(palms.score) else NOTHING
        found, _ = propose((self._detector, self._network), image, NOTHING.xy_px, self.options)
        corners = boxes.xyxy_px[boxes.score >= BOX_SCORE].reshape(-1, 2, 2)
        centers = {
            "MediaPipe": seen.xy_px[seen.presence >= self._least].mean(1),
            "search": found.xy_px.mean(1),
            "boxes": corners.mean(1),
        }
        return centers | {"either": np.concatenate((centers["MediaPipe"], centers["search"]))}, found.right


def drawn(
    kind: str, count: int, frames: list[list[Frame]], bank: list[Image], seed: int
) -> Iterator[tuple[Image, Hands]]:
    """Draw pictures of a kind, half of them sharp; hands that count are those a detector must find."""
    g, rendered = np.random.default_rng((seed, len(kind))), RenderedHands(9700 + seed)
    for n in range(count):
        image, labels = draw_picture(kind, frames, bank, rendered, g, INPUT * (1 + n % 2))
        rows = np.array([row for row, use in labels if use > 0]).reshape(-1, 8)
        side = image.shape[0]
        yield image, Hands(rows[:, :2] * side, np.linalg.norm(rows[:, 2:4], axis=1) * side, 2 * rows[:, 4] - 1)


def annotated(video: Path) -> Iterator[tuple[Image, Hands]]:
    """Yield the annotated frames of a video."""
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for line in video.with_suffix(".centers.txt").read_text().splitlines():
        frame, *numbers = line.split()
        rows[int(frame)].append([float(number) for number in numbers])
    for frame, image in open_clip(video).images():
        if frame in rows:
            xys, width = np.array(rows[frame]), image.shape[1]
            yield image, Hands(xys[:, :2] * image.shape[1::-1], xys[:, 2] * width, np.zeros(len(xys)))


def measure(name: str, pictures: Iterator[tuple[Image, Hands]], finders: Finders) -> None:
    """Print a row: hands, the share that each way finds, sides that the search has right, pictures, false hands."""
    hits: dict[str, list[bool]] = {way: [] for way in WAYS}
    tiny: dict[str, list[bool]] = {way: [] for way in WAYS}
    sides, count, false = list[bool](), 0, 0
    for image, hands in pictures:
        centers, right = finders(image)
        count += 1
        for center, diagonal, side in zip(hands.center_px, hands.diagonal_px, hands.right, strict=True):
            counted = hits if diagonal >= LEAST_DIAGONAL * max(image.shape) else tiny
            for way in WAYS:
                away = np.linalg.norm(centers[way] - center, axis=1)
                counted[way].append(bool((away < NEAR * diagonal).any()))
                if way == "search" and counted[way][-1] and side:
                    sides.append(bool((right[away.argmin()] > 0.5) == (side > 0)))
        if not len(hands.center_px):
            false += len(centers["search"])
    right_sides = f"{np.mean(sides):.2f}" if sides else "-"
    for counted, of in ((hits, name), (tiny, f"{name}, smaller hands")):
        if counted["search"] or counted is hits:
            shares = " | ".join(f"{np.mean(counted[way]):.2f}" if counted[way] else "-" for way in WAYS)
            print(f"| {of} | {len(counted['search'])} | {shares} | {right_sides} | {count} | {false} |", flush=True)


def main() -> None:
    """Draw, look, print one row per kind of picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("backgrounds", type=Path)
    parser.add_argument("--hold-out", action="append", default=[], help="clips and sets; cups and desk if not told")
    parser.add_argument("--pictures", type=int, default=150, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--videos", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    held_out, bank, finders = args.hold_out or ["cups", "desk"], read_backgrounds(args.backgrounds), Finders()
    frames = sources(args.inputs, lambda name: name in held_out)
    print(f"| pictures | hands | {' | '.join(WAYS)} | right sides | pictures | false hands |")
    print("|---|" + "---:|" * (len(WAYS) + 4))
    for kind in ("real", "rendered", "empty"):
        measure(kind, drawn(kind, args.pictures, frames, bank, args.seed), finders)
    for video in args.videos:
        measure(video.stem, annotated(video), finders)


if __name__ == "__main__":
    main()
