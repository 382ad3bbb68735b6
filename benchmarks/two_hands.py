"""What fitting both hands together gains and costs, on clips of two hands with known truth.

    hmpfit synthesize -o clips --hands both --contact mixed --count 12 --frames 64 --seed 500
    python benchmarks/two_hands.py clips -o runs

Each clip is fitted twice from the same keypoints: with the term `penetration` and one shape, and without.
The table holds MMPD (mm) as the fit placed the hands and at their true distance (STC), MPJPE and PA-MPJPE (mm), MRRPE
(mm), and the CPU seconds of the fit. Clips on which a hand is not found are named and left out of the means.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from earlier_runs import take_stages

import hmpfit.pipeline.fit as fit_step
from hmpfit.errors import HmpfitError
from hmpfit.evaluation.penetration import mmpd_mm
from hmpfit.evaluation.scoring import read_truth, score_motion
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.pipeline import fit_in_folder
from hmpfit.recipes.resolving import resolve_settings

APART = ("stages.1.weights.penetration=0", "stages.0.share_shape=false", "stages.1.share_shape=false")
WAYS: dict[str, tuple[str, ...]] = {"apart": APART, "together": ()}
COLUMNS = ("mmpd", "stc_mmpd", "mpjpe", "pa_mpjpe", "mrrpe", "fit_cpu_s")


def main() -> None:
    """Fit, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("two_hand_runs"))
    parser.add_argument("--set", dest="sets", action="append", default=[], help="for both ways, as in hmpfit run")
    chosen = parser.parse_args()
    found: dict[str, dict[str, dict[str, float]]] = {}
    print("| clip | way | " + " | ".join(COLUMNS) + " |\n|---|---|" + "---:|" * len(COLUMNS))
    for clip in sorted(path.parent for path in chosen.clips.glob("*/truth.npz")):
        try:
            found[clip.name] = {way: run(clip, chosen.out, way, tuple(chosen.sets)) for way in WAYS}
        except HmpfitError as error:
            print(f"| {clip.name} | left out: {error} |")
            continue
        for way in WAYS:
            tell(clip.name, way, found[clip.name][way])
    for way in WAYS:
        tell(
            f"**mean of {len(found)}**", way, {c: float(np.mean([f[way][c] for f in found.values()])) for c in COLUMNS}
        )


def run(clip: Path, out: Path, way: str, sets: tuple[str, ...]) -> dict[str, float]:
    """Fit a clip one way and score it."""
    truth = read_truth(clip)
    with np.load(clip / "truth.npz") as stored:
        K = stored["K"][0]
    folder, other = out / way / clip.name, out / "apart" / clip.name
    take_stages(other, folder, "tracks.npz", "initial.npz")
    lens = ",".join(repr(float(value)) for value in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
    settings = resolve_settings(
        hands="both", intrinsics=lens, assignments=(*sets, *WAYS[way]), workers=1, overwrite=True
    )
    (folder / "fit.npz").unlink(missing_ok=True)
    seconds = [0.0]
    whole = fit_step.fit

    def timed(*arguments: Any, **keywords: Any) -> Any:
        began = time.process_time()
        fitted = whole(*arguments, **keywords)
        seconds[0] = time.process_time() - began
        return fitted

    fit_step.fit = timed  # type: ignore[assignment]
    try:
        motion = fit_in_folder(clip / "clip.mp4", folder, settings).motion
    finally:
        fit_step.fit = whole
    if len(motion.is_right) < 2:
        raise HmpfitError("one hand only was found")
    models = load_hand_models("open")
    vertices = pose_hands(models, motion, vertices=True).vertices
    assert vertices is not None
    right, left = (vertices[int(np.flatnonzero(motion.is_right == side)[0])] for side in (True, False))
    stc, hmp, interhand = (score_motion(motion, models, truth, name)["covered"] for name in ("stc", "hmp", "interhand"))
    return {
        "mmpd": mmpd_mm(right, left, models.left.faces),
        "stc_mmpd": stc["stc_mmpd_mm"],
        "mpjpe": hmp["ra_mpjpe_mm"],
        "pa_mpjpe": hmp["pa_mpjpe_mm"],
        "mrrpe": interhand["interhand_mrrpe_mm"],
        "fit_cpu_s": seconds[0],
    }


def tell(clip: str, way: str, numbers: dict[str, float]) -> None:
    """Print one row."""
    print(f"| {clip} | {way} | " + " | ".join(f"{numbers[column]:.2f}" for column in COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
