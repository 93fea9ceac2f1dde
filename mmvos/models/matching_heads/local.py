"""Matching on a grid: each query cell looks at a square window of every reference."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from ...ops import warp
from ...registry import MODELS

TILE = (4, 16)  # query cells that share one block of keys: buffers stay inside the caches


@MODELS.register_module()
class LocalMatching(BaseModule):
    """Weighted sum of memory values over the windows of all references at once.

    Logit (MAMP eq. 1): <query, key> / sqrt(C). Outside the map the key and the value are zero, so
    the logit is 0, not minus infinity, and takes its share of the softmax, as in the released code.
    With `topk`, the k largest logits **jointly over all references** enter the softmax.
    Exact, computed for one row of tiles at a time: the correlation volume never exists.

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
        with torch.autocast(query.device.type, enabled=False):
            query, keys, values = (x if x.dtype == torch.float64 else x.float()
                                   for x in (query, keys, values))
            if offset is not None:
                keys, values = warp_references(keys, values, offset)
            return self._match(query, keys, values)

    def _match(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        batch, channels, height, width = query.shape
        num_objects, value_channels = values.shape[1:3]
        (ty, tx), r = TILE, self.radius
        below, right = -height % ty, -width % tx
        query = F.pad(query / math.sqrt(channels), (0, right, 0, below))
        keys = F.pad(keys, (r, r + right, r, r + below))
        values = F.pad(values.flatten(1, 2), (r, r + right, r, r + below))
        rows = [self._match_row(query[:, :, y:y + ty], keys[..., y:y + ty + 2 * r, :],
                                values[..., y:y + ty + 2 * r, :])
                for y in range(0, height, ty)]
        out = torch.cat(rows, 2)[:, :, :height, :width]
        return out.reshape(batch, num_objects, value_channels, height, width)

    def _match_row(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """One row of tiles: (B,C,ty,W), (B,C,T,ty+2R,W+2R), (B,V,T,ty+2R,W+2R) -> (B,V,ty,W)."""
        ty, width = query.shape[2:]
        logits = self._windows(self._correlate(query, keys))
        if self.topk is None or self.topk >= logits.shape[-1]:
            return self._read_all(logits.softmax(-1), values, ty, width)
        top, candidate = logits.topk(self.topk, -1)
        return self._read_top(top.softmax(-1), candidate, values, ty, width)

    def _correlate(self, query: Tensor, keys: Tensor) -> Tensor:
        """Every query of a tile with every key of its block: (B,n,ty*tx,T,ty+2R,tx+2R)."""
        (ty, tx), r = TILE, self.radius
        num_refs = keys.shape[2]
        tiles = query.unflatten(3, (-1, tx)).permute(0, 3, 2, 4, 1).flatten(2, 3)
        blocks = keys.unfold(4, tx + 2 * r, tx).permute(0, 4, 1, 2, 3, 5).flatten(3)
        logits = torch.matmul(tiles, blocks)
        return logits.unflatten(-1, (num_refs, ty + 2 * r, tx + 2 * r))

    def _windows(self, logits: Tensor) -> Tensor:
        """Cut each query's own window out of its block: (B,n,ty,tx,T*P*P), order T, dy, dx."""
        (ty, tx), side = TILE, 2 * self.radius + 1
        batch, tiles, _, num_refs = logits.shape[:4]
        s = logits.contiguous().stride()
        view = logits.as_strided(
            (batch, tiles, ty, tx, num_refs, side, side),
            (s[0], s[1], tx * s[2] + s[4], s[2] + s[5], s[3], s[4], s[5]))
        return view.flatten(4)

    def _read_all(self, weights: Tensor, values: Tensor, ty: int, width: int) -> Tensor:
        side = 2 * self.radius + 1
        windows = values.unfold(3, side, 1).unfold(4, side, 1)  # B,V,T,ty,W,P,P
        windows = windows.permute(0, 3, 4, 1, 2, 5, 6).flatten(4)  # B,ty,W,V,T*P*P
        weights = weights.transpose(1, 2).flatten(2, 3)  # B,ty,W,T*P*P
        return torch.matmul(windows, weights[..., None])[..., 0].permute(0, 3, 1, 2)

    def _read_top(self, weights: Tensor, candidate: Tensor, values: Tensor, ty: int,
                  width: int) -> Tensor:
        side = 2 * self.radius + 1
        weights, candidate = (x.transpose(1, 2).flatten(2, 3) for x in (weights, candidate))
        rows, columns = values.shape[3:]
        y = torch.arange(ty, device=values.device)[:, None, None]
        x = torch.arange(width, device=values.device)[:, None]
        ref, dy, dx = (candidate // (side * side), candidate // side % side, candidate % side)
        position = (ref * rows + y + dy) * columns + x + dx  # B,ty,W,k into T*rows*columns
        flat = values.flatten(2)
        picked = flat.gather(2, position.flatten(1)[:, None].expand(-1, flat.shape[1], -1))
        return (picked.unflatten(2, position.shape[1:]) * weights[:, None]).sum(-1)


def warp_references(keys: Tensor, values: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Warp (B,C,T,h,w) keys and (B,K,Cv,T,h,w) values by (B,T,2,h,w) offsets."""
    batch, num_refs = offset.shape[:2]
    flat = torch.cat([keys, values.flatten(1, 2)], 1).transpose(1, 2).flatten(0, 1)
    warped = warp(flat, offset.flatten(0, 1)).unflatten(0, (batch, num_refs)).transpose(1, 2)
    channels = keys.shape[1]
    return warped[:, :channels], warped[:, channels:].unflatten(1, values.shape[1:3])
