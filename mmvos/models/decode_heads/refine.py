"""STM's decoder: what was read from memory becomes a mask, refined with the frame's own features.

Oh, Lee, Xu, Kim, "Video object segmentation using space-time memory networks", ICCV 2019, section
3.3; the refinement module is that of Oh et al., "Fast video object segmentation by
reference-guided mask propagation", CVPR 2018.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS


class ResBlock(nn.Module):
    """relu, 3x3, relu, 3x3, added to the input.

    Here and below maps are overwritten where no gradient needs them: those of ten objects are
    large, and getting new memory takes longer than the arithmetic.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,C,h,w)."""
        return x + self.conv2(F.relu_(self.conv1(F.relu(x))))


class Refine(nn.Module):
    """Adds a map of every object, enlarged, to a finer map of the frame."""

    def __init__(self, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_channels, channels, 3, padding=1)
        self.skip_block = ResBlock(channels)
        self.block = ResBlock(channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B,K,C,h,w) and (B,Cs,H,W) -> (B,K,C,H,W); what only the frame decides is done once."""
        skip = self.skip_block(self.skip_conv(skip))
        up = F.interpolate(x.flatten(0, 1), skip.shape[-2:], mode='bilinear', align_corners=False)
        out = up.unflatten(0, x.shape[:2]).add_(skip[:, None])
        return self.block(out.flatten(0, 1)).unflatten(0, x.shape[:2])


@MODELS.register_module()
class RefineDecoder(BaseModule):
    """Two logits (background, object) for every object, at the size of the finest skip.

    3x3 convolution of [readout, query value], ResBlock, one `Refine` for each skip, 3x3 to two
    channels. The first convolution is linear: its half that sees the query's value is computed
    once for all objects.

    Args:
        skip_channels: Of the frame's maps, from coarse to fine: (512, 256).
        value_channels: Cv of readout and query value each.
        channels: Inside.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(skip_channels=(6, 5), value_channels=4, channels=8)

    def __init__(self, skip_channels: Sequence[int] = (512, 256), value_channels: int = 512, *,
                 channels: int = 256, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.value_channels = value_channels
        self.conv = nn.Conv2d(2 * value_channels, channels, 3, padding=1)
        self.block = ResBlock(channels)
        self.refine = nn.ModuleList(Refine(skip, channels) for skip in skip_channels)
        self.predict = nn.Conv2d(channels, 2, 3, padding=1)

    def forward(self, readout: Tensor, value: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Decode every object.

        Args:
            readout: (B,K,Cv,h,w) read from memory.
            value: (B,Cv,h,w) of the query.
            skips: Maps of the frame (B,C,H,W), from coarse to fine.

        Returns:
            (B,K,2,H,W).
        """
        shape = readout.shape[:2]
        for_objects, for_query = self.conv.weight.split(self.value_channels, 1)
        common = F.conv2d(value, for_query, self.conv.bias, padding=1)
        x = F.conv2d(readout.flatten(0, 1), for_objects, padding=1).unflatten(0, shape)
        x = self.block((x + common[:, None]).flatten(0, 1)).unflatten(0, shape)
        for refine, skip in zip(self.refine, skips, strict=True):
            x = refine(x, skip)
        return self.predict(F.relu_(x.flatten(0, 1))).unflatten(0, shape)
