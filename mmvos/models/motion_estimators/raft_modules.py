"""Building blocks of RAFT; attribute names are those of the public checkpoints' keys."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import local_correlation


def make_norm(kind: str, channels: int) -> nn.Module:
    """'batch', 'instance' (without parameters) or 'none'."""
    kinds = dict(batch=nn.BatchNorm2d, instance=nn.InstanceNorm2d, none=nn.Identity)
    return kinds[kind](channels)


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, or a 1x1-3x3-1x1 bottleneck, each with norm and ReLU, and a shortcut.

    Shapes: (B,Cin,h,w) -> (B,C,h/stride,w/stride).

    Args:
        in_channels: Cin.
        channels: C.
        stride: Of the 3x3 convolution that reduces; 1 has an identity shortcut.
        norm: See `make_norm`.
        bottleneck: The small network's unit, a quarter of the channels inside.
    """

    def __init__(self, in_channels: int, channels: int, *, stride: int, norm: str,
                 bottleneck: bool) -> None:
        super().__init__()
        inner = channels // 4
        plan = [(in_channels, channels, 3, stride), (channels, channels, 3, 1)]
        if bottleneck:
            plan = [(in_channels, inner, 1, 1), (inner, inner, 3, stride), (inner, channels, 1, 1)]
        self.stages = range(1, len(plan) + 1)
        for i, (c_in, c_out, kernel, step) in enumerate(plan, 1):
            self.add_module(f'conv{i}', nn.Conv2d(c_in, c_out, kernel, step, kernel // 2))
            self.add_module(f'norm{i}', make_norm(norm, c_out))
        self.downsample: nn.Module = nn.Identity()
        if stride != 1:
            shortcut_norm = make_norm(norm, channels)
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride), shortcut_norm)
            # the checkpoints hold this norm under two names
            self.add_module(f'norm{len(plan) + 1}', shortcut_norm)

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the sum; the last convolution has its own ReLU as well."""
        y = x
        for i in self.stages:
            y = torch.relu(getattr(self, f'norm{i}')(getattr(self, f'conv{i}')(y)))
        return torch.relu(self.downsample(x) + y)


class Encoder(nn.Module):
    """Features at 1/8 of the image: (B,3,H,W) in [-1,1] -> (B,out_channels,H/8,W/8).

    Args:
        widths: Channels at 1/2, 1/4 and 1/8.
        out_channels: Channels of the last 1x1 convolution.
        norm: See `make_norm`.
        bottleneck: See `ResidualUnit`.
    """

    def __init__(self, widths: tuple[int, int, int], out_channels: int, *, norm: str,
                 bottleneck: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3)
        self.norm1 = make_norm(norm, widths[0])
        previous = widths[0]
        for i, (width, stride) in enumerate(zip(widths, (1, 2, 2), strict=True), 1):
            self.add_module(f'layer{i}', nn.Sequential(
                ResidualUnit(previous, width, stride=stride, norm=norm, bottleneck=bottleneck),
                ResidualUnit(width, width, stride=1, norm=norm, bottleneck=bottleneck)))
            previous = width
        self.conv2 = nn.Conv2d(previous, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features, neither normalised nor rectified."""
        x = torch.relu(self.norm1(self.conv1(x)))
        return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class MotionEncoder(nn.Module):
    """What the update sees of correlation and flow: (N,Cm,h,w), the last two channels are flow.

    Args:
        in_channels: Channels of the correlation lookup.
        corr_widths: Channels of the correlation branch, one or two convolutions.
        flow_widths: Channels of the flow branch.
        out_channels: Cm.
    """

    def __init__(self, in_channels: int, corr_widths: tuple[int, ...],
                 flow_widths: tuple[int, int], out_channels: int) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(in_channels, corr_widths[0], 1)
        self.convc2: nn.Module | None = None
        if len(corr_widths) > 1:
            self.convc2 = nn.Conv2d(corr_widths[0], corr_widths[1], 3, 1, 1)
        self.convf1 = nn.Conv2d(2, flow_widths[0], 7, 1, 3)
        self.convf2 = nn.Conv2d(flow_widths[0], flow_widths[1], 3, 1, 1)
        self.conv = nn.Conv2d(corr_widths[-1] + flow_widths[1], out_channels - 2, 3, 1, 1)

    def forward(self, corr: Tensor, flow: Tensor) -> Tensor:
        """Join (N,L*P*P,h,w) and (N,2,h,w)."""
        c = torch.relu(self.convc1(corr))
        if self.convc2 is not None:
            c = torch.relu(self.convc2(c))
        f = torch.relu(self.convf2(torch.relu(self.convf1(flow))))
        return torch.cat([torch.relu(self.conv(torch.cat([c, f], 1))), flow.to(c.dtype)], 1)


