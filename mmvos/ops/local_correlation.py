"""Inner products of each cell of a map with a window of another map."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import library
from .backends import accumulator, choose, without_autocast
from .reference import tiles_to_rows, window_logits

LIMIT = 2**15  # of radius and dilation
VOLUME_BYTES = 2**24  # of products that are held at a time


def local_correlation(query: Tensor, key: Tensor, radius: int, dilation: int = 1,
                      coords: Tensor | None = None, *, backend: str | None = None) -> Tensor:
    """Correlate each cell with the (2R+1)^2 cells around the same place of `key`.

    out[b, (dy+R)*P + dx+R, y, x] = sum over c of query[b,c,y,x] * key[b,c,y+dy*d,x+dx*d], P = 2R+1,
    zero outside the map: the order and the sign of mmcv's `Correlation` and of
    spatial-correlation-sampler, with nothing divided. With features of unit length it is MUNet's
    cosine volume; with `coords` RAFT's lookup in one level, without the volume of all pairs (Teed
    and Deng 2020, section 3.2), and MAST's dilated search.

    Differentiable in query and key, once in the libraries; the gradient of `coords` is not
    computed. A NaN in a feature makes the products with it NaN; where a window of `coords` lies
    outside the map a library may give 0 instead.

    Args:
        query: (B,C,h,w) float32, float64, bfloat16 or float16.
        key: (B,C,h2,w2), the same type and device.
        radius: R in cells.
        dilation: Cells between two positions of the window.
        coords: (B,2,h,w) centres of the windows in cells of `key`, x first; bilinear between
            cells, zero outside, also for NaN and Inf. None: cell (y, x) looks at (y, x).
        backend: 'torch', 'cpu', 'cuda' or 'mmcv' (compiled, CUDA tensors, no `coords`); None
            takes the library of the device where it can.

    Returns:
        (B,P*P,h,w) float32, or float64 for float64, whatever autocast says.

    Raises:
        ValueError: Shapes that do not fit, or a backend that can't.
    """
    _check(query, key, radius, dilation, coords)
    backend = choose('local_correlation', backend, query, others=('mmcv',))
    if coords is not None:
        coords = coords.detach().to(accumulator(query.dtype))
    if backend == 'torch':
        return _torch(query, key, radius, dilation, coords)
    if backend == 'mmcv':
        return _mmcv(query, key, radius, dilation, coords)
    out: Tensor = _library(query, key, coords, radius, dilation)
    return out


def _check(query: Tensor, key: Tensor, radius: int, dilation: int, coords: Tensor | None) -> None:
    if query.dim() != 4 or key.dim() != 4 or query.shape[:2] != key.shape[:2]:
        raise ValueError('local_correlation: expected query (B,C,h,w) and key (B,C,h2,w2), got '
                         f'{tuple(query.shape)} and {tuple(key.shape)}')
    if query.dtype != key.dtype or not query.is_floating_point():
        raise ValueError('local_correlation: query and key should have one floating type, got '
                         f'{query.dtype} and {key.dtype}')
    if query.device != key.device:
        raise ValueError('local_correlation: query and key should be on one device, got '
                         f'{query.device} and {key.device}')
    if not (0 <= radius < LIMIT and 1 <= dilation < LIMIT):
        raise ValueError('local_correlation: expected radius >= 0 and dilation >= 1, both below '
                         f'{LIMIT}, got {radius} and {dilation}')
    expected = (query.shape[0], 2, *query.shape[2:])
    if coords is not None and coords.shape != expected:
        raise ValueError(f'local_correlation: coords should be {expected}, '
                         f'got {tuple(coords.shape)}')


# ---- in PyTorch


def _torch(query: Tensor, key: Tensor, radius: int, dilation: int,
           coords: Tensor | None) -> Tensor:
    with without_autocast(query):
        query, key = (x.to(accumulator(x.dtype)) for x in (query, key))
        if not query.numel() or not key.numel():
            side = 2 * radius + 1
            return query[..., :0].sum() + key[..., :0].sum() + query.new_zeros(
                query.shape[0], side * side, *query.shape[2:])
        if coords is not None:
            return _at_coords(query, key, radius, dilation, coords)
        return _dilated(query, key, radius, dilation)


def _on_grid(query: Tensor, key: Tensor, radius: int) -> Tensor:
    width = query.shape[3]
    rows = [tiles_to_rows(x.flatten(4), width)
            for x in window_logits(query, key[:, :, None], radius)]
    return torch.cat(rows, 1)[:, :query.shape[2]].permute(0, 3, 1, 2)


def _dilated(query: Tensor, key: Tensor, radius: int, d: int) -> Tensor:
    """Cells d apart see one another only: d*d maps of every d-th cell, without dilation."""
    if d == 1:
        return _on_grid(query, key, radius)
    height, width = query.shape[2:]
    query, key = (_phases(x, d) for x in (query, key))
    out = _on_grid(query, key, radius).unflatten(0, (-1, d, d))  # B,d,d,P*P,h',w'
    return out.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)[..., :height, :width]


def _phases(x: Tensor, d: int) -> Tensor:
    """(B,C,h,w) to (B*d*d,C,ceil(h/d),ceil(w/d))."""
    x = F.pad(x, (0, -x.shape[3] % d, 0, -x.shape[2] % d))
    x = x.unflatten(3, (-1, d)).unflatten(2, (-1, d))
    return x.permute(0, 3, 5, 1, 2, 4).flatten(0, 2)


def _at_coords(query: Tensor, key: Tensor, radius: int, dilation: int, coords: Tensor) -> Tensor:
    """A product with a bilinear mix of cells is the mix of the products with these cells."""
    cells = query.flatten(2).transpose(1, 2)  # B,h*w,C
    centres = coords.flatten(2).transpose(1, 2)
    keys = key.flatten(2)
    step = max(1, VOLUME_BYTES // (keys.shape[2] * len(query) * query.element_size()))
    parts = [_windows_of(torch.matmul(q, keys), c, key.shape[2:], radius, dilation)
             for q, c in zip(cells.split(step, 1), centres.split(step, 1), strict=True)]
    return torch.cat(parts, 1).transpose(1, 2).unflatten(2, query.shape[2:])


def _windows_of(volume: Tensor, centres: Tensor, size: torch.Size, radius: int,
                dilation: int) -> Tensor:
    """Windows (B,M,P*P) of products (B,M,h2*w2) around centres (B,M,2)."""
    height, width = size
    near = (centres.abs() < 2**24).all(-1, keepdim=True)
    centres = torch.where(near, centres, -2. * (radius + 1) * dilation)  # outside
    low = centres.floor()
    fraction = (centres - low)[..., None]
    # the cells before and behind each position; without dilation neighbours share theirs
    steps = dilation * torch.arange(-radius, radius + 1, device=volume.device)
    steps = (torch.arange(-radius, radius + 2, device=volume.device) if dilation == 1 else
             torch.stack([steps, steps + 1], 1).flatten())
    before, behind = ((slice(None, -1), slice(1, None)) if dilation == 1 else
                      (slice(None, None, 2), slice(1, None, 2)))
    x, y = ((low[..., i, None].long() + steps) for i in (0, 1))
    inside = ((y >= 0) & (y < height))[..., None] & ((x >= 0) & (x < width))[..., None, :]
    index = y.clamp(0, height - 1)[..., None] * width + x.clamp(0, width - 1)[..., None, :]
    products = volume.gather(2, index.flatten(2)).view(index.shape)
    products = torch.where(inside, products, 0)
    rows = torch.lerp(products[..., before, :], products[..., behind, :], fraction[:, :, 1:, :])
    return torch.lerp(rows[..., before], rows[..., behind], fraction[:, :, :1, :]).flatten(2)


# ---- compiled


def _mmcv(query: Tensor, key: Tensor, radius: int, dilation: int,
          coords: Tensor | None) -> Tensor:
    try:
        from mmcv.ops import Correlation
    except ImportError as error:
        raise ValueError("local_correlation: backend='mmcv' needs an mmcv with compiled ops: "
                         f'{error}; leave backend=None') from error
    if not query.is_cuda or coords is not None or query.shape != key.shape:
        raise ValueError("local_correlation: backend='mmcv' takes CUDA tensors of one shape and "
                         f'no coords, got {query.device.type}, {tuple(query.shape)} and '
                         f'{tuple(key.shape)}; leave backend=None')
    wide = query.to(accumulator(query.dtype)), key.to(accumulator(key.dtype))
    volume: Tensor = Correlation(max_displacement=radius, dilation_patch=dilation)(*wide)
    return volume.flatten(1, 2)


@torch.library.custom_op(
    'mmvos::local_correlation', mutates_args=(), device_types=('cpu', 'cuda'),
    schema='(Tensor query, Tensor key, Tensor? coords, int radius, int dilation) -> Tensor')
def _library(query, key, coords, radius, dilation):
    out = _empty(query, key, coords, radius, dilation)
    library.call(query.device.type, 'mmvos_local_correlation', query, key, coords, out, radius,
                 dilation)
    return out


@_library.register_fake
def _empty(query, key, coords, radius, dilation):
    side = 2 * radius + 1
    return query.new_empty((query.shape[0], side * side, *query.shape[2:]),
                           dtype=accumulator(query.dtype))


@torch.library.custom_op(
    'mmvos::local_correlation_backward', mutates_args=(), device_types=('cpu', 'cuda'),
    schema='(Tensor grad, Tensor query, Tensor key, Tensor? coords, int radius, int dilation) '
           '-> (Tensor, Tensor)')
def _library_backward(grad, query, key, coords, radius, dilation):
    grads = _empty_backward(grad, query, key, coords, radius, dilation)
    library.call(query.device.type, 'mmvos_local_correlation_backward', grad.contiguous(), query,
                 key, coords, *grads, radius, dilation)
    return grads


@_library_backward.register_fake
def _empty_backward(grad, query, key, coords, radius, dilation):
    return tuple(x.new_empty(x.shape, dtype=accumulator(x.dtype)) for x in (query, key))


def _save(ctx, inputs, output):
    query, key, coords, ctx.radius, ctx.dilation = inputs
    ctx.save_for_backward(query, key, coords)


def _grad(ctx, grad):
    query, key, coords = ctx.saved_tensors
    grads = _library_backward(grad, query, key, coords, ctx.radius, ctx.dilation)
    return *(g.to(query.dtype) for g in grads), None, None, None


_library.register_autograd(_grad, setup_context=_save)
