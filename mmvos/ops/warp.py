"""Backward warping."""
import torch
import torch.nn.functional as F
from torch import Tensor

from . import library
from .backends import accumulator, choose, wants_gradient


def warp(x: Tensor, flow: Tensor, *, backend: str | None = None) -> Tensor:
    """Sample out(p) = x(p + flow(p)), zero where p + flow(p) leaves the map.

    Bilinear; a position whose bilinear weights inside the map sum to less than 0.9999 is zero
    (MAMP's released rule). Integer flow is a gather with zero fill; in PyTorch to about 1e-5 of a
    cell.

    Args:
        x: (B,C,h,w).
        flow: (B,2,h,w) in cells, xy. Kept in float32 or wider under autocast.
        backend: 'torch' or 'cpu' (no gradient); None takes 'cpu' for tensors on the CPU where it
            can.

    Returns:
        (B,C,h,w) in the type of x.

    Raises:
        ValueError: Shapes that do not fit, or a backend that can't.
    """
    if x.dim() != 4 or flow.shape != (x.shape[0], 2, *x.shape[2:]):
        raise ValueError('warp: expected x (B,C,h,w) and flow (B,2,h,w), got '
                         f'{tuple(x.shape)} and {tuple(flow.shape)}')
    gradient = wants_gradient(x, flow)
    cannot = "a gradient needs backend='torch'" if gradient else None
    backend = choose('warp', backend, x, cannot=cannot, libraries=('cpu',))
    flow = flow.to(accumulator(x.dtype))
    if backend == 'torch':
        return _torch(x, flow)
    out: Tensor = _library(x, flow)
    return out


def _torch(x: Tensor, flow: Tensor) -> Tensor:
    height, width = x.shape[-2:]
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


@torch.library.custom_op('mmvos::warp', mutates_args=(), device_types='cpu',
                         schema='(Tensor x, Tensor flow) -> Tensor')
def _library(x, flow):
    out = _empty(x, flow)
    library.call('cpu', 'mmvos_warp', x, flow, out)
    return out


@_library.register_fake
def _empty(x, flow):
    return x.new_empty(x.shape)
