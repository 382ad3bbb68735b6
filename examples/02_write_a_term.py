"""Add a term of your own to the objective.    python examples/02_write_a_term.py VIDEO DEPTH_M

Suppose that a rangefinder says how far the wrist is from the camera. One camera sees size and distance poorly apart,
so this one number mends the depth of the whole motion.
"""

import sys
from typing import Any

import torch
from torch import Tensor

import hmpfit
from hmpfit import registry
from hmpfit.interfaces.term import Evidence, Motion, Residual, Term
from hmpfit.skeleton import openpose

DEPTH_M = float(sys.argv[2])


def residuals(motion: Motion, points: Tensor, evidence: Evidence, options: dict[str, Any]) -> Residual:
    """Return the wrist's depth minus the measured one, [B, T, 1, 1] meters; raw: weight and kernel are the recipe's."""
    values = (motion.transl[..., 2:3] - DEPTH_M)[..., None, :]
    return Residual(values, torch.ones_like(values[..., 0]))


TERM = Term("wrist_depth", "frame", residuals)  # "frame": it reads rotation, translation and pose of one frame
registry.add("terms", "wrist_depth", "__main__:TERM")  # a package would say so in its entry points

for name, assignments in (("without", ()), ("with", [f"stages.{i}.weights.wrist_depth=1e6" for i in (0, 1)])):
    result = hmpfit.fit_video(sys.argv[1], assignments=assignments)
    depth = result.joints[0][:, openpose("wrist"), 2]
    print(f"{name} the term: the wrist is {depth.mean():.3f} m away on average")
