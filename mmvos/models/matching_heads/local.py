"""Matching on a grid: each query cell looks at a square window of every reference."""
from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ...ops import local_propagation, warp
from ...ops.backends import accumulator
from ...ops.local_propagation import OUT_OF_RANGE
from ...registry import MODELS


@MODELS.register_module()
class LocalMatching(BaseModule):
    """Weighted sum of memory values over the windows of all references at once.

    Logit (MAMP eq. 1): <query, key> / sqrt(C). Outside the map the key and the value are zero, so
    the logit is 0, not minus infinity, and takes its share of the softmax, as in the released code.
    With `topk`, the k largest logits **jointly over all references** enter the softmax.

    An offset warps keys and values before the windows are cut: neighbours of a cell in the query
    are compared with what the flow of *each* of them leads to (MAMP, "Motion-aware Spatio-temporal
    Matching").

    Args:
        radius: R in feature cells; a window has (2R+1)^2 cells.
        topk: k, or None for all candidates.
        temperature: What products are divided by; None is sqrt(C), 1 what MAST and CorrFlow
            released.
        out_of_range: 'zero_logit', as said above, or 'mask': nothing outside the map takes part
            (CorrFlow); see `mmvos.ops.local_propagation`.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(radius=2, topk=5)

    def __init__(self, radius: int = 12, topk: int | None = None, *,
                 temperature: float | None = None, out_of_range: str = 'zero_logit',
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if radius < 0 or (topk is not None and topk < 1):
            raise ValueError(f'expected radius >= 0 and topk >= 1 or None, got {radius}, {topk}')
        if temperature is not None and not temperature > 0:
            raise ValueError(f'expected temperature > 0, or None for sqrt(C), got {temperature}')
        if out_of_range not in OUT_OF_RANGE:
            raise ValueError(f'out_of_range should be one of {OUT_OF_RANGE}, got {out_of_range!r}')
        self.radius = radius
        self.topk = topk
        self.temperature = temperature
        self.out_of_range = out_of_range

    def forward(self, query: Tensor, keys: Tensor, values: Tensor,
                offset: Tensor | None = None) -> Tensor:
        """Read `values` where `keys` look like `query`.

        Args:
            query: (B,C,h,w).
            keys: (B,C,T,h,w).
            values: (B,K,Cv,T,h,w).
            offset: (B,T,2,h,w) in cells, xy, p_ref = p_query + offset; None: no motion.

        Returns:
            (B,K,Cv,h,w), in float32 or wider whatever autocast says: top-k compares small gaps.
        """
        shape = values.shape[1:3]
        if query.dtype != keys.dtype:  # an encoder under autocast beside one that is not
            common = torch.promote_types(query.dtype, keys.dtype)
            query, keys = query.to(common), keys.to(common)
        query, keys = self.sides(query, keys)
        return self.read(query, keys, values.flatten(1, 2), offset).unflatten(1, shape)

    def sides(self, query: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B,C',...) whose products, times `scale(C')`, are the logits."""
        return query, keys

    def read(self, query: Tensor, keys: Tensor, values: Tensor, offset: Tensor | None) -> Tensor:
        """`forward` of values (B,K*Cv,T,h,w)."""
        if offset is not None:
            keys, values = warp_references(keys, offset), warp_references(values, offset)
        return self.propagate(query, keys, values)

    def propagate(self, query: Tensor, keys: Tensor, values: Tensor,
                  offset: Tensor | None = None) -> Tensor:
        """`mmvos.ops.local_propagation` with the arguments of this head."""
        return local_propagation(query, keys, values, self.radius, self.topk,
                                 self.scale(query.shape[1]), self.out_of_range, offset)

    def scale(self, channels: int) -> float:
        """What products of features with so many channels are multiplied by."""
        return channels ** -0.5 if self.temperature is None else 1 / self.temperature


@MODELS.register_module()
class EuclideanMatching(LocalMatching):
    """As `LocalMatching`, but candidates are ranked by distance, not by product.

    Logit: (<query, key> - |key|^2 / 2) / temperature, which is -|query - key|^2 / (2 temperature)
    up to a constant of each query that a softmax does not see (the L2 similarity of Cheng, Tai,
    Tang, STCN, NeurIPS 2021). A product prefers references with large features, whatever the query
    looks like; the nearest one is what should be copied. The logit of a zero key is still 0, so
    what lies outside the map is as far away as the query is from zero.
    """

    def sides(self, query: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Two channels more: minus half the squared norms of keys, in two parts, and ones."""
        norm = keys.to(accumulator(keys.dtype)).square().sum(1, keepdim=True) / -2
        coarse = norm.to(keys.dtype)  # half precision would lose what tells candidates apart
        keys = torch.cat([keys, coarse, (norm - coarse).to(keys.dtype)], 1)
        return torch.cat([query, torch.ones_like(query[:, :2])], 1), keys

    def scale(self, channels: int) -> float:
        """Of features without the two channels of norms."""
        return super().scale(channels - 2)


@MODELS.register_module()
class MovedWindowMatching(LocalMatching):
    """As `LocalMatching`, but an offset moves the window that a cell looks at.

    Cell p reads p + offset(p) + d, bilinear between cells: the whole window follows the one offset
    of its query (MAST, two-step attention). Where the offset is whole and the same everywhere, both
    classes read the same.
    """

    def read(self, query: Tensor, keys: Tensor, values: Tensor, offset: Tensor | None) -> Tensor:
        """`forward` of values (B,K*Cv,T,h,w)."""
        return self.propagate(query, keys, values, offset)


@MODELS.register_module()
class EuclideanMovedWindowMatching(EuclideanMatching, MovedWindowMatching):
    """`MovedWindowMatching` that ranks candidates by distance."""


def warp_references(x: Tensor, offset: Tensor) -> Tensor:
    """Warp (B,C,T,h,w) maps by (B,T,2,h,w) offsets."""
    flat = warp(x.transpose(1, 2).flatten(0, 1), offset.flatten(0, 1))
    return flat.unflatten(0, offset.shape[:2]).transpose(1, 2)
