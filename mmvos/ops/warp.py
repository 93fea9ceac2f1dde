"""Backward warping."""
import torch
import torch.nn.functional as F
from torch import Tensor

from .backends import only_torch


def warp(x: Tensor, flow: Tensor, *, backend: str | None = None) -> Tensor:
    """Sample out(p) = x(p + flow(p)), zero where p + flow(p) leaves the map.

    Bilinear; a position whose bilinear weights inside the map sum to less than 0.9999 is zero
    (MAMP's released rule). Integer flow is a gather with zero fill, to about 1e-5 of a cell.

    Args:
        x: (B,C,h,w).
        flow: (B,2,h,w) in cells, xy. Kept in float32 or wider under autocast.
        backend: None or 'torch'.

    Returns:
        (B,C,h,w) in the type of x.
    """
    only_torch('warp', backend)
    height, width = x.shape[-2:]
    flow = flow.to(x.dtype if x.dtype == torch.float64 else torch.float32)
    ys = torch.arange(height, device=x.device, dtype=flow.dtype)[:, None]
    xs = torch.arange(width, device=x.device, dtype=flow.dtype)
    px, py = xs + flow[:, 0], ys + flow[:, 1]
    grid = torch.stack([2 * px / max(width - 1, 1) - 1, 2 * py / max(height - 1, 1) - 1], -1)
    out = F.grid_sample(x.to(flow.dtype), grid, mode='bilinear', padding_mode='zeros',
                        align_corners=True)
    inside = _inside(px, width) * _inside(py, height) >= 0.9999  # not if it is NaN
    return torch.where(inside[:, None], out, 0).to(x.dtype)


def _inside(position: Tensor, size: int) -> Tensor:
    """Sum of the linear weights that fall on cells 0..size-1."""
    return (1 + torch.minimum(position, size - 1 - position)).clamp(0, 1)
