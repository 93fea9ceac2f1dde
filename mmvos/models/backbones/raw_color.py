"""The colour of a pixel as its feature: a baseline."""
from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ...registry import MODELS


@MODELS.register_module()
class RawColor(BaseModule):
    """Every `stride`-th pixel, lifted so that dot products rank by colour distance.

    A colour c becomes s * (c, sqrt(R^2 - |c|^2)) on a sphere of radius s*R; between two such
    vectors <a, b> = s^2 R^2 - |a - b|^2 / 2.

    Args:
        scale: s; the larger, the sharper the matching.
        stride: Pixels per feature cell.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(scale=10., stride=4)
    radius = 2.  # |c| of normalised Lab stays below sqrt(3)

    def __init__(self, scale: float = 20., *, stride: int = 4,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.scale = scale
        self.stride = stride

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B,3,H,W) -> ((B,4,ceil(H/stride),ceil(W/stride)),)."""
        x = x[..., ::self.stride, ::self.stride]
        lift = (self.radius**2 - x.square().sum(1, keepdim=True)).clamp_min(0).sqrt()
        return (self.scale * torch.cat([x, lift], 1),)
