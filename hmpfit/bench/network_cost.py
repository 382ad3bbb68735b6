"""Cost of the learned networks: parameters, floating-point operations, frames a second on this machine.

Separate from the networks, which know nothing of measuring. Operations are counted by torch, a multiplication and an
addition as two, over everything that one call of inference does; STC's paper prints FLOPs and parameters (its table 4).
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from hmpfit.regressors.plan import NetworkPlan


@dataclass(frozen=True)
class NetworkCost:
    """One network of one size. `frames` are those of one call: a pair, a window, a picture."""

    network: str
    size: str
    parameters: int
    frames: int
    gflop: float
    gflop_per_frame: float
    frames_per_second: float


def measure_cost(plan: NetworkPlan, size: str, calls: int = 3, device: str = "cpu") -> NetworkCost:
    """Return what inference with random weights costs: the median of `calls` calls after one to warm up.

    A frame that comes out is what counts as a frame: IFVONet sees two and gives one, STC gives its whole window.
    """
    switches = plan.for_inference(plan.switches(size))
    network = plan.build(switches).to(device).eval()
    view = plan.view(switches)
    shape = (1, view.frames, 3, view.size, view.size)
    images: Any = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    single = plan.name == "handdgcl"  # a network of one picture
    if single:
        images = images[:, -1]
    counter, seconds = FlopCounterMode(display=False), []
    with torch.no_grad():
        with counter:
            network(images)
        for _ in range(calls):
            start = time.perf_counter()
            network(images)
            if device != "cpu":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    gflop = counter.get_total_flops() / 1e9
    given = view.frames if plan.name == "stc" else 1
    middle = sorted(seconds)[len(seconds) // 2]
    parameters = sum(one.numel() for one in network.parameters())
    return NetworkCost(plan.name, size, parameters, given, gflop, gflop / given, given / middle)
