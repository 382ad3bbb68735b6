"""How far an occluder that passes over a hand moves the fit: `python benchmarks/occluded_clips.py CLIP... -o DIR`.

Every clip is fitted as it is, occluded by `paste_occluders.py` (other seeds: other occluders), and fitted again by each
recipe. The truth of a frame is the fit of the clean clip by the same recipe (`--truth own`) or the one that was kept
in DIR when the clip was first occluded, by `default` (`--truth kept`, to compare versions). Covered frames have at
least eight covered landmarks, clean ones have none within half a second. Occluded clips and detections in DIR are
reused.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paste_occluders

from hmpfit.evaluation.metrics import pa_mpjpe_mm, ra_mpjpe_mm
from hmpfit.hands.matching import match_hands
from hmpfit.pipeline import fit_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import DETECTED, FitRecord, Floats

LEAST_COVERED = 8
NEAR_S = 0.5


@dataclass(frozen=True)
class Clip:
    """A stretch of a real clip, clean and occluded."""

    path: Path
    frames: tuple[int, int]
    seed: int
    folder: Path

    def occluded(self) -> Path:
        """Return the occluded stretch, made if it does not exist; its clean fit is kept beside it."""
        made = self.folder / "clip.mp4"
        if not made.exists():
            clean = self.fit("default", clean=True)
            points = np.where(clean.tracks.seen[..., None, None], clean.tracks.xy_px, np.nan)
            paste_occluders.paste_occluders(
                self.path, points, self.folder, self.seed, paste_occluders.KINDS, self.frames
            )
            kept = {"joints": clean.joints, "is_right": clean.motion.is_right, "status": clean.motion.status}
            np.savez_compressed(self.folder / "clean.npz", **kept)
        return made

    def fit(self, recipe: str, clean: bool) -> FitRecord:
        """Fit the clean or the occluded stretch."""
        name, *sets = recipe.split(";")
        inits = [one.removeprefix("init=") for one in sets if one.startswith("init=")]
        changes = tuple(one for one in sets if not one.startswith("init="))
        frames, init = self.frames if clean else None, (inits or ["keypoints"])[0]
        settings = resolve_settings(name, changes, init=init, frames=frames, workers=1, overwrite=True)
        folder = self.folder.parent / f"{self.path.stem}-clean" if clean else self.folder / "run"
        return fit_in_folder(self.path if clean else self.occluded(), folder, settings)


def score(clip: Clip, recipe: str, truth: str) -> dict[str, float]:
    """Return sums and counts over hands and frames, from which the table's means are made."""
    occluded = clip.fit(recipe, clean=False)
    with np.load(clip.folder / "covered.npz") as stored:
        covered = stored["covered"].sum(-1)
    with np.load(clip.folder / "clean.npz") as stored:
        joints, sides, status = stored["joints"], stored["is_right"], stored["status"]
    if truth == "own":
        clean = clip.fit(recipe, clean=True)
        same = match_hands(clean.joints, clean.motion.is_right, joints, sides)
        joints, sides, status = clean.joints[same], clean.motion.is_right[same], clean.motion.status[same]
    times_s = occluded.tracks.times_s
    near = max(round(NEAR_S / float(np.median(np.diff(times_s)))), 1)
    found = dict.fromkeys(("covered", "pa", "ra", "called", "clean", "clean_pa", "clean_ra", "clean_called"), 0.0)
    rows = match_hands(occluded.joints, occluded.motion.is_right, joints, sides)
    for hand, row in enumerate(rows.tolist()):
        hidden = (covered[hand] >= LEAST_COVERED) & (status[hand] == DETECTED)
        away = np.convolve(covered[hand] > 0, np.ones(2 * near + 1), mode="same") == 0
        free = away & (status[hand] == DETECTED)
        found["covered"] += hidden.sum()
        found["clean"] += free.sum()
        if row < 0:
            continue  # a hand that is not found at all is detected nowhere and has no error: the count shows it
        called = occluded.motion.status[row] == DETECTED
        for prefix, frames in (("", hidden), ("clean_", free)):
            found[prefix + "called"] += (called & frames).sum()
            if frames.any():
                found[prefix + "pa"] += frames.sum() * pa_mpjpe_mm(occluded.joints[row, frames], joints[hand, frames])
                found[prefix + "ra"] += frames.sum() * ra_mpjpe_mm(occluded.joints[row, frames], joints[hand, frames])
    return found


def tell(name: str, recipe: str, found: dict[str, float]) -> None:
    """Print one line of the table."""
    n, m = max(found["covered"], 1), max(found["clean"], 1)
    numbers = (
        f"{found['covered']:.0f}", f"{found['pa'] / n:.1f}", f"{found['ra'] / n:.1f}", f"{found['called'] / n:.0%}",
        f"{found['clean']:.0f}", f"{found['clean_pa'] / m:.2f}", f"{found['clean_ra'] / m:.2f}",
        f"{found['clean_called'] / m:.0%}",
    )  # fmt: skip
    print(f"| {name} | {recipe} | " + " | ".join(numbers) + " |", flush=True)


def mean(found: list[dict[str, float]]) -> dict[str, float]:
    """Return the sums over clips."""
    return {key: float(np.sum([one[key] for one in found])) for key in found[0]}


def parse_clip(text: str, out: Path, seeds: Floats) -> list[Clip]:
    """Read CLIP or CLIP@A:B."""
    name, _, stretch = text.partition("@")
    a, b = (int(n) for n in stretch.split(":")) if stretch else (0, 1_000_000)
    path = Path(name)
    return [Clip(path, (a, b), int(seed), out / f"{path.stem}-{a}-{int(seed)}") for seed in seeds]


def main() -> None:
    """Paste occluders, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", help="CLIP or CLIP@A:B, a half-open stretch of source frames")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1", help="of the occluders, with commas")
    change = "with commas; default;keypoints.views=0 changes a key, default;init=ifvonet the initializer"
    parser.add_argument("--recipes", default="default", help=change)
    parser.add_argument("--truth", choices=("own", "kept"), default="own")
    chosen = parser.parse_args()
    seeds = np.array([int(n) for n in chosen.seeds.split(",")])
    clips = [clip for text in chosen.clips for clip in parse_clip(text, chosen.out, seeds)]
    print("| clip | recipe | covered frames | PA, mm | RA, mm | called detected | clean frames | PA | RA | detected |")
    print("|---|---|" + "---:|" * 8)
    for recipe in chosen.recipes.split(","):
        found = []
        for clip in clips:
            found.append(score(clip, recipe, chosen.truth))
            tell(clip.folder.name, recipe, found[-1])
        tell("**all**", recipe, mean(found))


if __name__ == "__main__":
    main()
