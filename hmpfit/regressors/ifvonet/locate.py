"""IFVONet as the network of `keypoints.box_search`: its joints and presence for any region of a picture.

Separate from `frozen_estimation`, which follows known landmarks in pairs of frames; here a region is its own pair.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from hmpfit.keypoints import regions as areas
from hmpfit.keypoints.regions import Regions
from hmpfit.records import Floats
from hmpfit.regressors.backbone.frozen import FrozenTower
from hmpfit.regressors.ifvonet.network import IFVONet


class NetworkLocator:
    """Joints, presence and side of regions of one image, by a network on the frozen landmark network."""

    def __init__(self, network: IFVONet) -> None:
        self._network, self._tower = network.eval(), FrozenTower()

    @torch.no_grad()
    def __call__(self, image: NDArray[np.uint8], regions: Regions, mirrored: bool) -> tuple[Floats, Floats, Floats]:
        """Return joints [N, 21, 2] in image pixels, presence [N] and that the crop shows a right hand [N]."""
        crops = np.stack([areas.cut(image, regions[n], mirrored) for n in range(len(regions.side_px))])
        frames = self._network.switches.frames
        features = self._tower(crops).map(lambda x: x[:, None].expand(-1, frames, *x.shape[1:]))
        output = self._network(features)[0]
        assert output.presence is not None
        xy = areas.to_image(output.joints_2d.double().numpy() * areas.CROP, regions, mirrored)
        return xy, torch.sigmoid(output.presence).double().numpy(), features.numbers[:, 0, -1].double().numpy()
