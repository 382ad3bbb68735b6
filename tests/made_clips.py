"""Hand clips made without rendering: the open hand's joints drawn as dots, for tests of what learns from clips."""

import numpy as np

from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import HandMotion
from hmpfit.regressors.samples import HandClip

SIZE = 96


class Dots:
    """A source of clips: `hands` hands in `frames` frames, every joint a dot of its own color."""

    name = "dots"

    def __init__(self, count: int, frames: int = 2, sides: tuple[bool, ...] = (True,)) -> None:
        self.count, self.frames, self.sides = count, frames, sides

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> HandClip:
        rng = np.random.default_rng(index)
        hands, frames = len(self.sides), self.frames
        steps = np.arange(frames)[None, :, None]
        orient = rng.normal(0, 0.6, (hands, 1, 3)) + 0.02 * steps
        pose = np.repeat(rng.normal(0, 0.25, (hands, 1, 15, 3)), frames, axis=1)
        transl = np.array([0.0, 0.0, 0.5]) + 0.003 * steps + rng.normal(0, 0.01, (hands, 1, 3))
        betas = rng.normal(0, 0.5, (hands, 10))
        motion = HandMotion(
            orient, pose, np.broadcast_to(transl, (hands, frames, 3)).copy(), betas, np.array(self.sides),
            np.full((hands, frames), 2, np.uint8),
        )  # fmt: skip
        joints = pose_hands(load_hand_models("open"), motion).joints
        K = np.array([[200.0, 0, SIZE / 2], [0, 200.0, SIZE / 2], [0, 0, 1]])
        pixels = joints @ K.T
        pixels = pixels[..., :2] / pixels[..., 2:]
        images = np.full((frames, SIZE, SIZE, 3), 30, np.uint8)
        colors = np.random.default_rng(0).integers(60, 255, (21, 3))
        for frame in range(frames):
            for hand in range(hands):
                for point, color in zip(pixels[hand, frame].astype(int), colors):
                    x, y = np.clip(point, 1, SIZE - 2)
                    images[frame, y - 1 : y + 2, x - 1 : x + 2] = color
        return HandClip(images, K, np.array(self.sides), pixels, joints, orient, pose, betas)
