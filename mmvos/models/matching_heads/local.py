"""Matching on a grid: each query cell looks at a square window of every reference."""
from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ...ops import local_propagation, warp
from ...registry import MODELS


@MODELS.register_module()
class LocalMatching(BaseModule):
    """Weighted sum of memory values over the windows of all references at once.

    Logit (MAMP eq. 1): <query, key> / sqrt(C). Outside the map the key and the value are zero, so
    the logit is 0, not minus infinity, and takes its share of the softmax, as in the released code.
    With `topk`, the k largest logits **jointly over all references** enter the softmax.

    Args:
        radius: R in feature cells; a window has (2R+1)^2 cells.
        topk: k, or None for all candidates.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(radius=2, topk=5)

    def __init__(self, radius: int = 12, topk: int | None = None, *,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if radius < 0 or (topk is not None and topk < 1):
            raise ValueError(f'expected radius >= 0 and topk >= 1 or None, got {radius}, {topk}')
        self.radius = radius
        self.topk = topk

    def forward(self, query: Tensor, keys: Tensor, values: Tensor,
                offset: Tensor | None = None) -> Tensor:
        """Read `values` where `keys` look like `query`.

        Args:
            query: (B,C,h,w).
            keys: (B,C,T,h,w).
            values: (B,K,Cv,T,h,w).
            offset: (B,T,2,h,w) in cells, xy, p_ref = p_query + offset; keys and values are warped
                by it before windows are cut (MAMP, "Motion-aware spatio-temporal matching").

        Returns:
            (B,K,Cv,h,w), in float32 or wider whatever autocast says: top-k compares small gaps.
        """
        shape = values.shape[1:3]
        if query.dtype != keys.dtype:  # an encoder under autocast beside one that is not
            common = torch.promote_types(query.dtype, keys.dtype)
            query, keys = query.to(common), keys.to(common)
        values = values.flatten(1, 2)
        if offset is not None:
            keys, values = warp_references(keys, offset), warp_references(values, offset)
        out = local_propagation(query, keys, values, self.radius, self.topk,
                                scale=query.shape[1] ** -0.5)
        return out.unflatten(1, shape)


def warp_references(x: Tensor, offset: Tensor) -> Tensor:
    """Warp (B,C,T,h,w) maps by (B,T,2,h,w) offsets."""
    flat = warp(x.transpose(1, 2).flatten(0, 1), offset.flatten(0, 1))
    return flat.unflatten(0, offset.shape[:2]).transpose(1, 2)
