"""A backbone: image in, tuple of feature maps out."""
from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from .registry import MODELS


@MODELS.register_module()
class SmallConvNet(BaseModule):
    """Four 3x3 convolutions, two of them with stride 2.

    Args:
        channels: Channels of the feature map.
        in_channels: Channels of the image.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(channels=8)
    stride = 4

    def __init__(self, channels: int = 32, in_channels: int = 3, *,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B,3,H,W) -> ((B,C,ceil(H/4),ceil(W/4)),)."""
        return (self.layers(x),)
