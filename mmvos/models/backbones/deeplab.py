"""DeepLabv3's features: a residual network with output stride 8 and spatial pyramid pooling."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS

BN = dict(type='BN')
DILATIONS = (1, 6, 12, 18)  # of the branches; 1 is a 1x1 convolution


@MODELS.register_module()
class DeepLabFeatures(BaseModule):
    """Backbone, atrous spatial pyramid pooling, one 3x3 convolution with PReLU.

    Chen et al., "Rethinking atrous convolution for semantic image segmentation", 2017, in the
    widths of COSNet's released code (branches of 512 channels, 256 at the end).

    Args:
        backbone: Config or module: (B,3,H,W) -> tuple whose last is (B,Cin,h,w), at 1/8.
        in_channels: Cin.
        channels: Of each branch.
        out_channels: Of the result.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(backbone=dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4,
                                 strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), out_indices=(3,)),
                   in_channels=32, channels=8, out_channels=8)
    stride = 8

    def __init__(self, backbone: dict | nn.Module, in_channels: int = 2048, *, channels: int = 512,
                 out_channels: int = 256, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        from mmseg.models.decode_heads.aspp_head import ASPPModule  # a second, and warnings

        self.backbone = MODELS.build(backbone)
        self.pooled = ConvModule(in_channels, channels, 1, norm_cfg=BN)
        self.branches = ASPPModule(DILATIONS, in_channels, channels, None, BN, dict(type='ReLU'))
        self.merge = ConvModule(channels * (len(DILATIONS) + 1), out_channels, 3, padding=1,
                                norm_cfg=BN, act_cfg=dict(type='PReLU'))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B,3,H,W) -> ((B,out_channels,ceil(H/8),ceil(W/8)),)."""
        x = self.backbone(x)[-1]
        mean = self.pooled(F.adaptive_avg_pool2d(x, 1)).expand(-1, -1, *x.shape[-2:])
        return (self.merge(torch.cat([mean, *self.branches(x)], 1)),)
