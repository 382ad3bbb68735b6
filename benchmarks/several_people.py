"""Hands of several people that cross: identities (IDF1), each hand's error beside its clip alone, time per hand.

A hand's clip alone is the clip without the other hands: the same skin, surroundings and noise, so that the errors
differ by what other hands do to it. The views that tell how sure landmarks are were drawn at random: one draw moves the
error of a single hand by a tenth and more, so that --draws fits everything several times and compares means.

python -m benchmarks.several_people -o DIR [--clips N] [--people N] [--seconds S] [--seed N] [--fit]
    [--draws N]
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.evaluation.identities import idf1
from hmpfit.evaluation.metrics import pa_mpjpe_mm
from hmpfit.hands.matching import match_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.mediapipe import MediaPipeOptions, find_tracks
from hmpfit.pipeline import run_video
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.results.npz import read_result
from hmpfit.synthesis.clips import make_clip
from hmpfit.synthesis.several_people import people_camera, people_look, sample_people
from hmpfit.video.clip import open_clip

FPS = 30.0
IN_SIGHT = 11  # visible joints from which a hand has to be found


def main() -> None:
    """Render, track and, with --fit, fit the clips; print a line for each and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--fit", action="store_true", help="fit whole clips and every hand's clip alone")
    parser.add_argument("--draws", type=int, default=1, help="of the augmented views, over which errors are averaged")
    chosen = parser.parse_args()
    scores = []
    for seed in range(chosen.seed, chosen.seed + chosen.clips):
        scores.append(_tracked(chosen.out / f"{seed:04d}", chosen.people, chosen.seconds, seed))
        if chosen.fit:
            _fitted(chosen.out / f"{seed:04d}", 2 * chosen.people, chosen.draws)
    print(f"mean IDF1 {np.mean(scores):.3f}, least {np.min(scores):.3f}, {len(scores)} clips")


def _tracked(folder: Path, people: int, seconds: float, seed: int) -> float:
    models = load_hand_models("open")
    generator = np.random.default_rng(seed)
    motion = sample_people(models, people, seconds, FPS, generator)
    camera, look = people_camera(), people_look(people, generator)
    if not (folder / "truth.npz").is_file():
        for hand in range(2 * people):
            make_clip(folder / f"hand{hand}", motion, models, camera, seed, FPS, look, drawn=(hand,))
        make_clip(folder, motion, models, camera, seed, FPS, look)
    with np.load(folder / "truth.npz") as truth:
        true_px, visible, is_right = truth["keypoints_px"], truth["visibility"], truth["is_right"]
    began = time.process_time()
    tracks = find_tracks(open_clip(folder / "clip.mp4"), load_landmarker(), MediaPipeOptions(workers=1))
    spent = time.process_time() - began
    score = idf1(tracks.xy_px, true_px, visible.sum(-1) >= IN_SIGHT)
    rows = match_hands(tracks.xy_px, tracks.is_right, true_px, is_right)
    persons = [sorted(map(int, rows[[2 * p, 2 * p + 1]])) for p in range(people)]
    grouped = all(-1 not in pair and len({int(tracks.person_id[row]) for row in pair}) == 1 for pair in persons)
    sides = "".join("R" if right else "L" for right in tracks.is_right)
    print(f"{folder.name}: IDF1 {score:.3f}, hands {sides}, persons right: {grouped}, {spent:.1f} s CPU", flush=True)
    return score


def _fitted(folder: Path, hands: int, draws: int) -> None:
    with np.load(folder / "truth.npz") as truth:
        joints, is_right = truth["joints"], truth["is_right"]
    whole, alone = np.full((draws, hands), np.nan), np.full((draws, hands), np.nan)
    for draw in range(draws):
        settings = resolve_settings(intrinsics="1000,1000,640,360", workers=1, seed=draw)
        name = f"run{draw}" if draw else "run"
        print(f"  draw {draw}, {hands} hands: {_seconds(run_video(folder / 'clip.mp4', folder / name, settings))}")
        result = read_result(folder / name)
        rows = match_hands(result.joints, result.motion.is_right, joints, is_right)
        for hand in range(hands):
            own = folder / f"hand{hand}"
            summary = run_video(own / "clip.mp4", own / name, settings)
            alone[draw, hand] = pa_mpjpe_mm(read_result(own / name).joints[0], joints[hand])
            if rows[hand] >= 0:
                whole[draw, hand] = pa_mpjpe_mm(result.joints[rows[hand]], joints[hand])
            print(f"  draw {draw}, hand {hand}: PA {whole[draw, hand]:.2f} mm, alone {alone[draw, hand]:.2f} mm; "
                  f"alone {_seconds(summary)}", flush=True)  # fmt: skip
    for hand, (a, b) in enumerate(zip(whole.mean(0), alone.mean(0), strict=True)):
        print(f"  hand {hand}: PA {a:.2f} mm, alone {b:.2f} mm ({a / b - 1:+.0%})", flush=True)


def _seconds(summary: dict[str, Any]) -> str:
    return ", ".join(f"{name} {summary['seconds'][name]:.1f} s" for name in ("keypoints", "init", "fit", "total"))


if __name__ == "__main__":
    main()
