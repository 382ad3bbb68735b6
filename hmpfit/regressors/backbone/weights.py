"""ImageNet weights of the user's into a ResNet-50: `--backbone-weights FILE`.

Separate from the network so that only this file knows what torchvision's files look like. Networks with random
weights train too; nothing is ever downloaded.
"""

from pathlib import Path

import torch
from torch import Tensor

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.torch_files import read_weights
from hmpfit.files.weights import read_tensors
from hmpfit.regressors.backbone.resnet import ResNet50

WHERE = "torchvision's resnet50-*.pth (https://download.pytorch.org/models), or the same tensors as safetensors"


def read_imagenet_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict of tensors from .safetensors or a torch file. Raises InputError for anything else."""
    if not path.is_file():
        raise InputError(f"There are no backbone weights at '{path}'; expected {WHERE}.")
    try:
        if path.suffix == ".safetensors":
            state = read_tensors(path)
        else:
            state = {key: torch.from_numpy(value) for key, value in read_weights(path, "a file of weights").items()}
    except UnreadableFileError as error:
        raise InputError(f"'{path}' does not hold plain weights: {error.reason}; expected {WHERE}.") from error
    return {key.removeprefix("module."): value for key, value in state.items()}


def load_imagenet(backbone: ResNet50, path: Path) -> None:
    """Load ImageNet weights into a ResNet-50; its classifier is dropped.

    A backbone that takes k stacked images gets the first convolution k times, divided by k, so that k equal images
    give what one gives. Raises InputError, naming the first tensor that is missing or of another shape.
    """
    state = read_imagenet_weights(path)
    own = backbone.state_dict()
    stacked = own["conv1.weight"].shape[1] // 3
    if "conv1.weight" in state and stacked > 1:
        state = {**state, "conv1.weight": state["conv1.weight"].repeat(1, stacked, 1, 1) / stacked}
    for key, value in own.items():
        if key.endswith("num_batches_tracked"):
            continue
        if key not in state:
            raise InputError(f"'{path}' has no tensor '{key}', so it is no ResNet-50; expected {WHERE}.")
        if state[key].shape != value.shape:
            shapes = f"{list(state[key].shape)} instead of {list(value.shape)}"
            raise InputError(f"'{path}': tensor '{key}' is {shapes}, so it is no ResNet-50; expected {WHERE}.")
    backbone.load_state_dict({key: state.get(key, value) for key, value in own.items()})
