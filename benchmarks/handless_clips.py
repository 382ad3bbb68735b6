"""False hands per minute: what is taken for a hand in clips without one.

Pictures (of animals, faces, things) are panned and zoomed into clips; videos are taken as they are. Only give what
shows no hand: every hand that is kept counts as a false one.

python benchmarks/handless_clips.py FILE... [--seconds S] [--seed N] [--search S] [-o DIR]
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import NoHandError
from hmpfit.geometry.cameras import assumed_intrinsics
from hmpfit.keypoints.mediapipe import MediaPipeOptions, extract
from hmpfit.records import Camera
from hmpfit.video.clip import open_clip
from hmpfit.video.image_file import is_still, read_image
from hmpfit.video.writer import VideoWriter

WIDTH, HEIGHT, FPS = 640, 480, 30.0
ZOOMS = (0.55, 1.0)  # of the picture's sides, that are in sight at the start and at the end, in any order


def main() -> None:
    """Look for hands in every clip; print a line for each and the hands per minute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a clip that is made of a picture")
    parser.add_argument("--seed", type=int, default=0, help="of the ways over the pictures")
    parser.add_argument("-o", "--out", type=Path, help="folder to keep the clips in")
    parser.add_argument("--search", type=float, default=0.0, help="seconds between searches for held objects, 0: none")
    chosen = parser.parse_args()
    logging.getLogger("hmpfit").setLevel(logging.ERROR)
    generator = np.random.default_rng(chosen.seed)
    minutes, hands, clips_with_hands = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        for file in chosen.files:
            video = file
            if is_still(file):
                video = (chosen.out or Path(scratch)) / f"{file.stem}.mp4"
                video.parent.mkdir(parents=True, exist_ok=True)
                pan(read_image(file), video, chosen.seconds, generator)
            began = time.process_time()
            kept, frames, said, lasts = look(video, chosen.search)
            minutes, hands, clips_with_hands = minutes + lasts / 60, hands + kept, clips_with_hands + (kept > 0)
            print(f"{file.stem}: {kept} hands in {frames} frames, {time.process_time() - began:.1f} s CPU; {said}",
                  flush=True)  # fmt: skip
    print(f"{len(chosen.files)} clips, {minutes:.2f} minutes: {hands} hands in {clips_with_hands} clips, "
          f"{hands / minutes:.2f} a minute")  # fmt: skip


def look(video: Path, search_every_s: float = 0.0) -> tuple[int, int, str, float]:
    """Return how many hands a clip's keypoints hold, in how many frames, what was dropped why, and the seconds."""
    clip = open_clip(video)
    K = assumed_intrinsics(clip.width, clip.height, focal_per_longer_side=1.0)[None]
    lasts = float(clip.times_s[-1] - clip.times_s[0]) + 1 / FPS
    try:
        options = MediaPipeOptions(workers=1, search_every_s=search_every_s)
        found = extract(clip, Camera(K, clip.width, clip.height, None, "given"), options)
    except NoHandError as error:
        return 0, 0, str(error), lasts
    return len(found.is_right), int(found.seen.any(0).sum()), "; ".join(one.reason for one in found.dropped), lasts


def pan(image: NDArray[np.uint8], video: Path, seconds: float, generator: np.random.Generator) -> None:
    """Write a clip that moves over a picture and zooms in or out, from one drawn place to another."""
    height, width = image.shape[:2]
    full = min(width, height * WIDTH / HEIGHT)
    sides = full * generator.permutation(np.array(ZOOMS))
    places = generator.uniform(0, 1, (2, 2))
    frames = round(seconds * FPS)
    with VideoWriter(video, FPS, WIDTH, HEIGHT) as out:
        for share in np.linspace(0, 1, frames):
            share = share * share * (3 - 2 * share)
            side = (1 - share) * sides[0] + share * sides[1]
            size = np.array([side, side * HEIGHT / WIDTH])
            corner = ((1 - share) * places[0] + share * places[1]) * (np.array([width, height]) - size)
            scale = WIDTH / side
            way = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
            out.write(cv2.warpAffine(image, way, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE))


if __name__ == "__main__":
    main()
