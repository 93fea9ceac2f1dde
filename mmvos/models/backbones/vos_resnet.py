"""The encoder shared by CorrFlow, MAST and MAMP."""
from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut: (B,Cin,h,w) -> (B,Cout,h/stride,w/stride)."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Residual sum after ReLU."""
        out = self.bn1(self.conv1(x)).relu_()
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return out.relu_()


@MODELS.register_module()
class VOSResNet18(BaseModule):
    """ResNet-18 with stride 4, no max-pooling and 256 channels at most; 5,144,128 parameters.

    Stages: 7x7/2 to 64, then pairs of basic blocks with 64, 128 (/2), 256, 256 channels, then a
    3x3 projection with bias. Feature i has its kernel centre at pixel 4i for every input size.
    Weights are kept channels-last, which convolutions on CPUs and tensor cores prefer.
    Released MAST and MAMP checkpoints load through tools/model_converters/mamp_to_mmvos.py.

    Args:
        out_channels: Channels of the projection, or None for the trunk alone (256 channels).
        init_cfg: See mmengine's BaseModule; PyTorch's default initialisation otherwise.
    """

    example = dict(out_channels=64)
    stride = 4

    def __init__(self, out_channels: int | None = 64, *, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64), BasicBlock(64, 64))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128))
        self.layer3 = nn.Sequential(BasicBlock(128, 256), BasicBlock(256, 256))
        self.layer4 = nn.Sequential(BasicBlock(256, 256), BasicBlock(256, 256))
        self.projection = None
        if out_channels is not None:
            self.projection = nn.Conv2d(256, out_channels, 3, 1, 1)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B,3,H,W) -> ((B,out_channels,ceil(H/4),ceil(W/4)),)."""
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.bn1(self.conv1(x)).relu_()
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return (x if self.projection is None else self.projection(x),)