class ConvGRU(nn.Module):
    """One or two convolutional GRU cells; what depends on the context alone is computed once.

    The gates are convolutions of [hidden, context, motion]; a convolution is linear, so the
    context's share is the same in every iteration and for every reference.

    Args:
        widths: Channels of hidden, context and motion.
        kernels: Suffix of the parameter names of a cell -> its kernel (height, width).
    """

    def __init__(self, widths: tuple[int, int, int], kernels: dict[str, tuple[int, int]]) -> None:
        super().__init__()
        self.widths = widths
        self.kernels = kernels
        for suffix, (height, width) in kernels.items():
            for gate in 'zrq':
                self.add_module(f'conv{gate}{suffix}', nn.Conv2d(
                    sum(widths), widths[0], (height, width), padding=(height // 2, width // 2)))

    def prepare(self, context: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The constant share of the gates, and the weights that remain.

        Args:
            context: (B,Cc,h,w).

        Returns:
            Per cell: the share of the gates z, r, q (B,3*Ch,h,w), the weights of z and r on
            [hidden, motion] and those of q.
        """
        cells = []
        for suffix, kernel in self.kernels.items():
            gates = [getattr(self, f'conv{gate}{suffix}') for gate in 'zrq']
            parts = [gate.weight.split(self.widths, 1) for gate in gates]
            padding = (kernel[0] // 2, kernel[1] // 2)
            share = F.conv2d(context, torch.cat([p[1] for p in parts]),
                             torch.cat([gate.bias for gate in gates]), padding=padding)
            z, r, q = (torch.cat([p[0], p[2]], 1) for p in parts)
            cells.append((share, torch.cat([z, r]), q))
        return cells

    def forward(self, hidden: Tensor, motion: Tensor,
                cells: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        """The next hidden state (N,Ch,h,w); `cells` comes from `prepare`, its batch is N."""
        for (share, weight_zr, weight_q), kernel in zip(cells, self.kernels.values(), strict=True):
            padding = (kernel[0] // 2, kernel[1] // 2)
            share_zr, share_q = share.split((2 * self.widths[0], self.widths[0]), 1)
            gates = F.conv2d(torch.cat([hidden, motion], 1), weight_zr, padding=padding)
            z, r = torch.sigmoid(gates + share_zr).chunk(2, 1)
            q = F.conv2d(torch.cat([r * hidden, motion], 1), weight_q, padding=padding)
            hidden = torch.lerp(hidden, torch.tanh(q + share_q), z)
        return hidden


class FlowHead(nn.Module):
    """Change of the flow from the hidden state: (N,Ch,h,w) -> (N,2,h,w)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels, 2, 3, 1, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(N,2,h,w) in cells."""
        return self.conv2(torch.relu(self.conv1(hidden)))


class CorrelationPyramid:
    """Correlation of N pairs of maps at several scales, read in windows (RAFT section 3.2).

    Reads the same numbers as the all-pairs volume, which never exists: correlation with a pooled
    map is pooled correlation.

    Args:
        query: (N,C,h,w).
        ref: (N,C,h,w).
        levels: L, each level has half the resolution of the one before.
        radius: R; a window is 2R+1 cells of its level wide.
    """

    def __init__(self, query: Tensor, ref: Tensor, *, levels: int, radius: int) -> None:
        self.radius = radius
        self.query = query.float() / math.sqrt(query.shape[1])
        # a map too small for the coarsest level goes on with zeros, as it does everywhere outside
        least = 2 ** (levels - 1)
        short_y, short_x = (max(0, least - n) for n in ref.shape[-2:])
        self.maps = [F.pad(ref.float(), (0, short_x, 0, short_y))]
        for _ in range(levels - 1):
            self.maps.append(F.avg_pool2d(self.maps[-1], 2))

    def read(self, centre: Tensor) -> Tensor:
        """Bilinear windows around `centre`, zero outside the maps.

        Args:
            centre: (N,2,h,w) float32, xy in cells of level 0 of the reference.

        Returns:
            (N,L*(2R+1)**2,h,w); level, then x, then y offset.
        """
        side = 2 * self.radius + 1
        levels = [local_correlation(self.query, level, self.radius, coords=centre / 2**i)
                  for i, level in enumerate(self.maps)]
        windows = torch.stack(levels, 1).unflatten(2, (side, side))  # N,L,y,x,h,w
        return windows.transpose(2, 3).flatten(1, 3)
