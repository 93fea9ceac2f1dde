"""Matching of every query with every remembered element, wherever it was."""
from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ...ops.backends import flushed_softmax, widened, without_autocast
from ...registry import MODELS

TILE_BYTES = 2**26  # of affinities at a time


@MODELS.register_module()
class GlobalMatching(BaseModule):
    """Space-time memory read: a weighted mean of the memory's values for every query.

    Affinity of element i and query j (STM, Oh et al. 2019, eq. 2): <key_i, query_j> / sqrt(Ck)
    ('dot'), or -|key_i - query_j|^2 / sqrt(Ck) ('l2', STCN). Its softmax over the elements weighs
    their values. Queries are taken in tiles, so that without gradients memory does not grow with
    their number.

    Args:
        topk: Only the k largest affinities of a query enter the softmax, as STCN and XMem do it
            (20, 30); all if None, and while training, where every element is to get a gradient.
        similarity: 'dot' or 'l2'.
        count_above: None: the second output is the weights summed over the queries. A number: how
            many queries give an element more weight than that (AFB-URR, Liang et al. 2020: 1e-3).
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(topk=None)

    def __init__(self, topk: int | None = None, *, similarity: str = 'dot',
                 count_above: float | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if topk is not None and topk < 1:
            raise ValueError(f'expected topk >= 1 or None, got {topk}')
        if similarity not in ('dot', 'l2'):
            raise ValueError(f"similarity should be 'dot' or 'l2', got {similarity!r}")
        self.topk = topk
        self.similarity = similarity
        self.count_above = count_above

    def forward(self, query: Tensor, keys: Tensor, values: Tensor,
                valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read `values` where `keys` are like `query`.

        Args:
            query: (B,Ck,M).
            keys: (B,Ko,Ck,N), Ko is 1 or K.
            values: (B,K,Cv,N).
            valid: (B,K,N) bool, False for elements that an object must not read (stored before it
                was given); None: all may be read. An object without any reads zeros.

        Returns:
            Readout (B,K,Cv,M), and how much each element was read (B,K,N): weights summed over
            the queries, so that an object's N numbers sum to M; or see `count_above`.
        """
        batch, objects, _, elements = values.shape
        rows = batch * (keys.shape[1] if valid is None else objects) * elements
        tile = max(1, TILE_BYTES // (4 * rows))
        parts, mass = [], widened(values.new_zeros(batch, objects, elements))
        for part in query.split(tile, -1):
            weights = self.weights(part, keys, valid)
            parts.append(_mean(values, weights))
            if self.count_above is not None:
                weights = weights > self.count_above
            mass = mass + weights.sum(-1)
        return torch.cat(parts, -1), mass

    def weights(self, query: Tensor, keys: Tensor, valid: Tensor | None = None) -> Tensor:
        """Softmax over the elements, (B,K,N,M), without `valid` (B,Ko,N,M), float32 at least."""
        scale = query.shape[1] ** -0.5
        if self.similarity == 'l2':
            # in float32: the difference of large numbers; the query's own norm is the same for all
            with without_autocast(keys):
                keys, query = widened(keys), widened(query)
                logits = 2 * scale * (keys.transpose(-1, -2) @ query[:, None])
                logits = logits - scale * keys.square().sum(2)[..., None]
        else:
            logits = widened(keys.transpose(-1, -2) @ (query * scale)[:, None])
        if valid is not None:
            # not minus infinity: where nothing is valid the softmax would be NaN
            logits = logits.masked_fill(~valid[..., None], torch.finfo(logits.dtype).min)
        weights = self._softmax(logits)
        return weights if valid is None else weights * valid[..., None]

    def _softmax(self, logits: Tensor) -> Tensor:
        if self.training or self.topk is None or self.topk >= logits.shape[2]:
            return flushed_softmax(logits, 2)
        best, where = logits.topk(self.topk, 2)
        return torch.zeros_like(logits).scatter(2, where, flushed_softmax(best, 2))


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """(B,K,Cv,N) and (B,K or 1,N,M) -> (B,K,Cv,M)."""
    weights = weights.to(values.dtype)
    if weights.shape[1] == values.shape[1]:
        return values @ weights
    # one product instead of one per object
    return (values.flatten(1, 2) @ weights[:, 0]).unflatten(1, values.shape[1:3])
