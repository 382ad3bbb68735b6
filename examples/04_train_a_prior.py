"""Train a motion prior and fit with it.    python examples/04_train_a_prior.py FOLDER [STEPS]

Fifty steps on a handful of generated clips show the way; they make no good prior. Real training is
`hmpfit train-prior`, on AMASS if you have it.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from hmpfit.geometry import rotations
from hmpfit.priors.motion_field.loading import load_prior, save_prior
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.priors.motion_field.sizes import SMALL
from hmpfit.synthesis.motion import generate_motion
from hmpfit.training.priors.sample_windows import Clips, sample_batch
from hmpfit.training.priors.schedules import Schedule
from hmpfit.training.priors.start import start_from_data
from hmpfit.training.priors.train import train_prior_network

folder, steps = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 50
rng = np.random.default_rng(0)
kinds = ("spelling", "counting", "pinches", "rest")
clips = Clips([generate_motion(kind, 5.0, 30.0, rng) for kind in kinds for _ in range(8)])

torch.manual_seed(0)
prior = MotionPrior(SMALL)
start = sample_batch([clips], 64, prior.window_frames, rng)
start_from_data(prior, start.hand_R)
held_out = [sample_batch([clips], 16, prior.window_frames, rng)]
prior = train_prior_network(
    prior, [clips], held_out, folder, schedule=Schedule(steps=steps, batch=8, validate_every=steps)
)
save_prior(prior, folder / "prior.safetensors")

again = load_prior(str(folder / "prior.safetensors"))
with torch.no_grad():
    mean, _ = again.encode(held_out[0].hand_R, held_out[0].valid)
    decoded = rotations.from_6d(again.decode(mean, again.frame_times))
apart = rotations.log(decoded.transpose(-1, -2) @ held_out[0].hand_R).norm(dim=-1)
print(f"held-out windows are reconstructed to {torch.rad2deg(apart).mean():.1f} degrees a joint")
print(f"use it: hmpfit run VIDEO --prior {folder / 'prior.safetensors'}")
