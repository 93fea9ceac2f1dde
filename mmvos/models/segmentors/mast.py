"""MAST: a memory-augmented self-supervised tracker.

Lai, Lu, Xie, "MAST: A memory-augmented self-supervised tracker", CVPR 2020. Section 3.1 (colour
reconstruction with a dropped channel of Lab), section 3.2 (memory; two-step attention: a dilated
search says where in an old frame to look, windows around there are read).

Released code is followed where it says more than the paper: Huber loss on values times 20, one
dropped channel per batch, hard label memory, dilations, pairs in training (the second stage with
several references was not released). Two things differ from it: products of features are divided by
sqrt(C), without which training fails on every PyTorch after 1.1, and labels of each old frame are
read with its own offsets; `ReleasedMAST` has the release's slip.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from ...ops import local_correlation
from ...ops.reference import sample
from ...registry import MODELS
from ...structures import Frame
from ..matching_heads import MovedWindowMatching
from ..memory_managers import FrameMemory
from .label_propagation import LabelPropagation

MAX_DILATION = 4  # cells


@MODELS.register_module()
class MAST(LabelPropagation):
    """Label propagation whose windows in old frames are centred by a coarse, dilated search.

    The call graph::

        loss     > LabelPropagation: a dropped channel of Lab, pairs of frames
        segment  > features > match (offset: dilated_search per old reference) > upsample
        memorize > features, labels at kernel centres -> bank 'frames'

    Args:
        backbone: See `LabelPropagation`.
        matching_head: A `MovedWindowMatching`; the search has its radius and its logits.
        far_gap: References more than so many frames back are searched; cells between positions of
            the search grow with the distance in time, gap // far_gap + 1, up to `MAX_DILATION`.
        **kwargs: Of `LabelPropagation`.
    """

    example = {**LabelPropagation.example, 'far_gap': 3,
               'matching_head': dict(type='MovedWindowMatching', radius=3)}

    def __init__(self, backbone: dict | nn.Module, matching_head: dict | nn.Module, *,
                 far_gap: int = 15, **kwargs) -> None:
        super().__init__(backbone, matching_head, **kwargs)
        if far_gap < 1:
            raise ValueError(f'expected far_gap >= 1 frames, got {far_gap}')
        if not isinstance(self.matching_head, MovedWindowMatching):
            raise ValueError("MAST moves windows; expected matching_head=dict(type='MovedWindow"
                             f"Matching', ...), got {type(self.matching_head).__name__}")
        self.far_gap = far_gap

    def dilation(self, gap: int) -> int:
        """Cells between positions of the search `gap` frames back; 0: no search."""
        return min(MAX_DILATION, gap // self.far_gap + 1) if gap > self.far_gap else 0

    def offset(self, frame: Frame, bank: FrameMemory) -> Tensor:
        """(B,T,2,h,w), 0 for near references."""
        query, head = self.features(frame), self.matching_head
        near = torch.zeros_like(query[:, :2], dtype=torch.float32)
        offsets = []
        for index in bank.indices(frame.index):
            dilation = self.dilation(frame.index - index)
            if not dilation:
                offsets.append(near)
                continue
            sides = head.sides(query, bank.items[index].shared['key'])
            offsets.append(dilated_search(
                *sides, head.radius, dilation, head.scale(sides[0].shape[1])))
        return torch.stack(offsets, 1)


@MODELS.register_module()
class ReleasedMAST(MAST):
    """MAST with a slip of the released code, to compare with it.

    There, a variable of the loop over old references is used after the loop: labels of every
    searched reference are read at the offsets of the newest of them, features at their own.
    """

    def match(self, frame: Frame, bank: FrameMemory, values: Tensor) -> Tensor:
        """Read values (B,K,Cv,T,h,w) at other places than the keys: (B,K,Cv,h,w)."""
        query, offset, head = self.features(frame), self.offset(frame, bank), self.matching_head
        query, keys = head.sides(query, bank.read('key', frame.index).to(query.dtype))
        gaps = bank.gaps(frame.index)
        searched = [t for t, gap in enumerate(gaps) if self.dilation(gap)]
        height, width = query.shape[-2:]
        grid = torch.stack(torch.meshgrid(
            *(torch.arange(n, device=query.device, dtype=offset.dtype) for n in (width, height)),
            indexing='xy'))
        logits = torch.cat([local_correlation(query, keys[:, :, t], head.radius,
                                              coords=grid + offset[:, t])
                            for t in range(len(gaps))], 1) * head.scale(query.shape[1])
        weights = logits.softmax(1).unflatten(1, (len(gaps), *(2 * head.radius + 1,) * 2))
        offset[:, searched] = offset[:, searched[-1:]]
        steps = torch.arange(-head.radius, head.radius + 1, device=query.device)[:, None, None]
        out = torch.zeros_like(values[:, :, :, 0]).flatten(1, 2)
        for t in range(len(gaps)):
            x, y = (grid + offset[:, t]).unbind(1)
            for row, dy in enumerate(steps):
                px = x[:, None] + steps
                read = sample(values[:, :, :, t].flatten(1, 2), px, (y + dy)[:, None].expand_as(px))
                out += (read * weights[:, t, row, None]).sum(2)
        return out.unflatten(1, values.shape[1:3])


def dilated_search(query: Tensor, key: Tensor, radius: int, dilation: int, scale: float) -> Tensor:
    """Mean displacement over a sparse window, weighted by how well cells match.

    Args:
        query: (B,C,h,w).
        key: (B,C,h,w).
        radius: R; the window has (2R+1)^2 positions, also outside the map, where the logit is 0.
        dilation: Cells between them.
        scale: Of the products.

    Returns:
        (B,2,h,w) in cells, x first, not rounded.
    """
    weights = (local_correlation(query, key, radius, dilation) * scale).softmax(1)
    steps = dilation * torch.arange(-radius, radius + 1, device=query.device, dtype=weights.dtype)
    weights = weights.unflatten(1, (len(steps), len(steps)))  # dy, dx
    return torch.stack([torch.einsum('bijhw,j->bhw', weights, steps),
                        torch.einsum('bijhw,i->bhw', weights, steps)], 1)
