"""Score the fit on each real set with what was read from it taken back.

    python benchmarks/leave_one_out.py ../shared/inputs/truth [--out DIR]

`real_truth.py` scores what ships, and what ships saw all sets: the proportions of the open hand are partly theirs, and
the recipe's numbers were chosen on them. Here, for each set,

- the open hand gets the proportions of the other sets' people and of the literature alone, and
- of the recipes around the shipped one (`recipes`), that is taken whose PA and RA-MPJPE on the other sets, in shares
  of the first guess's, are lowest on average.

Prints both errors of the first guess and of the fit, with that hand, on the set left out: with the shipped recipe, and
with the recipe of the others. The rest of what saw these sets stays: the classifier of covered landmarks
(`train_occlusion.py`) and the recipe's other numbers.
Run folders stay in --out, so that a second call costs nothing.
"""

import argparse
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import real_truth
from real_truth import GUESS

from hmpfit.datasets.opening import open_dataset
from hmpfit.hands.model_files import OPEN_HAND
from hmpfit.hands.open_hand import proportions
from hmpfit.interfaces.dataset import Sequence
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import MIRROR_X
from hmpfit.skeleton import FINGERS, OPENPOSE_WRIST, openpose

LITERATURE = 0.5  # share of the finger bones' lengths that is not these people's
SHIPPED = "shipped"
VARIED = ("orient_smooth", "keypoints_3d", "prior")  # weights of the recipe, in every stage that has them
Person = tuple[np.ndarray, np.ndarray]  # thumb's saddle and knuckles [5, 3], finger bones [5, 3], in palms; NaN unknown
Errors = dict[str, float]


def recipes() -> dict[str, tuple[str, ...]]:
    """Return the shipped recipe and, with each weight of `VARIED` halved and doubled, those around it, as changes."""
    stages = resolve_settings().recipe.stages
    found: dict[str, tuple[str, ...]] = {SHIPPED: ()}
    for name in VARIED:
        weights = {number: stage.weights[name] for number, stage in enumerate(stages) if name in stage.weights}
        for factor in (0.5, 2.0):
            changes = (f"stages.{number}.weights.{name}={weight * factor}" for number, weight in weights.items())
            found[f"{name} x {factor}"] = tuple(changes)
    return found


def person_of(sequences: list[Sequence]) -> Person:
    """Return a set's proportions as `open_hand.proportions` writes them: medians over frames, cameras and hands."""
    rows = [[openpose(f"{finger}{part}") for part in ("1", "2", "3", "_tip")] for finger in FINGERS]
    palms, bones = [], []
    for sequence in sequences:
        for hand, is_right in zip(real_truth.true_joints(sequence), sequence.truth().is_right):
            points = hand if is_right else hand * MIRROR_X
            palm = np.linalg.norm(points[:, openpose("middle1")] - points[:, OPENPOSE_WRIST], axis=-1)
            first = points[:, [row[0] for row in rows]] - points[:, [OPENPOSE_WRIST]]
            for t in np.flatnonzero(np.isfinite(first).all((1, 2)) & np.isfinite(palm)):
                palms.append(first[t] @ proportions.palm_axes(points[t]).T / palm[t])
            lengths = [np.linalg.norm(np.diff(points[:, row], axis=1), axis=-1) for row in rows]
            bones.append(np.stack(lengths, axis=1) / palm[:, None, None])
    with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # a bone that no frame shows
        return np.nanmedian(palms, axis=0), np.nanmedian(np.concatenate(bones), axis=0)


def write_hand(people: dict[str, Person], left_out: str, path: Path) -> None:
    """Write the open hand without one set's person to `path`, as MANO's arrays."""
    moved = [
        np.nan_to_num(np.nanmean([one[part] for name, one in people.items() if name != left_out], axis=0) - everybody)
        for part, everybody in ((part, np.nanmean([one[part] for one in people.values()], axis=0)) for part in (0, 1))
    ]
    shipped = proportions.Proportions.average()
    fingers = shipped.fingers + (1 - LITERATURE) * moved[1]
    without = replace(shipped, palm=shipped.palm + moved[0], fingers=fingers)
    with np.load(OPEN_HAND) as stored:
        arrays = dict(stored)
    np.savez(path, **proportions.reproportion(arrays, without))


def score(sequences: Iterable[Sequence], out: Path, hand: Path, tried: dict[str, tuple[str, ...]]) -> dict[str, Errors]:
    """Return PA and RA-MPJPE, mm, of the first guess and of every recipe, over all frames of the sequences."""
    ways: dict[str, real_truth.Choices] = {
        f"{hand.stem} {name}": {"assignments": changes, "hand_model": str(hand)} for name, changes in tried.items()
    }
    ways[f"{hand.stem} {GUESS}"] = {**real_truth.WAYS[GUESS], "hand_model": str(hand)}
    found: dict[str, list[real_truth.RealErrors]] = {}
    for sequence in sequences:
        for way, errors in real_truth.measure(sequence, out, ways).items():
            found.setdefault(way.removeprefix(f"{hand.stem} "), []).extend(errors)
    means = {way: real_truth.mean(errors) for way, errors in found.items()}
    return {way: {key: numbers[key] for key in ("pa_mpjpe_mm", "ra_mpjpe_mm")} for way, numbers in means.items()}


def share(found: dict[str, Errors], way: str) -> float:
    """Return the errors of a recipe in shares of the first guess's, averaged over PA and RA."""
    return float(np.mean([found[way][key] / found[GUESS][key] for key in found[GUESS]]))


def main() -> None:
    """Leave every set out once and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--out", type=Path, default=Path("real_truth_out"))
    arguments = parser.parse_args()
    sets: dict[str, list[Sequence]] = {}
    for sequence in open_dataset(f"truth:{arguments.truth}").sequences:
        sets.setdefault(sequence.name.split("/")[0], []).append(sequence)
        real_truth.measure(sequence, arguments.out, {GUESS: real_truth.WAYS[GUESS]})  # finds the hands once
    tried = recipes()
    people = {name: person_of(sequences) for name, sequences in sets.items()}
    print("| left out | recipe | first guess, PA / RA, mm | fit | change |\n|---|---|---:|---:|---:|")
    for name, sequences in sets.items():
        hand = arguments.out / f"without_{name}.npz"
        write_hand(people, name, hand)
        others = [score(theirs, arguments.out, hand, tried) for other, theirs in sets.items() if other != name]
        best = min(tried, key=lambda way: np.mean([share(found, way) for found in others]))
        found = score(sequences, arguments.out, hand, {way: tried[way] for way in (SHIPPED, best)})
        for way, shown in ((SHIPPED, SHIPPED), (best, f"of the others: {best}")):
            guess, fit = found[GUESS].values(), found[way].values()
            numbers = (" / ".join(f"{value:.1f}" for value in values) for values in (guess, fit))
            change = " / ".join(f"{b / a - 1:+.0%}" for a, b in zip(guess, fit))
            print(f"| {name} | {shown} | {' | '.join(numbers)} | {change} |", flush=True)


if __name__ == "__main__":
    main()
