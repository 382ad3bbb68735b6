"""How well a motion prior reconstructs and in-betweens motion it never saw, beside SLERP. Prints one JSON object.

    python -m benchmarks.prior [PRIOR] [--motion ../shared/inputs/motion] [--generated 50]

Held out: the Leap recordings named in HELD_OUT_FILES and generated motion of the vocabulary HELD_OUT. "encoder" decodes
the posterior mean of the masked motion; "refined" then fits z to the visible frames' rotations, as stage II does.
Numbers are mean distances of 21 wrist-relative joints in millimetres, on the prior's own hand, over hidden frames for
gaps and over all frames for reconstruction.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hmpfit.datasets.joint_motion import read_motion, to_hand_pose
from hmpfit.geometry import rotations
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model_files import load_hand_models
from hmpfit.priors.motion_field import features
from hmpfit.priors.motion_field.loading import load_prior
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.synthesis.motion import HELD_OUT, generate_motion

HELD_OUT_FILES = ("rollAndPitch", "pinch", "three-claps")
HELD_OUT_KINDS = ("spelling", "power_grasps", "precision_grasps", "other_grasps", "handling")
GAPS = (5, 15, 30, 60)
TRIALS = 3  # gaps drawn per window and length
REFINE_STEPS, REFINE_STD, LEAST_STD = 3, 0.03, 0.02
Window = tuple[Tensor, Tensor]  # rotations [T, 15, 3, 3], known [T]


def recorded(folder: Path, frames: int) -> Iterator[Window]:
    kinematics = Kinematics.of(load_hand_models().right, landmark_offsets=False)
    for path in sorted(folder.rglob("*.npz")):
        if path.name.startswith(HELD_OUT_FILES):
            for motion in read_motion(path):
                poses = to_hand_pose(motion, kinematics)
                yield from cut(poses.hand_pose, poses.valid, frames)


def cut(hand_pose: np.ndarray, valid: np.ndarray, frames: int) -> Iterator[Window]:
    for start in range(0, max(len(hand_pose) - frames // 2, 1), frames // 2):
        window, known = np.zeros((frames, 15, 3)), np.zeros(frames, dtype=bool)
        piece = hand_pose[start : start + frames]
        window[: len(piece)], known[: len(piece)] = np.nan_to_num(piece), valid[start : start + frames]
        if known.sum() > 30:
            yield rotations.exp(torch.as_tensor(window, dtype=torch.float32)), torch.as_tensor(known)


def generated(count: int, prior: MotionPrior) -> Iterator[Window]:
    generator = np.random.default_rng(777)
    for i in range(count):
        seconds = prior.window_frames / prior.fps
        pose = generate_motion(HELD_OUT_KINDS[i % len(HELD_OUT_KINDS)], seconds, prior.fps, generator, HELD_OUT)
        known = torch.ones(prior.window_frames, dtype=torch.bool)
        yield rotations.exp(torch.as_tensor(pose, dtype=torch.float32)), known


def slerp(hand_R: Tensor, known: Tensor) -> Tensor:
    last, following, fraction = features._bracket(known[None])
    first = hand_R[last[0]]
    blended = rotations.slerp(first, hand_R[following[0]], fraction[0, :, None].expand(first.shape[:2]).float())
    return torch.where(known[:, None, None, None], hand_R, blended)


@torch.no_grad()
def encoded(prior: MotionPrior, hand_R: Tensor, known: Tensor, refine: bool) -> Tensor:
    mean, log_var = prior.encode(hand_R[None], known[None])
    prepared, z = prior.prepare(prior.frame_times), mean.clone()
    weight = known.float().repeat_interleave(90) / REFINE_STD**2
    precision = (log_var / 2).exp().clamp(min=LEAST_STD)[0] ** -2
    for _ in range(REFINE_STEPS if refine else 0):
        six, jacobian = prior.decode_jacobian(z, prepared)
        rows = jacobian[0].flatten(0, 1)
        normal = rows.T @ (rows * weight[:, None]) + torch.diag(precision)
        seen = torch.where(known[:, None], rotations.to_6d(hand_R).flatten(1), six[0].flatten(1)).flatten()
        gradient = rows.T @ (weight * (six.flatten() - seen)) + precision * (z - mean)[0]
        z = z - torch.linalg.solve(normal, gradient)
    return rotations.from_6d(prior.decode_prepared(z, prepared))[0]


def error_mm(prior: MotionPrior, found: Tensor, truth: Tensor, frames: Tensor) -> list[float]:
    return ((prior.points(found) - prior.points(truth)).norm(dim=-1).mean(-1) * 1e3)[frames].tolist()


def measure(prior: MotionPrior, windows: list[Window]) -> dict[str, object]:
    result: dict[str, object] = {"windows": len(windows)}
    for name, refine in (("encoder", False), ("refined", True)):
        errors = [e for R, k in windows for e in error_mm(prior, encoded(prior, R, k, refine), R, k)]
        result[f"mpjpe_mm_{name}"] = round(float(np.mean(errors)), 2)
    for gap in GAPS:
        generator = np.random.default_rng(gap)
        errors_of: dict[str, list[float]] = {"encoder": [], "refined": [], "slerp": []}
        for hand_R, known in windows:
            frames = np.flatnonzero(known.numpy())
            low, high = frames[0] + 5, frames[-1] - gap - 3
            if high <= low:
                continue
            for start in generator.integers(low, high, TRIALS):
                shown = known.clone()
                shown[start : start + gap] = False
                hidden = known & ~shown
                for name, found in (
                    ("encoder", encoded(prior, hand_R, shown, False)),
                    ("refined", encoded(prior, hand_R, shown, True)),
                    ("slerp", slerp(hand_R, shown)),
                ):
                    errors_of[name] += error_mm(prior, found, hand_R, hidden)
        result[f"gap_{gap}_mm"] = {name: round(float(np.mean(e)), 2) for name, e in errors_of.items() if e}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prior", nargs="?", default="default")
    parser.add_argument("--motion", type=Path, default=Path("../shared/inputs/motion"))
    parser.add_argument("--generated", type=int, default=50)
    options = parser.parse_args()
    prior = load_prior(options.prior)
    table = {"prior": prior.name, "fingerprint": prior.fingerprint}
    print(
        json.dumps(
            {
                **table,
                "recordings": measure(prior, list(recorded(options.motion, prior.window_frames))),
                "generated": measure(prior, list(generated(options.generated, prior))),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
