"""Convolutional LSTMs from coarse to fine, one step per object (RSIS and RVOS)."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops.backends import accumulator, widened

Memory = list[tuple[Tensor, Tensor]]  # hidden map and cell (N,C,h,w) of each level


class ConvLSTMCell(nn.Module):
    """One step of a convolutional LSTM whose gates may read several hidden maps.

    i, f, o, g = conv [x | hidden maps]; c' = sigmoid(f) c + sigmoid(i) tanh(g);
    h' = sigmoid(o) tanh(c').

    Args:
        in_channels: Of x.
        channels: C of hidden maps and cell.
        states: Number of hidden maps that the gates read.
    """

    def __init__(self, in_channels: int, channels: int, *, states: int = 1) -> None:
        super().__init__()
        self.channels = channels
        self.gates = nn.Conv2d(in_channels + states * channels, 4 * channels, 3, padding=1)

    def forward(self, x: Tensor, hidden: Sequence[Tensor], cell: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden map and cell (N,C,h,w) after x (N,Cin,h,w); sums are kept in float32."""
        gates = widened(self.gates(torch.cat([x, *hidden], 1)))
        i, f, o, g = gates.chunk(4, 1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell


class RecurrentDecoder(nn.Module):
    """Masks one object at a time; each knows the one before it and itself one frame ago.

    Level k reads [enlarged hidden map of level k-1 | skip | mask of the object before, if there is
    one] and the hidden maps of the previous object ('spatial') and of the frame before
    ('temporal'). The cell comes from the previous object alone. A recurrence that is left out has
    no weights: without 'spatial' every object begins with an empty cell.

    Args:
        skip_channels: Of the frame's maps, from coarse to fine.
        channels: C of each level.
        recurrence: 'spatial', 'temporal' or both.
        masked: Every level also reads the mask of the frame before.

    Raises:
        ValueError: Unknown recurrence, or not one number of channels for each skip.
    """

    def __init__(self, skip_channels: Sequence[int], channels: Sequence[int], *,
                 recurrence: Sequence[str] = ('spatial', 'temporal'), masked: bool = False) -> None:
        super().__init__()
        if not recurrence or not set(recurrence) <= {'spatial', 'temporal'}:
            raise ValueError("recurrence should hold 'spatial', 'temporal' or both, got "
                             f'{recurrence!r}')
        if len(channels) != len(skip_channels):
            raise ValueError('expected channels for each of the frame\'s maps, got '
                             f'{tuple(channels)} for {len(skip_channels)} maps')
        self.recurrence = frozenset(recurrence)
        enlarged = [0, *channels[:-1]]
        self.levels = nn.ModuleList(
            ConvLSTMCell(up + skip + masked, width, states=len(self.recurrence))
            for up, skip, width in zip(enlarged, skip_channels, channels, strict=True))
        self.predict = nn.Conv2d(channels[-1], 1, 3, padding=1)

    def nothing(self, skips: Sequence[Tensor]) -> Memory:
        """Return what the first object finds: zeros."""
        zeros = [skip.new_zeros((len(skip), level.channels, *skip.shape[2:]),
                                dtype=accumulator(skip.dtype))
                 for level, skip in zip(self.levels, skips, strict=True)]
        return [(zero, zero) for zero in zeros]

    def forward(self, skips: Sequence[Tensor], before: Memory, temporal: Sequence[Tensor],
                masks: Sequence[Tensor] | None = None) -> tuple[Tensor, Memory]:
        """Segment one object of every sample.

        Args:
            skips: Maps (B,Cs,h,w) of the frame, from coarse to fine.
            before: What the previous object left, or `nothing`.
            temporal: Hidden maps (B,C,h,w) of this object one frame ago; zeros if there are none.
            masks: (B,1,h,w) of this object one frame ago, at each level.

        Returns:
            Logits (B,1,2h,2w), twice as fine as the last map, and what the next object finds.
        """
        if 'spatial' not in self.recurrence:
            before = self.nothing(skips)
        after: Memory = []
        for k, (level, skip) in enumerate(zip(self.levels, skips, strict=True)):
            parts = [enlarge(after[-1][0], skip.shape[-2:]), skip] if k else [skip]
            if masks is not None:
                parts.append(masks[k])
            spatial, cell = before[k]
            hidden = [maps for name, maps in (('spatial', spatial), ('temporal', temporal[k]))
                      if name in self.recurrence]
            after.append(level(torch.cat(parts, 1), hidden, cell))
        finest = after[-1][0]
        height, width = finest.shape[-2:]
        return self.predict(enlarge(finest, (2 * height, 2 * width))), after


def enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    """(N,C,h,w) at another size; corners stay corners, as in the released code."""
    return F.interpolate(x, tuple(size), mode='bilinear', align_corners=True)


def mask_pyramid(masks: Tensor, levels: int) -> list[Tensor]:
    """Masks (B,K,H,W) at 1/4, 1/8, ...: the largest of 2x2, again and again; from coarse to fine.

    Sizes are rounded up, as those of a ResNet's maps are.
    """
    found = [masks]
    for _ in range(levels + 1):
        found.append(F.max_pool2d(found[-1], 2, ceil_mode=True))
    return found[:1:-1]
